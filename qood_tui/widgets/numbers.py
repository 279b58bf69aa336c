"""A list of numbers: enter edits one, or takes its next word; + and - change it by a step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from rich.text import Text
from textual import events
from textual.binding import Binding
from textual.message import Message

from qood_tui.widgets.rows import RowList
from qood_tui.words import clip

DIGITS = 10
LABEL = 17


class Field(NamedTuple):
    """A named number; + and - change it by `step`, and `note` explains it or names its limit.

    With `words` it is the index of one of them.
    """

    name: str
    label: str
    value: int
    step: int = 1
    note: str = ""
    words: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Return the value as shown."""
        return self.words[self.value] if self.words else str(self.value)


class Numbers(RowList):
    """Numbers to edit; digits are taken only while one is being edited."""

    BINDINGS = [
        Binding("enter,space", "edit", show=False),
        Binding("right,plus,equals_sign", "change(1)", show=False),
        Binding("left,minus", "change(-1)", show=False),
    ]

    class Changed(Message):
        """A number was changed."""

    def __init__(self, title: str, fields: Iterable[Field], *, id: str) -> None:
        super().__init__(title, id=id)
        self.fields = list(fields)
        self._typed: str | None = None  # while a number is edited

    @property
    def length(self) -> int:
        """Return how many numbers there are."""
        return len(self.fields)

    @property
    def current(self) -> Field:
        """Return the number under the cursor."""
        return self.fields[self.cursor]

    def values(self) -> dict[str, int]:
        """Return the numbers by name."""
        return {field.name: field.value for field in self.fields}

    def offer(self, fields: Iterable[Field]) -> None:
        """Replace the fields."""
        self.fields = list(fields)
        self._typed = None
        self.draw()

    def offer_notes(self, fields: Iterable[Field]) -> None:
        """Replace the notes, which may depend on the numbers."""
        notes = {field.name: field.note for field in fields}
        self.fields = [field._replace(note=notes.get(field.name, field.note)) for field in self.fields]
        self.draw()

    def on_blur(self) -> None:
        """Stop editing."""
        self._keep()

    def on_key(self, event: events.Key) -> None:
        """Take digits while a number is being edited."""
        if self._typed is None:
            return
        typed = event.character or ""
        if typed.isdecimal() and typed.isascii():
            self._typed = (self._typed + typed)[:DIGITS]
        elif event.key == "backspace":
            self._typed = self._typed[:-1]
        elif event.key == "enter":
            self._keep()
        elif event.key == "escape":
            self._typed = None
        else:
            return
        event.stop()
        event.prevent_default()
        self.draw()

    def action_edit(self) -> None:
        """Edit the number under the cursor, or take its next word."""
        if words := self.current.words:
            self._set((self.current.value + 1) % len(words))
            return
        self._typed = ""
        self.draw()

    def action_change(self, steps: int) -> None:
        """Change the number by its step."""
        self._keep()
        value = max(self.current.value + steps * self.current.step, 0)
        self._set(min(value, len(self.current.words) - 1) if self.current.words else value)

    def action_move(self, steps: int) -> None:
        """Go to another number."""
        self._keep()
        super().action_move(steps)

    def clicked(self, x: int) -> None:
        """Edit the number."""
        self.action_edit()

    def hint(self) -> str:
        """Return which keys can be pressed."""
        if self._typed is not None:
            return "type digits, then enter"
        return "enter edits, + -" if self.has_focus else ""

    def line(self, place: int, *, is_here: bool) -> Text:
        """Return a number with its label, and as much of its note as fits."""
        field = self.fields[place]
        is_edited = is_here and self._typed is not None
        number = f"{self._typed}_" if is_edited else field.text
        line = Text(f"{'>' if is_here else ' '}{clip(field.label, LABEL):<{LABEL}} {number:>10}")
        line.stylize("reverse" if is_here else "")
        note = f"was {field.value}; escape keeps it" if is_edited else field.note
        room = self.inner.width - line.cell_len - 2
        if note and room > 0:
            line.append(f"  {clip(note, room)}", "dim")
        return line

    def _keep(self) -> None:
        """Accept what was typed."""
        typed, self._typed = self._typed, None
        if typed:
            self._set(int(typed))

    def _set(self, value: int) -> None:
        self.fields[self.cursor] = self.current._replace(value=value)
        self.draw()
        self.post_message(self.Changed())
