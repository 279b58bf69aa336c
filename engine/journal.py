"""The journal of a session: one append-only file of JSON lines, written by the daemon alone."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

import msgspec

from engine import lease
from engine.errors import InputError, JournalError
from engine.files import open_end, open_new, open_plain, sync_folder
from engine.migrations import FIRST_SEALED, migrated_header
from engine.plan import Plan, check_shape
from engine.protocol import (
    FORMAT,
    LARGEST_LINE,
    VERSION,
    AnyEvent,
    ChunkFinished,
    Entry,
    Header,
    ScoresAdded,
    SessionClosed,
    SetsPrepared,
)
from engine.seal import is_whole, sealed

NAME = "journal.jsonl"
RESERVE = "reserve"  # space set aside so that a full disk can still be reported
RESERVE_BYTES = 64 * 1024
LOCK_SECONDS = 1.0
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)

_READ_ONLY = "it cannot be written to; copy it into a folder of your own to go on with it"
MOST_NAMED = 50  # damaged lines that are named one by one

_ENDLESS_NUMBER = re.compile(rb"\d{100}")  # no field of ours needs one, and float() refuses it
_MANY_DIGITS = re.compile(rb"\d{10}")  # what every tenth byte of one looks like, which is found sooner
_KNOWN = {kind.__struct_config__.tag for kind in get_args(AnyEvent)}
_entry = msgspec.json.Decoder(Entry)


class _Envelope(msgspec.Struct, gc=False):
    """A line of which only the frame is understood."""

    seq: int
    t: float
    event: dict[str, Any]


_envelope = msgspec.json.Decoder(_Envelope)


class Reader:
    """Read a journal from the start, and go on reading while it grows.

    `skipped` counts lines that are damaged or missing, `damage` names them; `unknown` counts whole lines of
    events that this program does not know, `strange` names fields of the plan that it does not know; `torn`
    is the number of bytes of an unfinished last line; `expected` is the sequence number that comes next.
    """

    def __init__(self, session: Path) -> None:
        self.path = session / NAME
        self.skipped = 0
        self.unknown = 0
        self.torn = 0
        self.expected = 1
        self.damage: list[str] = []
        self.strange: tuple[str, ...] = ()
        self._line = 1
        self._offset = 0
        self._too_long = False
        self._least = 1  # a lower number is a line that was there before
        self._jump = 0  # events that the last line seems to have left out
        self.version, self.header = self._read_header()

    def poll(self) -> list[Entry]:
        """Return the entries that were completed since the last call."""
        entries: list[Entry] = []
        with open_plain(self.path) as file:
            file.seek(self._offset)
            while line := file.readline(LARGEST_LINE):
                if not line.endswith(b"\n"):
                    if len(line) < LARGEST_LINE:
                        self.torn = len(line)
                        return entries
                    self._too_long = True
                    self._offset += len(line)
                    continue
                self._offset += len(line)
                self._line += 1
                entry = self._decoded(line)
                if entry is not None and self._is_in_order(entry.seq):
                    if isinstance(entry, Entry):
                        entries.append(entry)
                    else:
                        self.unknown += 1
        self.torn = 0
        return entries

    def _decoded(self, line: bytes) -> Entry | _Envelope | None:
        """Return what a line says; None, and a note of its damage, if it cannot be trusted."""
        was_too_long, self._too_long = self._too_long, False
        if was_too_long:
            self._note(f"it is longer than {LARGEST_LINE:,} bytes")
        elif self.version >= FIRST_SEALED and not is_whole(line):
            self._note("it is not as it was written, its check sum does not fit")
        elif (found := _decode(line)) is None:
            self._note("it is no event")
        else:
            return found
        return None

    def _is_in_order(self, number: int) -> bool:
        """Take in a line's sequence number; a line that was there before counts for nothing."""
        if number < self._least:
            self._note(f"its number {number} was there before")
            return False
        # Numbers that jump ahead and come back: the line that jumped has a damaged number.
        missing = number - min(self.expected, number)
        self.skipped += missing - (self._jump if number < self.expected else 0)
        if missing and len(self.damage) < MOST_NAMED and not self._follows_damage():
            self.damage.append(f"line {self._line}: {missing:,} events before it are missing")
        self._least = self.expected + 1 if missing else number + 1
        self._jump = missing
        self.expected = number + 1
        return True

    def _follows_damage(self) -> bool:
        return bool(self.damage) and self.damage[-1].startswith(f"line {self._line - 1}:")

    def _note(self, what: str) -> None:
        self.skipped += 1
        if len(self.damage) < MOST_NAMED:
            self.damage.append(f"line {self._line}: {what}")

    def _read_header(self) -> tuple[int, Header]:
        try:
            with open_plain(self.path) as file:
                line = file.readline(LARGEST_LINE)
        except OSError as error:
            raise JournalError(
                f"{self.path}: no session journal can be read here ({error.strerror})"
            ) from None
        self._offset = len(line)
        plain = parse_header(line, self.path)
        version = plain["version"]
        header, self.strange = _known_header(migrated_header(plain), self.path)
        return version, header


