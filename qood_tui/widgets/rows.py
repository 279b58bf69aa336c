"""A scrolling list with a cursor that arrows, page keys and the mouse wheel move."""

from __future__ import annotations

from rich.text import Text
from textual import events
from textual.binding import Binding
from textual.message import Message

from qood_tui.widgets.lines import Lines


class RowList(Lines, can_focus=True):
    """Rows with a cursor; subclasses define the rows and what a click does."""

    FRAMED = True
    BINDINGS = [
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("pageup", "move(-8)", show=False),
        Binding("pagedown", "move(8)", show=False),
    ]

    class Moved(Message):
        """The cursor moved."""

    def __init__(self, title: str, *, id: str) -> None:
        super().__init__(id=id)
        self.title = title
        self.cursor = 0
        self._top = 0

    @property
    def length(self) -> int:
        """Return how many rows there are."""
        raise NotImplementedError

    def line(self, place: int, *, is_here: bool) -> Text:
        """Return a row; `is_here` if it is under the cursor."""
        raise NotImplementedError

    def hint(self) -> str:
        """Return the caption below the rows."""
        return ""

    def clicked(self, x: int) -> None:
        """Act on a click on the row under the cursor, `x` cells from the left."""

    def on_resize(self) -> None:
        """Draw for the new size."""
        self.draw()

    def on_focus(self) -> None:
        """Show the cursor."""
        self.draw()

    def on_blur(self) -> None:
        """Hide the cursor."""
        self.draw()

    def action_move(self, steps: int) -> None:
        """Move the cursor."""
        self.cursor = min(max(self.cursor + steps, 0), max(self.length - 1, 0))
        self.draw()
        self.post_message(self.Moved())

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to the clicked row and act on the click."""
        row = event.y - self.pad + self._top
        if 0 <= row < self.length and event.y >= self.pad:
            self.action_move(row - self.cursor)
            self.clicked(event.x - self.pad)
            self.draw()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Move the cursor with the wheel."""
        event.stop()
        self.action_move(1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Move the cursor with the wheel."""
        event.stop()
        self.action_move(-1)

    def draw(self) -> None:
        """Show the rows around the cursor."""
        height, length = max(self.inner.height, 1), self.length
        self.cursor = min(self.cursor, max(length - 1, 0))
        self._top = min(max(self._top, self.cursor - height + 1), self.cursor)
        self._top = min(max(self._top, 0), max(length - height, 0))
        part = range(self._top, min(self._top + height, length))
        shown = f"↑↓ {part.start + 1}-{part.stop} of {length}" if len(part) < length else ""
        self.caption(self.title, " · ".join(filter(None, (self.hint(), shown))))
        self.show([self.line(place, is_here=self.has_focus and place == self.cursor) for place in part])
