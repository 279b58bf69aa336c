"""A widget made of lines that sends only changed lines to the terminal."""

from __future__ import annotations

from rich.segment import Segment
from rich.text import Text
from textual.geometry import Region
from textual.markup import escape
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from qood_tui.words import clean, to_ascii


class Lines(Widget):
    """Show lines of Text, cut or padded to the width; only lines that differ are painted again."""

    DEFAULT_CSS = "Lines { height: 1fr; }"

    class Resized(Message):
        """The widget has another size, so its lines must be made anew."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._lines: list[Text] = []

    def on_resize(self) -> None:
        """Ask for lines that fit."""
        self.post_message(self.Resized())

    def caption(self, title: str, subtitle: str = "") -> None:
        """Write into the frame."""
        plain = to_ascii if getattr(self.app, "ascii_only", False) else str
        # Frames are markup to Textual: a name may hold brackets.
        self.border_title, self.border_subtitle = escape(plain(clean(title))), escape(plain(clean(subtitle)))

    def show(self, lines: list[Text]) -> None:
        """Replace the lines."""
        before, self._lines = self._lines, lines
        for y in range(min(max(len(before), len(lines)), self.size.height)):
            old = before[y] if y < len(before) else None
            new = lines[y] if y < len(lines) else None
            if old != new or (old and new and old.spans != new.spans):
                self.refresh(Region(0, y, self.size.width, 1))

    def render_line(self, y: int) -> Strip:
        """Return line `y`."""
        width = self.size.width
        style = self.rich_style
        if y >= len(self._lines):
            return Strip.blank(width, style)
        plain = to_ascii if getattr(self.app, "ascii_only", False) else str
        segments = [
            Segment(plain(clean(s.text)), style + s.style if s.style else style)
            for s in self._lines[y].render(self.app.console)
        ]
        return Strip(segments).adjust_cell_length(width, style)
