"""A widget made of lines that sends only changed cells to the terminal."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from qood_tui.plot import palette
from qood_tui.words import clean, clip, fitted, to_ascii

STYLE_BYTES = 34  # written for a change of foreground and background in true colour
ROUND, PLAIN = tuple("╭─╮│╰╯"), tuple("+-+|++")

Cells = list[tuple[str, Style | str]]


class Lines(Widget):
    """Show lines of Text, cut or padded to the width, in a frame if FRAMED.

    The frame is drawn here, as Textual repaints a whole widget for a new border title.
    """

    FRAMED: ClassVar[bool] = False
    COMPONENT_CLASSES = {"lines--frame", "lines--chosen"}
    DEFAULT_CSS = """
    Lines { height: 1fr; }
    Lines > .lines--frame { color: $primary-muted; }
    Lines > .lines--chosen { color: $primary; }
    """

    class Resized(Message):
        """The widget has another size, so its lines must be drawn again."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._lines: list[Text] = []
        self._cells: list[Cells | None] = []
        self._titles = ("", "")
        self.sent = 0  # bytes written to the terminal, roughly

    @property
    def pad(self) -> int:
        """Return the width of the frame on each side."""
        return 1 if self.FRAMED else 0

    @property
    def inner(self) -> Size:
        """Return the size inside the frame."""
        return Size(max(self.size.width - 2 * self.pad, 0), max(self.size.height - 2 * self.pad, 0))

    @property
    def is_ascii(self) -> bool:
        """Return whether the terminal shows only ASCII."""
        return bool(getattr(self.app, "ascii_only", False))

    @property
    def ink(self) -> palette.Ink:
        """Return the colours for the current theme; the background of a terminal's own theme is unknown."""
        theme = self.app.current_theme
        return palette.DARK if theme.dark and not theme.ansi else palette.LIGHT

    def on_resize(self) -> None:
        """Ask for lines that fit."""
        self.post_message(self.Resized())

    def on_focus(self) -> None:
        """Show the focus."""
        self.refresh()

    def on_blur(self) -> None:
        """Hide the focus."""
        self.refresh()

    def plain(self, text: str) -> str:
        """Return text that the terminal can show."""
        return to_ascii(clean(text)) if self.is_ascii else clean(text)

    def caption(self, title: str, subtitle: str = "") -> None:
        """Write captions into the frame, cut with an ellipsis if they do not fit."""
        before, self._titles = self._titles, (title, subtitle)
        for y, was, now in zip((0, self.size.height - 1), before, self._titles, strict=True):
            if was != now:
                self.refresh(Region(0, y, self.size.width, 1))
                self.sent += self.size.width + 2 * STYLE_BYTES

    @property
    def titles(self) -> tuple[str, str]:
        """Return the captions of the frame, above and below."""
        return self._titles

    def show(self, lines: list[Text]) -> None:
        """Replace the lines, repainting only cells that differ."""
        was, before = self._lines, self._cells
        self._lines, self._cells = lines, [_cells(line) for line in lines]
        for y in range(min(max(len(before), len(lines)), self.inner.height)):
            old = before[y] if y < len(before) else []
            new = self._cells[y] if y < len(lines) else []
            is_same = new is None and y < len(was) and was[y] == lines[y] and was[y].spans == lines[y].spans
            first, last = (0, 0) if is_same else _difference(old, new, self.inner.width)
            if first < last:
                self.refresh(Region(first + self.pad, y + self.pad, last - first, 1))
                styles = [style for _, style in (new or [])[first:last]]
                self.sent += last - first + STYLE_BYTES * (1 + sum(a != b for a, b in pairwise(styles)))

    def shown(self) -> list[Text]:
        """Return the visible lines without the frame."""
        return [line.copy() for line in self._lines[: self.inner.height]]

    def whole(self) -> list[Text]:
        """Return all lines, between the two captions of the frame."""
        title, subtitle = self._titles
        return [Text(title, style="bold"), *self.shown(), Text(subtitle, style="dim")]

    def render_line(self, y: int) -> Strip:
        """Return line `y`."""
        if not self.FRAMED or self.size.width < 2:
            return self._strip(y, self.size.width)
        name = "lines--chosen" if self.has_focus else "lines--frame"
        style = self.rich_style + self.get_component_rich_style(name, partial=True)
        left, flat, right, side, low_left, low_right = PLAIN if self.is_ascii else ROUND
        if y == 0:
            return self._edge(left, flat, right, self._titles[0], style, at_end=False)
        if y >= self.size.height - 1:
            return self._edge(low_left, flat, low_right, self._titles[1], style, at_end=True)
        edge = Strip([Segment(side, style)])
        return Strip.join([edge, self._strip(y - 1, self.inner.width), edge])

    def _edge(self, left: str, flat: str, right: str, words: str, style: Style, *, at_end: bool) -> Strip:
        width = self.inner.width
        text = self.plain(clip(clean(words), max(width - 4, 0)))
        text = f" {text} " if text else ""
        rest = flat * max(width - len(text) - 1, 0)
        parts = (rest, text, flat) if at_end else (flat, text, rest)
        first, middle, last = parts
        bright = self.rich_style if not at_end else self.rich_style + Style(dim=True)
        segments = [Segment(left + first, style), Segment(middle, bright), Segment(last + right, style)]
        return Strip(segments).adjust_cell_length(self.size.width, style)

    def _strip(self, y: int, width: int) -> Strip:
        style = self.rich_style
        if y >= len(self._lines):
            return Strip.blank(width, style)
        segments = [
            Segment(self.plain(s.text), style + s.style if s.style else style)
            for s in fitted(self._lines[y], width).render(self.app.console)
        ]
        return Strip(segments).adjust_cell_length(width, style)


def _cells(line: Text) -> Cells | None:
    """Return a line cell by cell; None if a character is not exactly one cell wide."""
    plain = line.plain
    if not plain.isascii() and line.cell_len != len(plain):
        return None
    styles: list[Style | str] = [line.style] * len(plain)
    for start, end, style in line.spans:
        styles[start:end] = [f"{one} {style}" for one in styles[start:end]]
    return list(zip(plain, styles, strict=True))


def _difference(old: Cells | None, new: Cells | None, width: int) -> tuple[int, int]:
    """Return the first cell that differs and the one after the last, or all cells if unknown."""
    if old is None or new is None:
        return 0, width
    if old == new:
        return 0, 0
    shared = min(len(old), len(new))
    first = next((x for x in range(shared) if old[x] != new[x]), shared)
    if len(old) != len(new):
        return min(first, width), min(max(len(old), len(new)), width)
    last = next(x for x in range(shared, 0, -1) if old[x - 1] != new[x - 1])
    return min(first, width), min(last, width)
