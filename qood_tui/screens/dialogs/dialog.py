"""Windows over a screen: the frame they share, and a question."""

from __future__ import annotations

from typing import ClassVar, Generic, TypeVar

from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from qood_tui.words import to_ascii

T = TypeVar("T")


class Dialog(ModalScreen[T], Generic[T]):
    """A window in the middle of the screen; escape closes it."""

    BINDINGS = [("escape", "dismiss", "Close")]
    TITLE_WORDS: ClassVar[str] = ""
    HINT: ClassVar[str] = "escape closes"
    DEFAULT_CSS = """
    Dialog { align: center middle; }
    Dialog > VerticalScroll {
        width: 90; max-width: 98%; height: auto; max-height: 98%;
        border: round $primary; background: $surface; padding: 0 1;
    }
    Dialog.ascii > VerticalScroll { border: ascii $primary; }
    Dialog.ascii Input { border: ascii $primary; }
    Dialog Static { height: auto; }
    """

    def compose(self) -> ComposeResult:
        """Lay out the contents in a frame."""
        self.set_class(bool(getattr(self.app, "ascii_only", False)), "ascii")
        with VerticalScroll() as frame:
            frame.border_title, frame.border_subtitle = self.TITLE_WORDS, self.plain(self.HINT)
            yield from self.contents()

    def plain(self, text: str) -> str:
        """Return text that the terminal can show."""
        return to_ascii(text) if getattr(self.app, "ascii_only", False) else text

    def contents(self) -> ComposeResult:
        """Lay out the inside of the frame."""
        raise NotImplementedError


class Question(Dialog[bool]):
    """Ask before something that cannot be undone."""

    TITLE_WORDS = "Are you sure?"
    AUTO_FOCUS = "#no"
    HINT = "y: yes · n or escape: no"
    BINDINGS = [("y", "answer(True)", "Yes"), ("n,escape", "answer(False)", "No")]
    DEFAULT_CSS = """
    Question > VerticalScroll { width: 60; }
    Question Horizontal { height: auto; align-horizontal: right; }
    """

    def __init__(self, words: str, yes: str) -> None:
        super().__init__()
        self.words, self.yes = words, yes

    def contents(self) -> ComposeResult:
        """Lay out the question and two buttons; No has the focus."""
        yield Static(self.words, markup=False)
        with Horizontal():
            yield Button("No", id="no", compact=True)
            yield Button(self.yes, id="yes", variant="error", compact=True)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answer with a button."""
        self.dismiss(event.button.id == "yes")

    def action_answer(self, answer: bool) -> None:
        """Answer with a key."""
        self.dismiss(answer)
