"""The journal of a session: one append-only file of JSON lines, written by the daemon alone."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from engine.errors import InputError, JournalError
from engine.plan import check_shape
from engine.protocol import (
    FORMAT,
    LARGEST_LINE,
    VERSION,
    AnyEvent,
    ChunkFinished,
    Entry,
    Header,
    SessionClosed,
    SetsPrepared,
)

NAME = "journal.jsonl"
RESERVE = "reserve"  # space set aside so that a full disk can still be reported
RESERVE_BYTES = 64 * 1024
LOCK_SECONDS = 1.0

_ENDLESS_NUMBER = re.compile(rb"\d{100}")  # no field of ours needs one, and float() refuses it
_entry = msgspec.json.Decoder(Entry)
_header = msgspec.json.Decoder(Header)


class Reader:
    """Read a journal from the start, and go on reading while it grows.

    `skipped` counts lines that could not be understood; `torn` is the number of bytes of an
    unfinished last line; `expected` is the sequence number that comes next.
    """

    def __init__(self, session: Path) -> None:
        self.path = session / NAME
        self.skipped = 0
        self.torn = 0
        self.expected = 1
        self._offset = 0
        self._too_long = False
        self._least = 1  # a lower number is a line that was there before
        self._jump = 0  # events that the last line seems to have left out
        self.header = self._read_header()

    def poll(self) -> list[Entry]:
        """Return the entries that were completed since the last call."""
        entries: list[Entry] = []
        with self.path.open("rb") as file:
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
                entry = None if self._too_long else _decode(line)
                self._too_long = False
                if entry is None or entry.seq < self._least:
                    self.skipped += 1
                    continue
                # Numbers that jump ahead and come back: the line that jumped has a damaged number.
                missing = entry.seq - min(self.expected, entry.seq)
                self.skipped += missing - (self._jump if entry.seq < self.expected else 0)
                self._least = self.expected + 1 if missing else entry.seq + 1
                self._jump = missing
                self.expected = entry.seq + 1
                entries.append(entry)
        self.torn = 0
        return entries

    def _read_header(self) -> Header:
        try:
            with self.path.open("rb") as file:
                line = file.readline(LARGEST_LINE)
        except OSError as error:
            raise JournalError(
                f"{self.path}: no session journal can be read here ({error.strerror})"
            ) from None
        self._offset = len(line)
        return parse_header(line, self.path)


def parse_header(line: bytes, where: Path) -> Header:
    """Return the header in `line`; raise JournalError saying why it cannot be used."""
    try:
        plain = msgspec.json.decode(line)
        kind, version = plain["format"], plain["version"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise JournalError(f"{where}: this is not a session journal, its first line is damaged") from None
    if kind != FORMAT or not isinstance(version, int):
        raise JournalError(f"{where}: the format is {kind!r}; {FORMAT!r} is needed")
    if version > VERSION:
        raise JournalError(
            f"{where}: written in format {version}; this program reads up to {VERSION}, update it"
        )
    try:
        header = _header.decode(line)
        check_shape(header.plan)
    except (ValueError, RecursionError, InputError) as error:
        raise JournalError(f"{where}: the journal's first line is damaged ({error})") from None
    return header


def read(session: Path) -> tuple[Header, list[Entry], Reader]:
    """Read a whole journal: its header, its entries and the reader, which knows of any damage."""
    reader = Reader(session)
    return reader.header, reader.poll(), reader


class Writer:
    """Append events to the journal of a session; only one writer can hold it at a time."""

    def __init__(self, session: Path) -> None:
        header, entries, reader = read(session)
        self.session = session
        self.plan = header.plan
        self._monotonic = time.monotonic() - max(0.0, time.time() - _created(header, session))
        self._file = (session / NAME).open("r+b", buffering=0)
        _lock(self._file.fileno())
        self._keep_torn_tail(reader.torn)
        self._hash = hashlib.sha256((session / NAME).read_bytes())
        self._seq = entries[-1].seq if entries else 0
        self._count = len(entries)
        self._last_t = entries[-1].t if entries else 0.0
        self._synced = 0.0
        self.has_events = bool(entries)
        try:
            (session / RESERVE).write_bytes(b"\0" * RESERVE_BYTES)
        except OSError:
            self.release_reserve()
            self._file.close()
            raise
        self.finished_rows = finished_rows(entries)

    def append(self, event: AnyEvent) -> Entry:
        """Write one event; chunks and the closing event are on the disk when this returns."""
        t = round(max(time.monotonic() - self._monotonic, self._last_t), 3)
        entry = Entry(self._seq + 1, t, event)
        line = msgspec.json.encode(entry) + b"\n"
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
        """Append the closing event and let go of the journal."""
        self.release_reserve()
        self.append(SessionClosed(outcome, reason, self._count, self._hash.hexdigest()))
        self._file.close()

    def abandon(self) -> None:
        """Let go of the journal without a closing event, as a crash would."""
        self._file.close()

    def release_reserve(self) -> None:
        """Give back the space set aside for reporting a full disk."""
        (self.session / RESERVE).unlink(missing_ok=True)

    def _keep_torn_tail(self, torn: int) -> None:
        if torn:
            whole = self._file.seek(0, os.SEEK_END) - torn
            self._file.seek(whole)
            with (self.session / (NAME + ".torn")).open("ab") as file:
                file.write(self._file.read())
            self._file.truncate(whole)


def create(session: Path, header: Header) -> None:
    """Make the folder `session` with a journal of nothing but its header; raise InputError."""
    try:
        session.mkdir(parents=True, mode=0o700)
        with (session / NAME).open("xb") as file:
            file.write(msgspec.json.encode(header) + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise InputError(
            "session", str(session), f"a folder that can be made is needed ({error.strerror})"
        ) from None


def is_being_written(session: Path) -> bool:
    """Tell whether a live process holds the journal; the system drops the lock when it dies."""
    try:
        with (session / NAME).open("rb") as file:
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


def prepared_of(events: Sequence[AnyEvent]) -> SetsPrepared | None:
    """Return which images the rows of a session are of: an attempt that finished no chunk used others."""
    begun = next((at for at, e in enumerate(events) if isinstance(e, ChunkFinished)), len(events))
    return next((e for e in reversed(events[:begun]) if isinstance(e, SetsPrepared)), None)


def sync(file: int) -> None:
    """Put the data of a file on the disk."""
    getattr(os, "fdatasync", os.fsync)(file)  # macOS has fsync alone


def _lock(file: int) -> None:
    """Take the journal; wait a moment, since a reader that asks who writes holds it for an instant."""
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _created(header: Header, session: Path) -> float:
    try:
        return datetime.fromisoformat(header.created).timestamp()
    except (ValueError, OverflowError):
        given = header.created
        raise JournalError(
            f"{session}: the header's time {given!r} is not one; the journal is damaged"
        ) from None


def _decode(line: bytes) -> Entry | None:
    if _ENDLESS_NUMBER.search(line):
        return None
    try:
        return _entry.decode(line)
    except (ValueError, RecursionError):  # DecodeError and UnicodeDecodeError are ValueErrors
        return None
