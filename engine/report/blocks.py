"""What a report is made of, whatever its format: sections of tables, lists, text and figures."""

from __future__ import annotations

import msgspec


class Shaded(msgspec.Struct, frozen=True):
    """A cell of a table with `share`, how large a loss it is of the largest in the table; 0 for none."""

    text: str
    share: float


class Marked(msgspec.Struct, frozen=True):
    """A number with the mark of a change, which is bold where a format has bold."""

    text: str
    mark: str


Cell = str | Shaded | Marked
Row = tuple[Cell, ...]


class Table(msgspec.Struct, frozen=True):
    """Rows in groups that belong together. The first `texts` columns are words, the others numbers.

    A `folded` table is only opened on demand where the format can do that.
    """

    caption: str
    columns: tuple[str, ...]
    groups: tuple[tuple[Row, ...], ...]
    texts: int = 1
    folded: bool = False

    @property
    def rows(self) -> tuple[Row, ...]:
        """Return all rows."""
        return tuple(row for group in self.groups for row in group)


class Text(msgspec.Struct, frozen=True):
    """A paragraph."""

    text: str


class Items(msgspec.Struct, frozen=True):
    """A list of sentences."""

    items: tuple[str, ...]


class Panel(msgspec.Struct, frozen=True):
    """One drawing: an SVG element that is safe as it stands."""

    svg: str


class Figure(msgspec.Struct, frozen=True):
    """Drawings side by side under one caption; only formats that can show them do."""

    caption: str
    panels: tuple[Panel, ...]
    is_wide: bool = False


Block = Table | Text | Items | Figure


class Section(msgspec.Struct, frozen=True):
    """A headline and what is below it; `is_urgent` puts it where nobody misses it.

    Formats that treat a section differently know it by `id`; titles are free to change.
    """

    id: str
    title: str
    blocks: tuple[Block, ...]
    is_urgent: bool = False


def text_of(cell: Cell) -> str:
    """Return the words of a cell."""
    match cell:
        case Shaded(text):
            return text
        case Marked(text, mark):
            return f"{text}{mark}"
        case str():
            return cell
