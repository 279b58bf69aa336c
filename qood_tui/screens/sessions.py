"""The list of recorded sessions."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text
from textual import events, on, work
from textual.app import ComposeResult
from textual.message import Message
from textual.widgets import Input

from engine.session import store
from qood_tui.screens.sessions_actions import SessionsActions
from qood_tui.settings.bindings import bindings
from qood_tui.widgets.entry import TextEntry
from qood_tui.widgets.lines import Lines
from qood_tui.widgets.picks import Option, Picks
from qood_tui.widgets.rows import RowList
from qood_tui.words import clean, clip, wrapped

LEAST_TO_COMPARE = 2
BOX = 5  # cells of a line's box
NAME = 26  # of a session: as long as the engine makes it


class SessionList(Picks, inherit_bindings=False):
    """Sessions to mark; enter is left to the screen, which opens one."""

    BINDINGS = RowList.BINDINGS

    class Opened(Message):
        """A session was clicked."""

    def clicked(self, x: int) -> None:
        """Mark with a click on the box, open with one on the rest of the line."""
        if x < BOX:
            self.action_pick()
        else:
            self.post_message(self.Opened())


class SessionsScreen(SessionsActions):
    """List sessions, newest first: one is opened, several are compared."""

    GROUPS = ("List of sessions",)
    BINDINGS = bindings("List of sessions")
    DEFAULT_CSS = """
    SessionsScreen #heading { height: 2; padding: 0 1; }
    SessionsScreen #words { display: none; }
    """

    class Chosen(Message):
        """Sessions are to be shown."""

        def __init__(self, chosen: tuple[Path, ...]) -> None:
            super().__init__()
            self.sessions = chosen

    def __init__(self, beside: Path | None = None) -> None:
        super().__init__()
        self.beside = beside  # a session that the chosen one is to be compared with
        self.found: dict[str, store.SessionSummary] = {}
        self.order: list[str] = []  # of all there are, newest first
        self.words = ""

    def contents(self) -> ComposeResult:
        """Show a list, filled in the background."""
        yield Lines(id="heading")
        yield SessionList("Recorded sessions", id="list")
        yield TextEntry(placeholder="parts of a session's line; enter keeps, escape clears", id="words")

    def on_mount(self) -> None:
        """Begin to read."""
        self.query_one(Picks).focus()

    @on(events.Resize)
    def refit(self) -> None:
        """Write the lines for the new width."""
        self.call_after_refresh(self.offer)

    @on(events.ScreenResume)
    def seen_again(self) -> None:
        """See what has changed meanwhile."""
        self.read_sessions()

    @on(Picks.Moved)
    def name_it(self) -> None:
        """Say the name of the session under the cursor, which its line may have cut."""
        self.offer()

    @property
    def under_cursor(self) -> Path | None:
        """Return the session under the cursor."""
        current = self.query_one(Picks).current
        return Path(current.name) if current else None

    def forget(self, session: Path) -> None:
        """Look at a session anew: it is no longer there, or no longer what it was."""
        self.found.pop(str(session), None)
        picks = self.query_one(Picks)
        picks.ticked = [key for key in picks.ticked if key != str(session)]
        self.offer()
        self.read_sessions()

    @work(thread=True, exclusive=True)
    def read_sessions(self) -> None:
        """Read all sessions without holding up the screen."""
        folders = store.folders()
        self.order = [str(folder) for folder in folders]
        self.found = {key: self.found[key] for key in self.order if key in self.found}
        for folder in folders:
            found = store.summary(folder)
            if self.found.get(str(folder)) != found:
                self.app.call_from_thread(self._add, found)
        self.app.call_from_thread(self.offer)

    def _add(self, found: store.SessionSummary) -> None:
        self.found[str(found.path)] = found
        self.offer()

    def offer(self) -> None:
        """Show the sessions that the filter keeps."""
        if not self.is_mounted:
            return
        picks = self.query_one(Picks)
        kept = [self._option(key, self.found[key]) for key in self.order if key in self.found]
        words = self.words.lower().split()
        picks.offer(o for o in kept if all(w in f"{o.label} {o.note}".lower() for w in words))
        told = "Enter opens one: a running one live, another as a replay. Space marks, c compares the marked."
        if self.beside is not None:
            told = f"Enter compares one with {clean(self.beside.name)}."
        session = self.under_cursor
        named = clean(session.name) if session else ""
        if session and str(session) in self.found and (note := self.found[str(session)].note):
            named += f": {clean(note)}"
        none = named if self.found else "None yet: start a sweep, or see the demo with qood-tui replay demo."
        heading = self.query_one("#heading", Lines)
        lines = wrapped(Text(told), max(heading.inner.width, 1))
        heading.show([*lines, Text(none, style="dim")][: max(heading.inner.height, 1)])

    def _option(self, key: str, found: store.SessionSummary) -> Option:
        """Return a line: what tells sessions apart first, then what there is room for."""
        images = f"{found.rows:,}/{found.total:,}" if found.total else ""
        name = clip(clean(found.path.name), NAME)
        line = f"{name:<{NAME}} {found.state:<11} {images:>12}  {found.created}"
        return Option(key, clean(line).rstrip(), clean(found.title))

    @on(Input.Changed, "#words")
    def filter_changed(self, event: Input.Changed) -> None:
        """Filter while it is typed."""
        self.words = event.value
        self.offer()

    @on(Input.Submitted, "#words")
    def filter_kept(self) -> None:
        """Go back to the list."""
        self.query_one("#words").display = False
        self.query_one(Picks).focus()

    def action_filter_sessions(self) -> None:
        """Ask for parts of lines."""
        self.query_one("#words").display = True
        self.query_one("#words").focus()

    def close_filter(self) -> bool:
        """Clear the filter; tell whether there was one."""
        line = self.query_one("#words", Input)
        if not line.display and not self.words:
            return False
        line.value, line.display = "", False
        self.words = ""
        self.offer()
        self.query_one(Picks).focus()
        return True

    @on(SessionList.Opened)
    def action_open_session(self) -> None:
        """Open what is under the cursor, or compare it with the session that was given."""
        if (path := self.under_cursor) is None:
            return
        self.post_message(self.Chosen((self.beside, path) if self.beside else (path,)))

    def action_mark_session(self) -> None:
        """Mark or unmark the session under the cursor."""
        picks = self.query_one(Picks)
        if picks.current is not None:
            picks.tick(picks.current.name)

    def action_compare_marked(self) -> None:
        """Compare the marked sessions, the first marked is what the others are compared with."""
        marked = self.query_one(Picks).ticked
        if len(marked) < LEAST_TO_COMPARE:
            self.notify("Mark two or more sessions with space, then compare them.", severity="warning")
            return
        self.post_message(self.Chosen(tuple(Path(key) for key in marked)))
