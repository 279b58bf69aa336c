"""A list of options to tick with space, enter or a click."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from rich.text import Text
from textual.binding import Binding
from textual.message import Message

from qood_tui.widgets.rows import RowList
from qood_tui.words import clip


class Option(NamedTuple):
    """Something to pick; `why_not` says why it cannot be picked now."""

    name: str
    label: str
    note: str = ""
    why_not: str = ""


class Picks(RowList):
    """Options of which any number, or with `single` exactly one, is ticked."""

    BINDINGS = [Binding("space,enter", "pick", show=False)]

    class Changed(Message):
        """The ticked options have changed."""

        def __init__(self, picks: Picks) -> None:
            super().__init__()
            self.picks, self.chosen = picks, picks.chosen

        @property
        def control(self) -> Picks:
            """Return the list, so that handlers can select it."""
            return self.picks

    def __init__(
        self,
        title: str,
        options: Iterable[Option] = (),
        ticked: Iterable[str] = (),
        *,
        id: str,
        single: bool = False,
        follows: bool = False,
    ) -> None:
        super().__init__(title, id=id)
        self.single, self.follows = single, follows
        self.options = list(options)
        self.ticked = list(dict.fromkeys(ticked))
        self.starred = ""  # an option with a special role, such as the headline score

    @property
    def length(self) -> int:
        """Return how many options there are."""
        return len(self.options)

    @property
    def count(self) -> int:
        """Return how many options can be ticked."""
        return sum(not option.why_not for option in self.options)

    @property
    def chosen(self) -> tuple[str, ...]:
        """Return the names of the ticked options, in list order."""
        return tuple(o.name for o in self.options if o.name in self.ticked and not o.why_not)

    @property
    def current(self) -> Option | None:
        """Return the option under the cursor."""
        return self.options[self.cursor] if self.options else None

    def offer(self, options: Iterable[Option], ticked: Iterable[str] | None = None) -> None:
        """Replace the options, and the ticks if given."""
        self.options = list(options)
        if ticked is not None:
            self.ticked = list(dict.fromkeys(ticked))
        self.draw()

    def tick(self, name: str, *, on: bool | None = None) -> None:
        """Tick or untick an option; show why if it cannot be ticked."""
        option = next((option for option in self.options if option.name == name), None)
        if option is None:
            return
        if option.why_not:
            self.app.notify(f"{option.label}: {option.why_not}", severity="warning", markup=False)
            return
        is_on = name in self.ticked
        wanted = (not is_on if on is None else on) or self.single
        if wanted == is_on:
            return
        others = [] if self.single else [one for one in self.ticked if one != name]
        self.ticked = [*others, name] if wanted else others
        self.draw()
        self.post_message(self.Changed(self))

    def tick_all(self, *, on: bool) -> None:
        """Tick everything that can be ticked, or nothing."""
        if not self.single:
            self.ticked = [o.name for o in self.options if on and not o.why_not]
            self.draw()
            self.post_message(self.Changed(self))

    def action_move(self, steps: int) -> None:
        """Move the cursor, and the tick with it if it `follows`."""
        super().action_move(steps)
        if self.follows and self.current is not None:
            self.tick(self.current.name, on=True)

    def action_pick(self) -> None:
        """Tick or untick the option under the cursor."""
        if self.current is not None:
            self.tick(self.current.name)

    def clicked(self, x: int) -> None:
        """Tick or untick the clicked option."""
        self.action_pick()

    def hint(self) -> str:
        """Return how many options are ticked."""
        return "" if self.single else f"{len(self.chosen)} of {self.count}"

    def line(self, place: int, *, is_here: bool) -> Text:
        """Return a box with the option's label and as much of its note as fits."""
        option = self.options[place]
        mark = ("o" if self.single else "x") if option.name in self.ticked else " "
        left, right = "()" if self.single else "[]"
        box = f"{left}{'-' if option.why_not else mark}{right}"
        star = "★" if option.name and option.name == self.starred else " "
        label = f"{'>' if is_here else ' '}{box}{star}{option.label}"
        line = Text(clip(label, self.inner.width), style="reverse" if is_here else "")
        room = self.inner.width - line.cell_len - 2
        note = option.why_not or option.note
        if note and room >= min(len(note), 8):
            line.append(f"  {clip(note, room)}", "dim")
        if option.why_not:
            line.stylize("dim")
        return line
