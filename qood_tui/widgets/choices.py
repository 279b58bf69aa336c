"""Boxes to tick and buttons to press whose state shows without colour."""

from __future__ import annotations

from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Checkbox, RadioButton


class Tick(Checkbox):
    """A box that shows a tick, or nothing."""

    BUTTON_LEFT, BUTTON_RIGHT = "[", "]"

    def __init__(
        self, label: str, value: bool = False, *, name: str | None = None, disabled: bool = False
    ) -> None:
        self.BUTTON_INNER = "x" if value else " "
        super().__init__(label, value, name=name, disabled=disabled, compact=True)

    def watch_value(self) -> None:
        """Show the new state."""
        self.BUTTON_INNER = "x" if self.value else " "
        super().watch_value()


class Choice(RadioButton):
    """One of several, with a mark in the chosen one."""

    BUTTON_LEFT, BUTTON_RIGHT = "(", ")"

    def __init__(self, label: str, value: bool = False) -> None:
        self.BUTTON_INNER = "o" if value else " "
        super().__init__(label, value, compact=True)

    def watch_value(self) -> None:
        """Show the new state."""
        self.BUTTON_INNER = "o" if self.value else " "
        super().watch_value()


class Group(Vertical):
    """A framed group; arrow keys move within it as tab does."""

    BINDINGS = [
        Binding("up,left", "app.focus_previous", show=False),
        Binding("down,right", "app.focus_next", show=False),
    ]

    def __init__(self, title: str, *, id: str) -> None:
        super().__init__(id=id, classes="group")
        self.border_title = title
