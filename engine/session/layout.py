"""The files that a session's folder may hold: which are the session, and which are only there for a while."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from engine.errors import InputError
from engine.session import journal, notes
from engine.session.store import is_shipped, recorded_folder

_FILE = r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,199}"
_KEPT = re.compile(
    rf"journal\.jsonl|note\.txt|arrays/{_FILE}\.npy|outputs/{_FILE}\.npy|quantized/{_FILE}\.safetensors"
)
# What only serves whoever writes the session.
_PASSING = re.compile(
    rf"reserve|journal\.jsonl\.torn|lease([.-]{_FILE})?|\.note-{_FILE}|(arrays|outputs|quantized)/{_FILE}\.partial"
)
_SESSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,99}")
JOURNAL = "journal"


class SessionFile(NamedTuple):
    """One file of a session, by its path inside the folder."""

    name: str
    size: int

    @property
    def of(self) -> str:
        """Return what it is part of: journal, note, arrays, outputs, quantized or other."""
        if self.name == journal.NAME:
            return JOURNAL
        if self.name == notes.NAME:
            return "note"
        return self.name.partition("/")[0] if is_kept(self.name) else "other"


def is_kept(name: str) -> bool:
    """Tell whether a path inside a session's folder is one of a file that makes up a session."""
    return _KEPT.fullmatch(name) is not None


def is_passing(name: str) -> bool:
    """Tell whether a path is of a file that only serves whoever writes the session."""
    return _PASSING.fullmatch(name) is not None


def check_name(name: str) -> str:
    """Return the name of a session's folder; raise InputError if it cannot be or would hide a shipped one."""
    if not _SESSION.fullmatch(name) or name.endswith(".qood"):
        right = "give a name of letters, digits and . _ + -, at most 100, with none of . + - in front"
        raise InputError("name", name[:120], right)
    if (recorded_folder() / name).exists():
        raise InputError("name", name, "a session that ships with the program has this name")
    return name


def parts(session: Path) -> list[SessionFile]:
    """List every plain file below a session's folder, by path; links are neither listed nor followed."""
    found = []
    for folder, below, files in os.walk(session, followlinks=False):
        below.sort()
        for file in files:
            path = Path(folder, file)
            with contextlib.suppress(FileNotFoundError):  # some only serve a writer, and come and go
                about = path.lstat()
                if stat.S_ISREG(about.st_mode):
                    found.append(SessionFile(path.relative_to(session).as_posix(), about.st_size))
    return sorted(found)


def kept(session: Path) -> list[SessionFile]:
    """List the files that make up a session, by path."""
    return [part for part in parts(session) if is_kept(part.name)]


def check_may_change(session: Path) -> None:
    """Raise InputError if a session is not the user's to change: it ships with the program."""
    if is_shipped(session):
        right = "it ships with the program and stays as it is; 'sessions export' and 'import' make a copy"
        raise InputError("session", session.name, right)


def check_own(session: Path) -> None:
    """Raise InputError if a session is not the user's to move: shipped, at work, or a link."""
    if session.is_symlink():
        raise InputError("session", str(session), "it is a link; name the folder that it leads to")
    check_may_change(session)
    if journal.is_being_written(session):
        raise InputError(
            "session",
            session.name,
            "it is running, here or on another machine; stop it first, or wait for its end",
        )


def rename(session: Path, name: str) -> Path:
    """Give a session's folder another name and return where it is; raise InputError."""
    check_own(session)
    target = session.with_name(check_name(name))
    if os.path.lexists(target):
        raise InputError("name", name, f"there is something of this name in {session.parent}")
    try:
        session.rename(target)
    except OSError as error:
        raise InputError("session", str(session), f"it cannot be renamed ({error.strerror})") from None
    return target


def delete(session: Path) -> list[str]:
    """Delete what makes up a session, and its folder; return what else lay in there, which stays.

    The journal goes last, so that what is left of an interrupted deletion can still be found and deleted.
    """
    check_own(session)
    try:
        mine = [p for p in parts(session) if is_kept(p.name) or is_passing(p.name)]
        for part in sorted(mine, key=lambda part: part.name == journal.NAME):
            (session / part.name).unlink(missing_ok=True)
        for folder in (*(session / name for name in ("arrays", "outputs", "quantized")), session):
            if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
                folder.rmdir()
    except OSError as error:
        raise InputError("session", str(session), f"it cannot be deleted ({error.strerror})") from None
    return list(_rest(session))


def free_below(folder: Path) -> int:
    """Return how many bytes are free where a folder lies or will lie."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    return shutil.disk_usage(there).free


def _rest(session: Path) -> Iterator[str]:
    """List what is left below a folder, folders with something in them left out."""
    for folder, below, files in os.walk(session, followlinks=False):
        links = [name for name in below if Path(folder, name).is_symlink()]
        empty = [folder] if not below and not files and Path(folder) != session else []
        for path in (*(Path(folder, name) for name in (*files, *links)), *map(Path, empty)):
            yield path.relative_to(session).as_posix()