def parse_header(line: bytes, where: Path) -> dict[str, Any]:
    """Return the header in `line` as plain data; raise JournalError saying why it cannot be used."""
    try:
        plain: dict[str, Any] = msgspec.json.decode(line)
        kind, version = plain["format"], plain["version"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise JournalError(f"{where}: this is not a session journal, its first line is damaged") from None
    if kind != FORMAT or type(version) is not int or version < 1:
        raise JournalError(f"{where}: the format is {kind!r} {version!r}; {FORMAT!r} is needed")
    if version > VERSION:
        writer = str(plain.get("app", "a newer qood-tui"))[:60]
        raise JournalError(
            f"{where}: written in format {version} by {writer}; this program reads formats up to {VERSION}, "
            "update it to that version or a later one"
        )
    if version >= FIRST_SEALED and not is_whole(line):
        raise JournalError(f"{where}: the journal's first line is damaged, its check sum does not fit")
    return plain


def _known_header(plain: dict[str, Any], where: Path) -> tuple[Header, tuple[str, ...]]:
    """Return a header, and the names of fields of its plan that are not known here and left out."""
    try:
        plan = plain["plan"]
        known = {name: value for name, value in plan.items() if name in Plan.__struct_fields__}
        header = msgspec.convert({**plain, "plan": known}, Header)
        check_shape(header.plan)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, InputError) as error:
        raise JournalError(f"{where}: the journal's first line is damaged ({error})") from None
    return header, tuple(sorted(set(plan) - set(known)))


def read(session: Path) -> tuple[Header, list[Entry], Reader]:
    """Read a whole journal: its header, its entries and the reader, which knows of any damage."""
    reader = Reader(session)
    return reader.header, reader.poll(), reader


class Writer:
    """Append events to the journal of a session; only one writer can hold it at a time."""

    def __init__(self, session: Path, *, take_over: bool = False) -> None:
        """Take the journal of a session.

        Raises BlockingIOError or LeaseHeld if somebody has it, or had it on another machine and `take_over`
        is not given; JournalError or OSError if it cannot be gone on with or written to.
        """
        reader = Reader(session)
        if reader.version < VERSION or reader.strange:
            why = "in an older format" if reader.version < VERSION else f"with {', '.join(reader.strange)}"
            raise JournalError(f"{session}: it was begun {why}; it can be shown, but not be gone on with")
        self.session = session
        self.plan = reader.header.plan
        self._monotonic = time.monotonic() - max(0.0, time.time() - _created(reader.header, session))
        try:
            self._take(take_over)
            self._go_on(reader)
        except PermissionError as error:
            raise JournalError(f"{session}: {_READ_ONLY} ({error.strerror})") from None
        except OSError as error:
            if error.errno != errno.EROFS:
                raise
            raise JournalError(f"{session}: {_READ_ONLY} ({error.strerror})") from None

    def _take(self, take_over: bool) -> None:
        self._file = (self.session / NAME).open("r+b", buffering=0)
        try:
            _lock(self._file.fileno())
            self._lease = lease.Lease(self.session, take_over=take_over)
        except BaseException:
            self._file.close()
            raise

    def _go_on(self, reader: Reader) -> None:
        """Read what is there, now that nobody else writes, and make ready to go on after it."""
        try:
            entries = reader.poll()
            self._keep_torn_tail(reader.torn)
            self._hash = hashlib.sha256((self.session / NAME).read_bytes())
            with open_new(self.session / RESERVE) as file:
                file.write(b"\0" * RESERVE_BYTES)
        except BaseException:
            self.release_reserve()
            self.abandon()
            raise
        self._seq = reader.expected - 1
        self._count = len(entries) + reader.unknown
        self._last_t = entries[-1].t if entries else 0.0
        self._synced = 0.0
        self.has_events = bool(entries)
        self.finished_rows = finished_rows(entries)

    @property
    def owner(self) -> str:
        """Return the owner that the session's lease names."""
        return self._lease.owner

    def renew(self) -> None:
        """Renew the lease; raise LeaseLost if it is too late, OSError if it is to be tried again."""
        self._lease.renew()

    def append(self, event: AnyEvent) -> Entry:
        """Write one event; chunks and the closing event are on the disk when this returns.

        Raises LeaseLost, and writes nothing, if the session was taken over; OSError if it cannot be written.
        """
        self._lease.check()
        t = round(max(time.monotonic() - self._monotonic, self._last_t), 3)
        entry = Entry(self._seq + 1, t, event)
        line = sealed(msgspec.json.encode(entry))
        start = self._file.seek(0, os.SEEK_END)
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            self._file.truncate(start)
            raise
        self._hash.update(line)
        self._seq, self._count, self._last_t = entry.seq, self._count + 1, t
        now = time.monotonic()
        if isinstance(event, ChunkFinished | SessionClosed) or now - self._synced > 1:
            sync(self._file.fileno())
            self._synced = now
        return entry

    def close(self, outcome: str, reason: str = "") -> None:
        """Append the closing event and let go of the journal; raises as `append` does."""
        self._lease.check()  # the reserve may be another's by now
        self.release_reserve()
        self.append(SessionClosed(outcome, reason, self._count, self._hash.hexdigest()))
        self.abandon()

    def abandon(self) -> None:
        """Let go of the journal without a closing event."""
        self._lease.release()
        self._file.close()

    def release_reserve(self) -> None:
        """Give back the space set aside for reporting a full disk."""
        (self.session / RESERVE).unlink(missing_ok=True)

    def _keep_torn_tail(self, torn: int) -> None:
        if torn:
            whole = self._file.seek(0, os.SEEK_END) - torn
            self._file.seek(whole)
            with open_end(self.session / (NAME + ".torn")) as file:
                file.write(self._file.read())
                file.flush()
                sync(file.fileno())
            self._file.truncate(whole)


