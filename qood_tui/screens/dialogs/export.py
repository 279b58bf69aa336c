"""The dialog that saves or copies what a screen shows."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.widgets import Button, Input, Label

from engine.text import counted
from qood_tui.screens.dialogs.dialog import Dialog
from qood_tui.widgets.entry import TextEntry
from qood_tui.widgets.picks import Option, Picks


class Form(NamedTuple):
    """Something to save or copy: its label, the ending of its file name, and how to make it."""

    label: str
    suffix: str
    make: Callable[[], str]


class ExportScreen(Dialog[None]):
    """Choose a form, then save or copy it."""

    TITLE_WORDS = "Save or copy"
    HINT = "↑↓ choose · enter saves · ^y copies · escape closes"
    BINDINGS = [
        ("ctrl+s", "save", "Save"),
        ("ctrl+y", "copy", "Copy"),
        Binding("enter", "save", priority=True),
    ]
    DEFAULT_CSS = """
    ExportScreen > VerticalScroll { width: 76; }
    ExportScreen #forms { height: 8; }
    ExportScreen Horizontal { height: auto; align-horizontal: right; }
    """

    def __init__(self, forms: list[Form], stem: str) -> None:
        super().__init__()
        self.forms, self.stem = forms, re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-.") or "qood"

    def contents(self) -> ComposeResult:
        """Lay out the forms, the file name and two buttons."""
        options = [Option(form.suffix, form.label) for form in self.forms]
        yield Picks("", options, (options[0].name,), id="forms", single=True, follows=True)
        yield Label("File name in the current folder, or a path:")
        yield TextEntry(self._file(self.forms[0]), compact=True)
        with Horizontal():
            yield Button("Copy", id="copy", compact=True)
            yield Button("Save", id="save", variant="primary", compact=True)

    def on_mount(self) -> None:
        """Focus the forms."""
        self.query_one(Picks).focus()

    def _file(self, form: Form) -> str:
        return f"{self.stem}{form.suffix}"

    @property
    def form(self) -> Form:
        """Return the chosen form."""
        (chosen,) = self.query_one(Picks).chosen
        return next(form for form in self.forms if form.suffix == chosen)

    @on(Picks.Changed)
    def name_file(self) -> None:
        """Change the ending of the file name, unless the user has changed the name."""
        line = self.query_one(Input)
        if line.value in [self._file(form) for form in self.forms]:
            line.value = self._file(self.form)

    @on(Button.Pressed, "#save")
    def action_save(self) -> None:
        """Write a new file; or copy, if that button has the focus."""
        if self.focused is not None and self.focused.id == "copy":
            self.action_copy()
            return
        name = self.query_one(Input).value.strip()
        try:
            path = Path(name).expanduser()
            with path.open("x", encoding="utf-8") as file:
                file.write(self.form.make())
        except FileExistsError:
            self.notify(f"{name} already exists; choose another name", severity="error", markup=False)
        except (OSError, RuntimeError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            self.notify(
                f"Cannot write {name or 'a file without a name'}: {why}", severity="error", markup=False
            )
        else:
            self.notify(f"Saved {path.resolve()}", markup=False)
            self.dismiss(None)

    @on(Button.Pressed, "#copy")
    def action_copy(self) -> None:
        """Copy it, over SSH too."""
        text = self.form.make()
        self.app.copy_to_clipboard(text)
        self.notify(f"Copied {self.form.label} ({counted(len(text), 'character')})", markup=False)
        self.dismiss(None)
