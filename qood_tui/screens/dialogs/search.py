"""The dialog that searches all choices of the set-up screen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from textual import events, on
from textual.app import ComposeResult
from textual.widgets import Input

from qood_tui.screens.dialogs.dialog import Dialog
from qood_tui.widgets.entry import TextEntry
from qood_tui.widgets.picks import Option, Picks


class Hit(NamedTuple):
    """An option of a group, and whether it is ticked."""

    group: str
    option: Option
    is_ticked: bool


class SearchScreen(Dialog[list[Hit]]):
    """Search by parts of names; enter ticks an option, escape returns all changes."""

    TITLE_WORDS = "Search"
    HINT = "enter ticks · escape closes"
    BINDINGS = [("escape", "done", "Close")]
    DEFAULT_CSS = """
    SearchScreen > VerticalScroll { height: 80%; }
    SearchScreen Picks { height: 1fr; }
    """

    def __init__(self, hits: list[Hit], labels: Mapping[str, str]) -> None:
        super().__init__()
        self.hits, self.labels = hits, labels
        self.changed: dict[tuple[str, str], Hit] = {}

    def contents(self) -> ComposeResult:
        """Lay out the line above its hits."""
        yield TextEntry(placeholder="parts of a name, e.g. deit 22k, w4, energy")
        yield Picks("", id="hits")

    def on_mount(self) -> None:
        """Show everything."""
        self.find()
        self.query_one(Input).focus()

    @on(Input.Changed)
    def find(self) -> None:
        """Show the options that contain everything typed."""
        words = self.query_one(Input).value.lower().split()
        found = []
        for place, hit in enumerate(self.hits):
            group = self.labels[hit.group]
            text = f"{group} {hit.option.name} {hit.option.label} {hit.option.note}".lower()
            if all(word in text for word in words):
                label = f"{hit.option.label} · {group}"
                found.append(hit.option._replace(name=str(place), label=label))
        ticked = [str(place) for place, hit in enumerate(self.hits) if self._now(hit)]
        self.query_one(Picks).offer(found, ticked)

    def _now(self, hit: Hit) -> bool:
        changed = self.changed.get((hit.group, hit.option.name))
        return hit.is_ticked if changed is None else changed.is_ticked

    @on(Picks.Changed)
    def note(self, event: Picks.Changed) -> None:
        """Record what was ticked or unticked."""
        shown = {option.name for option in event.picks.options}
        for place, hit in enumerate(self.hits):
            is_ticked = str(place) in event.picks.ticked
            if str(place) in shown and is_ticked != self._now(hit):
                self.changed[hit.group, hit.option.name] = hit._replace(is_ticked=is_ticked)

    @on(Input.Submitted)
    def tick(self) -> None:
        """Tick or untick the option under the cursor."""
        self.query_one(Picks).action_pick()

    def on_key(self, event: events.Key) -> None:
        """Move the list's cursor while the line has the focus."""
        if event.key in ("up", "down"):
            event.stop()
            self.query_one(Picks).action_move(1 if event.key == "down" else -1)

    def action_done(self) -> None:
        """Return the changes."""
        self.dismiss(list(self.changed.values()))
