"""Looking after recorded sessions from their list: note, name, file, check, deletion."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from textual import work

from engine.archive import transfer
from engine.archive import verify as verifying
from engine.errors import QoodError
from engine.session import notes, store
from engine.session.layout import ARCHIVE_SUFFIX
from engine.session.place import Folder
from engine.text import in_bytes
from qood_tui.screens.base import BaseScreen
from qood_tui.screens.dialogs.dialog import Question
from qood_tui.screens.dialogs.prompt import Prompt
from qood_tui.words import clean

MOST_TOLD = 5  # damaged things that are named at once


class SessionsActions(BaseScreen[None]):
    """A screen on which one session is under the cursor."""

    @property
    def under_cursor(self) -> Path | None:
        """Return the session that the next action is about."""
        raise NotImplementedError

    def forget(self, session: Path) -> None:
        """Look at a session anew: it is no longer there, or no longer what it was."""
        raise NotImplementedError

    def action_note_session(self) -> None:
        """Write a note about the session."""
        if (session := self.under_cursor) is not None and self._may_change(session):
            words = (
                f"What is worth knowing about {clean(session.name)}? An empty line keeps the note as it is."
            )
            before = " ".join(notes.read(Folder(session)).split("\n"))
            self.app.push_screen(Prompt("Note", words, value=before), partial(self._note, session))

    def action_rename_session(self) -> None:
        """Give the session another name."""
        if (session := self.under_cursor) is not None and self._may_change(session):
            words = "Letters, digits and . _ + - make a name."
            prompt = Prompt("Rename", words, value=clean(session.name))
            self.app.push_screen(prompt, partial(self._rename, session))

    def action_delete_session(self) -> None:
        """Delete the session, if the user is sure."""
        if (session := self.under_cursor) is not None and self._may_change(session):
            size = in_bytes(sum(file.size for file in Folder(session).files()))
            words = f"Delete {clean(session.name)} with its {size} for good?"
            self.app.push_screen(Question(words, "Delete it"), partial(self._delete, session))

    def action_export_session(self) -> None:
        """Put the session into one file."""
        if (session := self.under_cursor) is not None:
            words = "One file with journal, note and arrays; others open it with: qood-tui replay FILE"
            prompt = Prompt("Export", words, value=f"{clean(session.name)}{ARCHIVE_SUFFIX}")
            self.app.push_screen(prompt, partial(self._export, session))

    def action_verify_session(self) -> None:
        """Check every line, row, file and number of the session."""
        if (session := self.under_cursor) is not None:
            self.notify(f"Checking {clean(session.name)} …", markup=False)
            self._verify(session)

    def _may_change(self, session: Path) -> bool:
        return self._tried(lambda: store.check_may_change(session))

    def _tried(self, what: Callable[[], object]) -> bool:
        """Do something that may be refused, and say why if it is."""
        try:
            what()
        except (QoodError, OSError) as error:
            self.notify(clean(str(error)), severity="warning", markup=False)
            return False
        return True

    def _note(self, session: Path, text: str | None) -> None:
        if text and self._tried(lambda: notes.write(session, text)):
            self.notify("The note is kept.")
            self.forget(session)

    def _rename(self, session: Path, name: str | None) -> None:
        if name and name != session.name and self._tried(lambda: store.rename(session, name)):
            self.forget(session)

    def _delete(self, session: Path, is_sure: bool | None) -> None:
        left: list[str] = []
        if is_sure and self._tried(lambda: left.extend(store.delete(session))):
            stays = f" Its folder stays, with {len(left)} files that are not a session's." if left else ""
            self.notify(f"{clean(session.name)} is deleted.{stays}", markup=False)
            self.forget(session)

    def _export(self, session: Path, given: str | None) -> None:
        if given:
            self._write(session, Path(given).expanduser())

    @work(thread=True, group="files")
    def _write(self, session: Path, file: Path) -> None:
        def told() -> None:
            made = transfer.export(session, file)
            self.notify(f"{clean(str(made.file))}: {in_bytes(made.size)}.", markup=False)

        self._tried(told)

    @work(thread=True, group="files")
    def _verify(self, session: Path) -> None:
        found = verifying.verify(Folder(session))
        if found.is_whole:
            self.notify(f"{clean(session.name)} is whole: {'; '.join(found.seen)}.", markup=False, timeout=10)
            return
        more = len(found.damage) - MOST_TOLD
        lines = [*found.damage[:MOST_TOLD], *([f"and {more} more"] if more > 0 else [])]
        words = "\n".join([f"{session.name} is damaged:", *lines])
        self.notify("\n".join(map(clean, words.split("\n"))), severity="error", markup=False, timeout=30)
