"""The journal of a session, as it is read: one file of JSON lines that only grows."""

from __future__ import annotations

import errno
import fcntl
import os
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import msgspec

from engine.errors import InputError, JournalError
from engine.plan.plan import Plan
from engine.plan.validation import check_shape
from engine.protocol.events import (
    FORMAT,
    LARGEST_LINE,
    VERSION,
    AnyEvent,
    ChunkFinished,
    Entry,
    Header,
    ScoresAdded,
    SessionResumed,
    SetsPrepared,
)
from engine.session import lease
from engine.session.migrations import FIRST_SEALED, WrittenEvent, migrated, migrated_header
from engine.session.seal import is_whole
from engine.system.files import open_plain

NAME = "journal.jsonl"
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
MOST_NAMED = 50  # damaged lines that are named one by one
MOST_LINES = 1_000_000  # a week of telemetry from a hundred devices is less

_ENDLESS_NUMBER = re.compile(rb"\d{100}")  # no field of ours needs one, and float() refuses it
_MANY_DIGITS = re.compile(rb"\d{10}")  # what every tenth byte of one looks like, which is found sooner
_KNOWN = {kind.__struct_config__.tag for kind in get_args(WrittenEvent)}


class _Written(msgspec.Struct, frozen=True, gc=False):
    """A line of a journal of any format."""

    seq: int
    t: float
    event: WrittenEvent


class _Envelope(msgspec.Struct, gc=False):
    """A line of which only the frame is understood."""

    seq: int
    t: float
    event: dict[str, Any]


_envelope = msgspec.json.Decoder(_Envelope)
_written = msgspec.json.Decoder(_Written)


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
                if self._line > MOST_LINES:
                    self._note(
                        f"what is from here on is not read: a journal has at most {MOST_LINES:,} lines"
                    )
                    self._offset = file.seek(0, os.SEEK_END)
                    break
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
        known = {name: value for name, value in plan.items() if name in Plan.__struct_encode_fields__}
        header = msgspec.convert({**plain, "plan": known}, Header)
        check_shape(header.plan)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, InputError) as error:
        raise JournalError(f"{where}: the journal's first line is damaged ({error})") from None
    return header, tuple(sorted(set(plan) - set(known)))


def read(session: Path) -> tuple[Header, list[Entry], Reader]:
    """Read a whole journal: its header, its entries and the reader, which knows of any damage."""
    reader = Reader(session)
    try:
        return reader.header, reader.poll(), reader
    except OSError as error:
        raise JournalError(f"{reader.path}: it can no longer be read ({error.strerror})") from None


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


def swept(entries: Sequence[Entry]) -> Sequence[Entry]:
    """Return the entries until a sweep ended; scores may have been added much later."""
    added = next((at for at, entry in enumerate(entries) if isinstance(entry.event, ScoresAdded)), None)
    return entries[:added]


def seconds_of(entries: Sequence[Entry]) -> float:
    """Return for how many seconds a session was swept; while it lay interrupted it was not."""
    of_sweep = swept(entries)
    lay = sum(
        entry.t - before.t for before, entry in pairwise(of_sweep) if isinstance(entry.event, SessionResumed)
    )
    return round(of_sweep[-1].t - lay, 3) if of_sweep else 0.0


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


def _decode(line: bytes) -> Entry | _Envelope | None:
    if _MANY_DIGITS.search(line[::10]) and _ENDLESS_NUMBER.search(line):
        return None
    try:
        found = _written.decode(line)
        return Entry(found.seq, found.t, migrated(found.event))
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
