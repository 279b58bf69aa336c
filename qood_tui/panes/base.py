"""What all panes of the session screen have in common."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import ClassVar, NamedTuple

from rich.text import Text
from textual import events
from textual.binding import Binding
from textual.message import Message

from engine.session.arrays import FinishedRows
from qood_tui.state.state import State
from qood_tui.state.view_options import ViewOptions
from qood_tui.widgets.lines import Lines

_PART = re.compile(r"( · )?lines \d+-\d+ of \d+, ↑↓")  # what is in sight of an export is all of it


class PaneInput(NamedTuple):
    """All that a pane draws from: the state, how it is looked at, and the numbers of single images.

    `rows` reads them, None where they are missing; only panes that need them call it.
    """

    state: State
    look: ViewOptions
    rows: Callable[[], FinishedRows | None]


class Pane(Lines, can_focus=True):
    """A part of the session screen, drawn from a moment alone."""

    NAME: ClassVar[str]  # of its action, its widget and its tab
    LABEL: ClassVar[str]
    SLOT: ClassVar[str]  # figures, tables or machine: panes of a slot take turns in a middling terminal
    FRAMED = True
    IS_COSTLY: ClassVar[bool] = False  # drawn at most once a second while a session moves

    def __init__(self) -> None:
        super().__init__(id=self.NAME)

    def draw(self, moment: PaneInput) -> None:
        """Show a moment."""
        raise NotImplementedError


class ScrollingPane(Pane):
    """A pane whose lines may be more than fit: arrows, page keys and the wheel move them."""

    BINDINGS = [
        Binding("up", "scroll_lines(-1)", show=False),
        Binding("down", "scroll_lines(1)", show=False),
        Binding("pageup", "scroll_pages(-1)", show=False),
        Binding("pagedown", "scroll_pages(1)", show=False),
    ]

    class Scrolled(Message):
        """Another part of the lines is to be shown."""

        def __init__(self, pane: ScrollingPane) -> None:
            super().__init__()
            self.pane = pane

    FROM_END: ClassVar[bool] = False  # the newest lines are at the bottom and stay in sight

    def __init__(self) -> None:
        super().__init__()
        self._all: list[Text] = []
        self._heading: list[Text] = []
        self._offset = 0  # lines away from the top, or from the end

    def show_all(self, lines: list[Text], heading: list[Text] | None = None) -> str:
        """Show the part of `lines` that fits, below a heading that stays; return which part it is."""
        self._all, self._heading = lines, heading or []
        room = max(self.inner.height - len(self._heading), 1)
        self._offset = min(max(self._offset, 0), max(len(lines) - room, 0))
        first = len(lines) - room - self._offset if self.FROM_END else self._offset
        first = max(first, 0)
        self.show([*self._heading, *lines[first : first + room]])
        if len(lines) <= room:
            return ""
        return f"lines {first + 1}-{min(first + room, len(lines))} of {len(lines)}, ↑↓"

    def whole(self) -> list[Text]:
        """Return all lines, also those that are scrolled out of sight."""
        title, *_, subtitle = super().whole()
        subtitle = Text(_PART.sub("", subtitle.plain), style="dim")
        return [title, *self._heading, *self._all, subtitle]

    def scrolled(self) -> None:
        """Ask to be drawn again after scrolling."""
        self.post_message(self.Scrolled(self))

    def action_scroll_lines(self, lines: int) -> None:
        """Move by some lines."""
        self._offset += -lines if self.FROM_END else lines
        self._offset = min(max(self._offset, 0), len(self._all))
        self.scrolled()

    def action_scroll_pages(self, pages: int) -> None:
        """Move by what fits."""
        self.action_scroll_lines(pages * max(self.inner.height - len(self._heading) - 1, 1))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Move with the wheel."""
        event.stop()
        self.action_scroll_lines(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Move with the wheel."""
        event.stop()
        self.action_scroll_lines(-3)
