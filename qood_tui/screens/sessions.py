"""The list of recorded sessions: open and compare them, note, rename, export, verify and delete them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from rich.text import Text
from textual import events, on, work
from textual.app import ComposeResult
from textual.message import Message
from textual.widgets import Input

from engine.archive import transfer
from engine.archive import verify as verifying
from engine.errors import QoodError
from engine.session import notes, store
from engine.session.layout import ARCHIVE_SUFFIX
from engine.session.place import Folder
from engine.text import counted, in_bytes
from qood_tui.screens.base import BaseScreen
from qood_tui.screens.dialogs.dialog import Question
from qood_tui.screens.dialogs.prompt import Prompt
from qood_tui.settings.bindings import bindings
from qood_tui.widgets.entry import TextEntry
from qood_tui.widgets.lines import Lines
from qood_tui.widgets.picks import Option, Picks
from qood_tui.widgets.rows import RowList
from qood_tui.words import clean, clip, wrapped

BOX = 5  # cells of the box before each session
NAME = 26  # of a session: as long as the engine makes it
MOST_DAMAGE = 5  # damaged things that are named at once


class SessionList(Picks, inherit_bindings=False):
    """Sessions to mark; enter is left to the screen, which opens one."""

    BINDINGS = RowList.BINDINGS

    class Opened(Message):
        """A session was clicked."""

    def clicked(self, x: int) -> None:
        """Mark with a click on the box, open with a click on the rest of the line."""
        if x < BOX:
            self.action_pick()
        else:
            self.post_message(self.Opened())


class SessionsScreen(BaseScreen[None]):
    """List sessions, newest first: open one, or compare several."""

    GROUPS = ("List of sessions",)
    BINDINGS = bindings("List of sessions")
    DEFAULT_CSS = """
    SessionsScreen #heading { height: 2; padding: 0 1; }
    SessionsScreen #words { display: none; }
    """

    class Chosen(Message):
        """Sessions are to be shown."""

        def __init__(self, sessions: tuple[Path, ...]) -> None:
            super().__init__()
            self.sessions = sessions

    def __init__(self, compared_with: Path | None = None) -> None:
        super().__init__()
        self.compared_with = compared_with  # the session chosen here
        self.summaries: dict[str, store.SessionSummary] = {}
        self.order: list[str] = []  # all sessions, newest first
        self.words = ""

    def contents(self) -> ComposeResult:
        """Lay out a list that is filled in the background."""
        yield Lines(id="heading")
        yield SessionList("Recorded sessions", id="list")
        yield TextEntry(
            placeholder="parts of a session's line; enter keeps the filter, escape clears it", id="words"
        )

    def on_mount(self) -> None:
        """Focus the list."""
        self.query_one(Picks).focus()

    @property
    def current(self) -> Path | None:
        """Return the session under the cursor."""
        option = self.query_one(Picks).current
        return Path(option.name) if option else None

    # The list

    @on(events.ScreenResume)
    def resumed(self) -> None:
        """Read what has changed in the meantime."""
        self.read_sessions()

    @work(thread=True, exclusive=True)
    def read_sessions(self) -> None:
        """Read all sessions without blocking the screen."""
        folders = store.folders()
        self.order = [str(folder) for folder in folders]
        self.summaries = {key: self.summaries[key] for key in self.order if key in self.summaries}
        for folder in folders:
            summary = store.summary(folder)
            if self.summaries.get(str(folder)) != summary:
                self.app.call_from_thread(self._add, summary)
        self.app.call_from_thread(self.offer)

    def _add(self, summary: store.SessionSummary) -> None:
        self.summaries[str(summary.path)] = summary
        self.offer()

    @on(events.Resize)
    def refit(self) -> None:
        """Write the lines for the new width."""
        self.call_after_refresh(self.offer)

    @on(Picks.Moved)
    def offer(self) -> None:
        """Show the sessions that match the filter, and the current one's full name above them."""
        if not self.is_mounted:
            return
        words = self.words.lower().split()
        options = [self._option(key, self.summaries[key]) for key in self.order if key in self.summaries]
        self.query_one(Picks).offer(
            o for o in options if all(word in f"{o.label} {o.note}".lower() for word in words)
        )
        text = "Enter opens a session: live if running, otherwise as a replay. Space marks, c compares."
        if self.compared_with is not None:
            text = f"Enter compares a session with {clean(self.compared_with.name)}."
        session = self.current
        name = clean(session.name) if session else ""
        if session and str(session) in self.summaries and (note := self.summaries[str(session)].note):
            name += f": {clean(note)}"
        detail = name if self.summaries else "None yet: start a sweep, or run 'qood-tui replay demo'."
        heading = self.query_one("#heading", Lines)
        lines = wrapped(Text(text), max(heading.inner.width, 1))
        heading.show([*lines, Text(detail, style="dim")][: max(heading.inner.height, 1)])

    def _option(self, key: str, summary: store.SessionSummary) -> Option:
        """Return a line: what distinguishes sessions first, then what fits."""
        images = f"{summary.rows:,}/{summary.total:,}" if summary.total else ""
        name = clip(clean(summary.path.name), NAME)
        line = f"{name:<{NAME}} {summary.state:<11} {images:>12}  {summary.created}"
        return Option(key, clean(line).rstrip(), clean(summary.title))

    def reread(self, session: Path) -> None:
        """Read a session again that has changed or gone."""
        self.summaries.pop(str(session), None)
        picks = self.query_one(Picks)
        picks.ticked = [key for key in picks.ticked if key != str(session)]
        self.offer()
        self.read_sessions()

    # The filter

    def action_filter_sessions(self) -> None:
        """Ask for parts of lines."""
        self.query_one("#words").display = True
        self.query_one("#words").focus()

    @on(Input.Changed, "#words")
    def filter_changed(self, event: Input.Changed) -> None:
        """Filter while typing."""
        self.words = event.value
        self.offer()

    @on(Input.Submitted, "#words")
    def filter_kept(self) -> None:
        """Go back to the list."""
        self.query_one("#words").display = False
        self.query_one(Picks).focus()

    def close_filter(self) -> bool:
        """Clear the filter; return whether there was one."""
        line = self.query_one("#words", Input)
        if not line.display and not self.words:
            return False
        line.value, line.display = "", False
        self.words = ""
        self.offer()
        self.query_one(Picks).focus()
        return True

    # Open and compare

    @on(SessionList.Opened)
    def action_open_session(self) -> None:
        """Open the current session, or compare it with the one this list was opened from."""
        if (session := self.current) is not None:
            self.post_message(
                self.Chosen((self.compared_with, session) if self.compared_with else (session,))
            )

    def action_mark_session(self) -> None:
        """Mark or unmark the current session."""
        picks = self.query_one(Picks)
        if picks.current is not None:
            picks.tick(picks.current.name)

    def action_compare_marked(self) -> None:
        """Compare the marked sessions with the one marked first."""
        marked = self.query_one(Picks).ticked
        if len(marked) < 2:
            self.notify("Mark two or more sessions with space first.", severity="warning")
            return
        self.post_message(self.Chosen(tuple(Path(key) for key in marked)))

    # Note, rename, delete, export, verify

    def action_note_session(self) -> None:
        """Ask for a note about the session."""
        if (session := self.current) is not None and self._may_change(session):
            text = f"A note about {clean(session.name)}. An empty line keeps the present one."
            before = " ".join(notes.read(Folder(session)).split("\n"))
            self.app.push_screen(Prompt("Note", text, value=before), partial(self._note, session))

    def action_rename_session(self) -> None:
        """Ask for another name."""
        if (session := self.current) is not None and self._may_change(session):
            text = "A name consists of letters, digits and . _ + -"
            prompt = Prompt("Rename", text, value=clean(session.name))
            self.app.push_screen(prompt, partial(self._rename, session))

    def action_delete_session(self) -> None:
        """Delete the session after a question."""
        if (session := self.current) is not None and self._may_change(session):
            size = in_bytes(sum(file.size for file in Folder(session).files()))
            text = f"Delete {clean(session.name)} ({size}) for good?"
            self.app.push_screen(Question(text, "Delete"), partial(self._delete, session))

    def action_export_session(self) -> None:
        """Ask for a file to export to."""
        if (session := self.current) is not None:
            text = "One file with journal, note and arrays. To open it: qood-tui replay FILE"
            prompt = Prompt("Export", text, value=f"{clean(session.name)}{ARCHIVE_SUFFIX}")
            self.app.push_screen(prompt, partial(self._export, session))

    def action_verify_session(self) -> None:
        """Verify every line, row, file and number of the session."""
        if (session := self.current) is not None:
            self.notify(f"Verifying {clean(session.name)} …", markup=False)
            self._verify(session)

    def _may_change(self, session: Path) -> bool:
        return self._succeeds(lambda: store.check_may_change(session))

    def _succeeds(self, action: Callable[[], object]) -> bool:
        """Run something that may be refused, and show why if it is."""
        try:
            action()
        except (QoodError, OSError) as error:
            self.notify(clean(str(error)), severity="warning", markup=False)
            return False
        return True

    def _note(self, session: Path, text: str | None) -> None:
        if text and self._succeeds(lambda: notes.write(session, text)):
            self.notify("Note saved.")
            self.reread(session)

    def _rename(self, session: Path, name: str | None) -> None:
        if name and name != session.name and self._succeeds(lambda: store.rename(session, name)):
            self.reread(session)

    def _delete(self, session: Path, is_sure: bool | None) -> None:
        others: list[str] = []
        if is_sure and self._succeeds(lambda: others.extend(store.delete(session))):
            count = counted(len(others), "other file")
            kept = f" Its folder still holds {count}." if others else ""
            self.notify(f"Deleted {clean(session.name)}.{kept}", markup=False)
            self.reread(session)

    def _export(self, session: Path, file: str | None) -> None:
        if file:
            self._write(session, Path(file).expanduser())

    @work(thread=True, group="files")
    def _write(self, session: Path, file: Path) -> None:
        def export() -> None:
            made = transfer.export(session, file)
            self.notify(f"Saved {clean(str(made.file))} ({in_bytes(made.size)}).", markup=False)

        self._succeeds(export)

    @work(thread=True, group="files")
    def _verify(self, session: Path) -> None:
        verdict = verifying.verify(Folder(session))
        name = clean(session.name)
        if verdict.is_whole:
            self.notify(f"{name} is intact: {'; '.join(verdict.seen)}.", markup=False, timeout=10)
            return
        more = len(verdict.damage) - MOST_DAMAGE
        lines = [*map(clean, verdict.damage[:MOST_DAMAGE]), *([f"and {more} more"] if more > 0 else [])]
        message = "\n".join([f"{name} is damaged:", *lines])
        self.notify(message, severity="error", markup=False, timeout=30)
