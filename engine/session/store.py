"""Session folders: make, find, list, rename and delete them."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec

from engine.errors import InputError, JournalError, unknown_name
from engine.plan.plan import Plan
from engine.protocol.events import FORMAT, LARGEST_LINE, VERSION, Header
from engine.session import notes
from engine.session.layout import ARCHIVE_SUFFIX, FOLDERS, JOURNAL, is_kept, is_passing
from engine.session.place import Folder
from engine.session.session import Session
from engine.session.writer import create as create_journal
from engine.system.files import open_plain
from engine.system.paths import sessions_folder
from engine.text import counted, in_utc

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,99}")


class SessionSummary(msgspec.Struct, frozen=True):
    """A session in a list; `state` is that of a Session, or `damaged`."""

    path: Path
    created: str  # in UTC, as shown
    title: str
    state: str
    rows: int
    total: int
    note: str = ""  # its first line


def create(plan: Plan, own: Iterable[str], root: Path | None = None, title: str = "sweep") -> Path:
    """Make the folder of a new session with the header of its journal, naming the user's own sets."""
    now = datetime.now(UTC)
    name = f"{now:%Y%m%d-%H%M%S}-{title}-{secrets.token_hex(2)}"
    session = (root or sessions_folder()) / name
    header = Header(
        FORMAT,
        VERSION,
        hashlib.sha256(secrets.token_bytes(16)).hexdigest()[:16],
        now.isoformat(timespec="milliseconds"),
        f"qood-tui {version('qood-tui')}",
        plan,
        plan.identity(),
        tuple(own),
    )
    create_journal(session, header)
    return session


def discard(session: Path) -> None:
    """Remove a session that was never started."""
    shutil.rmtree(session, ignore_errors=True)


def recorded_folder() -> Path:
    """Return the folder of the sessions that ship with the program."""
    package = Path(__file__).resolve().parents[2]
    installed = package / "qood_tui" / "recorded"
    return installed if installed.is_dir() else package / "sessions"


def is_shipped(session: Path) -> bool:
    """Return whether a session came with the program."""
    return session.resolve().parent == recorded_folder().resolve()


def find(name: str) -> Path:
    """Return the folder of the session `name`: a path, a shipped session or one of the user's own."""
    path = _path(name)
    for folder in (path, recorded_folder() / name, sessions_folder() / name):
        if (folder / JOURNAL).is_file():
            return folder if folder.name else folder.resolve()  # `.` has no name of its own
    if path.suffix == ARCHIVE_SUFFIX:
        raise InputError("session", name, f"import it first: qood-tui sessions import {name}")
    if path.exists():
        raise InputError("session", name, f"a folder with a {JOURNAL}, or a {ARCHIVE_SUFFIX} file, is needed")
    raise unknown_name("session", name, [path.name for path in folders()] or ["demo"])


def find_readable(name: str) -> Path:
    """Return the folder of the session `name`, or the `.qood` file if `name` is one."""
    path = _path(name)
    return path if path.suffix == ARCHIVE_SUFFIX and path.is_file() else find(name)


def _path(name: str) -> Path:
    """Return a name as a path, with the folder in place of its journal."""
    try:
        path = Path(name).expanduser()
        path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError("session", name, f"this cannot be a session ({error})") from None
    return path.parent if path.name == JOURNAL else path


def folders(root: Path | None = None) -> list[Path]:
    """List the session folders, newest first, shipped ones last."""
    own = root or sessions_folder()
    sessions: list[Path] = []
    for place in dict.fromkeys((own.resolve(), recorded_folder().resolve())):
        with_journal = [path for path in _entries(place) if os.path.isfile(path / JOURNAL)]  # noqa: PTH113
        sessions += sorted(with_journal, key=lambda path: (_created(path), path.name), reverse=True)
    return sessions


def summary(folder: Path) -> SessionSummary:
    """Read enough of a session to list it; a damaged one is listed as such."""
    note = notes.first_line(Folder(folder))
    try:
        session = Session.at(folder)
        state = session.state
    except JournalError as error:
        return SessionSummary(folder, "", str(error), "damaged", 0, 0, note)
    plan = session.header.plan
    counts = f"{counted(len(plan.models), 'model')}, {counted(len(plan.bits), 'bit setting')}"
    title = f"{counts}, {plan.method}"
    created = in_utc(session.header.created)
    return SessionSummary(folder, created, title, state, session.rows, session.planned, note)


def check_name(name: str) -> str:
    """Return a valid name for a session's folder; raise InputError, also if it would hide a shipped one."""
    if not _NAME.fullmatch(name) or name.endswith(ARCHIVE_SUFFIX):
        right = "give at most 100 letters, digits and . _ + -, and do not start with . + or -"
        raise InputError("name", name[:120], right)
    if (recorded_folder() / name).exists():
        raise InputError("name", name, "this is the name of a session that ships with the program")
    return name


def check_may_change(session: Path) -> None:
    """Raise InputError if a session may not be changed, because it ships with the program."""
    if is_shipped(session):
        right = "it ships with the program and cannot be changed; copy it with 'sessions export' and 'import'"
        raise InputError("session", session.name, right)


def check_own(session: Path) -> None:
    """Raise InputError if a session may not be moved: it is shipped, being written, or a link."""
    if session.is_symlink():
        raise InputError("session", str(session), "it is a link; name the folder that it points to")
    check_may_change(session)
    if Folder(session).is_being_written():
        right = "it is running, here or on another machine; stop it or wait for it to end"
        raise InputError("session", session.name, right)


def rename(session: Path, name: str) -> Path:
    """Rename a session's folder and return its new path; raise InputError."""
    check_own(session)
    target = session.with_name(check_name(name))
    if os.path.lexists(target):
        raise InputError("name", name, f"{session.parent} already has something with this name")
    try:
        session.rename(target)
    except OSError as error:
        raise InputError("session", str(session), f"it cannot be renamed ({error.strerror})") from None
    return target


def delete(session: Path) -> list[str]:
    """Delete the files of a session and its folder; return other files in it, which are kept.

    The journal is deleted last, so that the rest of an interrupted deletion can still be found and deleted.
    """
    check_own(session)
    try:
        mine = [file.name for file in Folder(session).files() if is_kept(file.name) or is_passing(file.name)]
        for name in sorted(mine, key=lambda name: name == JOURNAL):
            (session / name).unlink(missing_ok=True)
        for folder in (*(session / name for name in FOLDERS), session):
            if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
                folder.rmdir()
    except OSError as error:
        raise InputError("session", str(session), f"it cannot be deleted ({error.strerror})") from None
    return list(_rest(session))


def _rest(session: Path) -> Iterator[str]:
    """List what is left below a folder: files, links and empty folders."""
    for folder, below, files in os.walk(session, followlinks=False):
        links = [name for name in below if Path(folder, name).is_symlink()]
        empty = [folder] if not below and not files and Path(folder) != session else []
        for path in (*(Path(folder, name) for name in (*files, *links)), *map(Path, empty)):
            yield path.relative_to(session).as_posix()


class _Time(msgspec.Struct):
    created: str


_time = msgspec.json.Decoder(_Time)


def _created(session: Path) -> str:
    """Return when a session was created, from its header; an empty text if that cannot be read."""
    try:
        with open_plain(session / JOURNAL) as file:
            return _time.decode(file.readline(LARGEST_LINE)).created
    except (OSError, ValueError, RecursionError):
        return ""


def _entries(place: Path) -> list[Path]:
    try:
        names = [name for name in os.listdir(place) if not name.startswith(".")]  # noqa: PTH208
    except OSError:
        return []
    return [Path(place, name) for name in names]
