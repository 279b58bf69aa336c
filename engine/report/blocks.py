"""The parts of a report in any format: sections of tables, lists, text and figures."""

from __future__ import annotations

import msgspec


class Shaded(msgspec.Struct, frozen=True):
    """A cell of a table; `share` is its loss relative to the largest in the table, 0 for none."""

    text: str
    share: float


class Marked(msgspec.Struct, frozen=True):
    """A number with the mark of a significant change, in bold if the format has bold."""

    text: str
    mark: str


Cell = str | Shaded | Marked
Row = tuple[Cell, ...]


class Table(msgspec.Struct, frozen=True):
    """Rows in groups. The first `texts` columns are words, the others numbers.

    A `folded` table is opened on demand if the format supports it.
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
    """One drawing: an SVG element that is safe to embed."""

    svg: str


class Figure(msgspec.Struct, frozen=True):
    """Drawings side by side under one caption, for formats that can show them."""

    caption: str
    panels: tuple[Panel, ...]
    is_wide: bool = False


Block = Table | Text | Items | Figure


class Section(msgspec.Struct, frozen=True):
    """A title and the blocks below it; an urgent section comes first.

    Formats that treat a section differently recognise it by `id`; titles are free to change.
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
