"""What all panes of the session screen share."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import ClassVar, NamedTuple

from rich.text import Text
from textual import events
from textual.binding import Binding
from textual.message import Message

from engine.session.arrays import FinishedRows
from qood_tui.settings.actions import Action, by_id
from qood_tui.state.state import State
from qood_tui.state.view_options import ViewOptions
from qood_tui.widgets.lines import Lines

_PART = re.compile(r"( · )?lines \d+-\d+ of \d+, ↑↓")  # an export always shows all lines


class PaneInput(NamedTuple):
    """Everything a pane is drawn from: the state, the view options, and the numbers of single images.

    `rows` reads the latter, None if they are missing; only panes that need them call it.
    """

    state: State
    options: ViewOptions
    rows: Callable[[], FinishedRows | None]


class Pane(Lines, can_focus=True):
    """A part of the session screen, drawn only from its input.

    Key, label and help come from the action `pane_NAME`.
    """

    NAME: ClassVar[str]  # of its widget; its action is pane_NAME
    SLOT: ClassVar[str]  # figures, tables or machine: panes of a slot take turns in a medium terminal
    FRAMED = True
    IS_COSTLY: ClassVar[bool] = False  # drawn at most once per second while a session moves

    def __init__(self) -> None:
        super().__init__(id=self.NAME)

    @property
    def action(self) -> Action:
        """Return the action that shows this pane."""
        return by_id(f"pane_{self.NAME}")

    def draw(self, data: PaneInput) -> None:
        """Show the input."""
        raise NotImplementedError


class ScrollingPane(Pane):
    """A pane that scrolls with arrows, page keys and the mouse wheel."""

    BINDINGS = [
        Binding("up", "scroll_lines(-1)", show=False),
        Binding("down", "scroll_lines(1)", show=False),
        Binding("pageup", "scroll_pages(-1)", show=False),
        Binding("pagedown", "scroll_pages(1)", show=False),
    ]

    class Scrolled(Message):
        """The pane was scrolled and must be drawn again."""

        def __init__(self, pane: ScrollingPane) -> None:
            super().__init__()
            self.pane = pane

    FROM_END: ClassVar[bool] = False  # show the end, where the newest lines are

    def __init__(self) -> None:
        super().__init__()
        self._all: list[Text] = []
        self._heading: list[Text] = []
        self._offset = 0  # lines from the top, or from the end

    def show_all(self, lines: list[Text], heading: list[Text] | None = None) -> str:
        """Show the part of `lines` that fits below a fixed heading; return which part, in words."""
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
        """Return all lines, including those scrolled out of view."""
        title, *_, subtitle = super().whole()
        subtitle = Text(_PART.sub("", subtitle.plain), style="dim")
        return [title, *self._heading, *self._all, subtitle]

    def scrolled(self) -> None:
        """Ask to be drawn again."""
        self.post_message(self.Scrolled(self))

    def action_scroll_lines(self, lines: int) -> None:
        """Scroll by some lines."""
        self._offset += -lines if self.FROM_END else lines
        self._offset = min(max(self._offset, 0), len(self._all))
        self.scrolled()

    def action_scroll_pages(self, pages: int) -> None:
        """Scroll by pages."""
        self.action_scroll_lines(pages * max(self.inner.height - len(self._heading) - 1, 1))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Scroll with the wheel."""
        event.stop()
        self.action_scroll_lines(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Scroll with the wheel."""
        event.stop()
        self.action_scroll_lines(-3)
