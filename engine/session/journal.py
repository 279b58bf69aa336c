"""Reading the journal of a session: one file of JSON lines that only grows."""

from __future__ import annotations

import os
import re
from typing import Any, get_args

import msgspec

from engine.errors import InputError, JournalError
from engine.plan.plan import Plan
from engine.plan.validation import check_shape
from engine.protocol.events import (
    FORMAT,
    LARGEST_LINE,
    VERSION,
    Entry,
    Header,
)
from engine.session.layout import JOURNAL
from engine.session.migrations import FIRST_SEALED, WrittenEvent, migrated, migrated_header
from engine.session.place import Place
from engine.session.seal import is_whole
from engine.text import counted

MOST_NAMED = 50  # damaged lines that are listed
MOST_LINES = 1_000_000  # more than a week of telemetry from a hundred devices

_ENDLESS_NUMBER = re.compile(rb"\d{100}")  # no field needs one, and float() refuses it
_MANY_DIGITS = re.compile(rb"\d{10}")  # every tenth byte of such a number, which is faster to find
_TYPES = {kind.__struct_config__.tag for kind in get_args(WrittenEvent)}


class _Written(msgspec.Struct, frozen=True, gc=False):
    """A line of a journal of any format."""

    seq: int
    t: float
    event: WrittenEvent


class _Envelope(msgspec.Struct, gc=False):
    """A line of which only the envelope can be read."""

    seq: int
    t: float
    event: dict[str, Any]


_envelope = msgspec.json.Decoder(_Envelope)
_written = msgspec.json.Decoder(_Written)


class Reader:
    """Read a journal from the start, and keep reading while it grows; raise JournalError.

    `skipped` counts damaged or missing lines, and `damage` lists them. `unknown` counts intact lines with
    events that this program does not know; `strange` names unknown fields of the plan. `torn` is the length
    in bytes of an unfinished last line; `expected` is the next sequence number.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.where = place.where(JOURNAL)
        self.skipped = 0
        self.unknown = 0
        self.torn = 0
        self.expected = 1
        self.damage: list[str] = []
        self._line = 1
        self._offset = 0
        self._is_read = False
        self._too_long = False
        self._least = 1  # a lower number belongs to a repeated line
        self._damaged = 0  # lines since the last one that counted
        self._jump = 0  # events that seem to be missing before the last line
        self.first_line = self._read_first_line()
        plain = parse_header(self.first_line, self.where)
        self.version: int = plain["version"]  # of the format on disk
        self.header, self.strange = _header(migrated_header(plain), self.where)

    def poll(self) -> list[Entry]:
        """Return the entries that were completed since the last call."""
        entries: list[Entry] = []
        if self._is_read and not self.place.may_grow:
            return entries
        self._is_read = True
        with self.place.open(JOURNAL) as file:
            file.seek(self._offset)
            while line := file.readline(LARGEST_LINE):
                if self._line > MOST_LINES:
                    self._note(f"reading stops here: a journal has at most {MOST_LINES:,} lines")
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
        """Return the entry in a line; note its damage and return None if it cannot be trusted."""
        was_too_long, self._too_long = self._too_long, False
        if was_too_long:
            self._note(f"it is longer than {LARGEST_LINE:,} bytes")
        elif self.version >= FIRST_SEALED and not is_whole(line):
            self._note("its checksum does not match")
        elif (entry := _decode(line)) is None:
            self._note("it is not an event")
        else:
            return entry
        return None

    def _is_in_order(self, number: int) -> bool:
        """Process a line's sequence number; return False for a repeated line."""
        if number < self._least:
            self._note(f"its number {number} appeared before")
            return False
        # If numbers jump ahead and come back, the line that jumped has a damaged number.
        gap = number - min(self.expected, number)
        missing = max(0, gap - self._damaged)  # damaged lines are already counted
        self.skipped += missing - (self._jump if number < self.expected else 0)
        if missing and len(self.damage) < MOST_NAMED:
            self.damage.append(f"line {self._line}: {counted(missing, 'event')} missing before it")
        self._least = self.expected + 1 if gap else number + 1
        self._jump, self._damaged = missing, 0
        self.expected = number + 1
        return True

    def _note(self, what: str) -> None:
        self.skipped += 1
        self._damaged += 1
        if len(self.damage) < MOST_NAMED:
            self.damage.append(f"line {self._line}: {what}")

    def _read_first_line(self) -> bytes:
        try:
            with self.place.open(JOURNAL) as file:
                line = file.readline(LARGEST_LINE)
        except OSError as error:
            raise JournalError(
                f"{self.where}: the session journal cannot be read ({error.strerror})"
            ) from None
        self._offset = len(line)
        return line


def parse_header(line: bytes, where: str) -> dict[str, Any]:
    """Return the header in `line` as plain data; raise JournalError if it cannot be used."""
    try:
        plain: dict[str, Any] = msgspec.json.decode(line)
        kind, version = plain["format"], plain["version"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise JournalError(f"{where}: this is not a session journal, or its first line is damaged") from None
    if kind != FORMAT or type(version) is not int or version < 1:
        raise JournalError(f"{where}: the format is {kind!r} {version!r}; {FORMAT!r} is needed")
    if version > VERSION:
        writer = str(plain.get("app", "a newer qood-tui"))[:60]
        raise JournalError(
            f"{where}: written in format {version} by {writer}. This program reads formats up to {VERSION}; "
            "update it to that version or a later one"
        )
    if version >= FIRST_SEALED and not is_whole(line):
        raise JournalError(f"{where}: the journal's first line is damaged; its checksum does not match")
    return plain


def _header(plain: dict[str, Any], where: str) -> tuple[Header, tuple[str, ...]]:
    """Return a header without the unknown fields of its plan, and their names."""
    try:
        plan = plain["plan"]
        fields = {name: value for name, value in plan.items() if name in Plan.__struct_encode_fields__}
        header = msgspec.convert({**plain, "plan": fields}, Header)
        check_shape(header.plan)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, InputError) as error:
        raise JournalError(f"{where}: the journal's first line is damaged ({error})") from None
    return header, tuple(sorted(set(plan) - set(fields)))


def _decode(line: bytes) -> Entry | _Envelope | None:
    if _MANY_DIGITS.search(line[::10]) and _ENDLESS_NUMBER.search(line):
        return None
    try:
        written = _written.decode(line)
        return Entry(written.seq, written.t, migrated(written.event))
    except (ValueError, RecursionError):  # DecodeError and UnicodeDecodeError are ValueErrors
        return _enveloped(line)


def _enveloped(line: bytes) -> _Envelope | None:
    """Return the envelope of an event of an unknown type."""
    try:
        envelope = _envelope.decode(line)
    except (ValueError, RecursionError):
        return None
    kind = envelope.event.get("type")
    return envelope if isinstance(kind, str) and kind not in _TYPES else None
