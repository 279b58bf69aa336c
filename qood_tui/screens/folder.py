"""Ask for a folder of images."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Label


class FolderScreen(ModalScreen[str | None]):
    """Return `NAME=FOLDER`, or None when it is left with escape."""

    BINDINGS = [("escape", "dismiss(None)", "Back")]
    DEFAULT_CSS = """
    FolderScreen { align: center middle; }
    FolderScreen > Vertical {
        width: 70; max-width: 96%; height: auto; border: round $primary; background: $surface; padding: 0 1;
    }
    """

    def compose(self) -> ComposeResult:
        """Show one line to type into."""
        with Vertical() as box:
            box.border_title = "Add a folder of images as an OOD set"
            yield Label("NAME=FOLDER, for example photos=~/pictures; enter adds it")
            yield Input(placeholder="NAME=FOLDER")

    @on(Input.Submitted)
    def done(self, event: Input.Submitted) -> None:
        """Return what was typed."""
        self.dismiss(event.value.strip() or None)
