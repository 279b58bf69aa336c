"""Clickable one-line strips: the tabs of the panes, and the keys at the bottom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.text import Text
from textual import events
from textual.message import Message

from qood_tui.widgets.lines import Lines


class StripPart(NamedTuple):
    """A clickable part of a strip; `action` runs on the screen or the application."""

    key: str
    label: str
    action: str
    style: str = ""


class Strip(Lines):
    """A line of as many parts as fit; the last is always shown."""

    DEFAULT_CSS = "Strip { height: 1; }"

    class Chosen(Message):
        """A part was clicked."""

        def __init__(self, action: str) -> None:
            super().__init__()
            self.action = action

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._ends: list[tuple[int, str]] = []

    def draw(self, parts: Sequence[StripPart]) -> None:
        """Show the parts that fit, and an ellipsis if some do not."""
        room = self.inner.width
        *first, last = parts
        kept: list[StripPart] = []
        used = _width(last)
        for part in first:
            if used + _width(part) > room - (2 if len(kept) + 1 < len(first) else 0):
                break
            used += _width(part)
            kept.append(part)
        line, self._ends = Text(), []
        for part in [*kept, last]:
            if part is last and len(kept) < len(first):
                line.append("… ", "dim")
            line.append(f" {self.plain(part.key)}", "bold").append(f" {self.plain(part.label)} ", part.style)
            self._ends.append((line.cell_len, part.action))
        self.show([line])

    def on_click(self, event: events.Click) -> None:
        """Run the action of the clicked part."""
        event.stop()
        for end, action in self._ends:
            if event.x < end:
                self.post_message(self.Chosen(action))
                return


def _width(part: StripPart) -> int:
    return len(part.key) + len(part.label) + 3
