"""A dialog that asks for one line of text."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.widgets import Input, Static

from qood_tui.screens.dialogs.dialog import Dialog
from qood_tui.widgets.entry import TextEntry


class Prompt(Dialog[str | None]):
    """Ask for a line of text, and return it, or None if it is empty."""

    HINT = "enter accepts · escape cancels"

    def __init__(self, title: str, words: str, *, value: str = "", placeholder: str = "") -> None:
        super().__init__()
        self.words, self.value, self.placeholder, self.heading = words, value, placeholder, title

    def contents(self) -> ComposeResult:
        """Lay out the question above the line."""
        yield Static(self.words, markup=False)
        yield TextEntry(self.value, placeholder=self.placeholder)

    def on_mount(self) -> None:
        """Set the title and focus the line."""
        self.query_one("VerticalScroll").border_title = self.heading
        self.query_one(Input).focus()

    @on(Input.Submitted)
    def done(self, event: Input.Submitted) -> None:
        """Return what was typed."""
        self.dismiss(event.value.strip() or None)
