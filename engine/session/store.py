"""Session folders: making new ones, finding and listing those there are."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec

from engine.errors import InputError, JournalError, unknown_name
from engine.plan.plan import Plan
from engine.protocol.events import FORMAT, LARGEST_LINE, VERSION, Entry, Header, SessionClosed, SessionResumed
from engine.session import journal, notes
from engine.session.writer import create as create_journal
from engine.system.files import open_plain
from engine.system.paths import sessions_folder
from engine.text import in_utc


class SessionSummary(msgspec.Struct, frozen=True):
    """A session in a list: `state` is finished, failed, cancelled, running, interrupted or damaged."""

    path: Path
    created: str  # in UTC, as it is shown
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
    """Remove a session in which nothing was begun."""
    shutil.rmtree(session, ignore_errors=True)


def recorded_folder() -> Path:
    """Return the folder of the sessions that ship with the program."""
    package = Path(__file__).resolve().parents[2]
    installed = package / "qood_tui" / "recorded"
    return installed if installed.is_dir() else package / "sessions"


def is_shipped(session: Path) -> bool:
    """Tell whether a session came with the program."""
    return session.resolve().parent == recorded_folder().resolve()


def find(name: str) -> Path:
    """Return the folder of the session `name`: a path, a shipped session or one of the user's."""
    try:
        given = Path(name).expanduser()
        given.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError("session", name, f"it cannot be a session ({error})") from None
    if given.name == journal.NAME:
        given = given.parent
    candidates = [given, recorded_folder() / name, sessions_folder() / name]
    for candidate in candidates:
        if (candidate / journal.NAME).is_file():
            return candidate if candidate.name else candidate.resolve()  # that of `.` is of no use
    if given.suffix == ".qood":
        raise InputError("session", name, f"import it first: qood-tui sessions import {name}")
    if given.exists():
        raise InputError("session", name, f"a folder with a {journal.NAME} is needed")
    raise unknown_name("session", name, [path.name for path in folders()] or ["demo"])


def folders(root: Path | None = None) -> list[Path]:
    """List the session folders, newest first, shipped ones last."""
    own = root or sessions_folder()
    found: list[Path] = []
    for place in dict.fromkeys((own.resolve(), recorded_folder().resolve())):
        with_journal = [path for path in _entries(place) if os.path.isfile(path / journal.NAME)]  # noqa: PTH113
        found += sorted(with_journal, key=lambda path: (_created(path), path.name), reverse=True)
    return found


def summary(session: Path) -> SessionSummary:
    """Read enough of a session to show it in a list; a damaged one is listed as such."""
    try:
        header, entries, _ = journal.read(session)
    except JournalError as error:
        return SessionSummary(session, "", str(error), "damaged", 0, 0, notes.first_line(session))
    prepared = journal.prepared_of([entry.event for entry in entries])
    total = prepared.rows if prepared else 0
    plan = header.plan
    title = f"{len(plan.models)} models, {len(plan.bits)} bit settings, {plan.method}"
    return SessionSummary(
        session,
        in_utc(header.created),
        title,
        state_of(session, entries),
        journal.finished_rows(entries),
        total,
        notes.first_line(session),
    )


def state_of(session: Path, entries: list[Entry]) -> str:
    """Return finished, failed, cancelled, running or interrupted."""
    told = (entry.event for entry in reversed(entries))
    last = next((event for event in told if isinstance(event, SessionClosed | SessionResumed)), None)
    if isinstance(last, SessionClosed):  # what follows it, but for a resumption, is of scores added later
        return last.outcome
    return "running" if journal.is_being_written(session) else "interrupted"


class _Time(msgspec.Struct):
    created: str


_time = msgspec.json.Decoder(_Time)


def _created(session: Path) -> str:
    """Return when a session was made, as its header says; nothing where that cannot be read."""
    try:
        with open_plain(session / journal.NAME) as file:
            return _time.decode(file.readline(LARGEST_LINE)).created
    except (OSError, ValueError, RecursionError):
        return ""


def _entries(place: Path) -> list[Path]:
    try:
        names = [name for name in os.listdir(place) if not name.startswith(".")]  # noqa: PTH208
    except OSError:
        return []
    return [Path(place, name) for name in names]