def create(session: Path, header: Header) -> None:
    """Make the folder `session` with a journal of nothing but its header; raise InputError."""
    try:
        made = [folder for folder in (session, *session.parents) if not folder.exists()]
        session.mkdir(parents=True, mode=0o700)
        with (session / NAME).open("xb") as file:
            # In this order the plan's bytes are those that its identity is the hash of.
            file.write(sealed(msgspec.json.encode(header, order="deterministic")))
            file.flush()
            os.fsync(file.fileno())
        for folder in (session, *(folder.parent for folder in made)):
            sync_folder(folder)
    except OSError as error:
        raise InputError(
            "session", str(session), f"a folder that can be made is needed ({error.strerror})"
        ) from None


def is_being_written(session: Path) -> bool:
    """Tell whether a live process writes a session, here or on another machine; nothing is changed."""
    return is_locked(session) or lease.is_held(session)


def is_locked(session: Path) -> bool:
    """Tell whether a process holds the lock of the journal; the system drops it when that dies."""
    try:
        with open_plain(session / NAME) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def finished_rows(entries: list[Entry]) -> int:
    """Return how many rows are finished without a gap."""
    rows = 0
    for entry in entries:
        if isinstance(entry.event, ChunkFinished) and entry.event.first == rows:
            rows += entry.event.rows
    return rows


def seconds_of(entries: Sequence[Entry]) -> float:
    """Return how long a session took until its sweep ended; scores may have been added much later."""
    added = next((at for at, entry in enumerate(entries) if isinstance(entry.event, ScoresAdded)), None)
    swept = entries[:added]
    return swept[-1].t if swept else 0.0


def prepared_of(events: Sequence[AnyEvent]) -> SetsPrepared | None:
    """Return which images the rows of a session are of: an attempt that finished no chunk used others."""
    begun = next((at for at, e in enumerate(events) if isinstance(e, ChunkFinished)), len(events))
    return next((e for e in reversed(events[:begun]) if isinstance(e, SetsPrepared)), None)


def plan_of(header: Header, events: Iterable[AnyEvent]) -> Plan:
    """Return the plan of a session with the scores that were added to it later."""
    plan = header.plan
    for event in events:
        if isinstance(event, ScoresAdded):
            plan = with_scores(plan, event)
    return plan


def with_scores(plan: Plan, added: ScoresAdded) -> Plan:
    """Return a plan with scores added; as it was if they cannot be."""
    more = msgspec.structs.replace(
        plan,
        scores=tuple(dict.fromkeys((*plan.scores, *added.scores))),
        score_parameters={**plan.score_parameters, **added.parameters},
        headline=added.headline,
    )
    try:
        check_shape(more)
    except InputError:
        return plan
    return more


def sync(file: int) -> None:
    """Put the data of a file on the disk."""
    getattr(os, "fdatasync", os.fsync)(file)  # macOS has fsync alone


def _lock(file: int) -> None:
    """Take the journal; wait a moment, since a reader that asks who writes holds it for an instant.

    Where the file system knows no such locks, the lease alone decides.
    """
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            return


def _created(header: Header, session: Path) -> float:
    try:
        return datetime.fromisoformat(header.created).timestamp()
    except (ValueError, OverflowError):
        given = header.created
        raise JournalError(
            f"{session}: the header's time {given!r} is not one; the journal is damaged"
        ) from None


def _decode(line: bytes) -> Entry | _Envelope | None:
    if _MANY_DIGITS.search(line[::10]) and _ENDLESS_NUMBER.search(line):
        return None
    try:
        return _entry.decode(line)
    except (ValueError, RecursionError):  # DecodeError and UnicodeDecodeError are ValueErrors
        return _frame(line)


def _frame(line: bytes) -> _Envelope | None:
    """Return the frame of an event of a kind that is not known here."""
    try:
        found = _envelope.decode(line)
    except (ValueError, RecursionError):
        return None
    kind = found.event.get("type")
    return found if isinstance(kind, str) and kind not in _KNOWN else None
