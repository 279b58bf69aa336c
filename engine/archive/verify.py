"""Is a session whole? Every line, every row and every number is looked at."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from engine.errors import InputError, JournalError, QoodError
from engine.plan.plan import Plan, is_identity
from engine.protocol.events import (
    LARGEST_LINE,
    AnyEvent,
    ChunkFinished,
    Entry,
    ScoresAdded,
    SessionClosed,
    VariantReady,
)
from engine.session import attempts, journal, layout, outputs, samples
from engine.session.arrays import FOLDER, Arrays
from engine.session.journal import Reader
from engine.session.migrations import FIRST_SEALED
from engine.session.quantized_files import digest_of
from engine.system.files import open_plain

MOST_LINES = 200


class Verdict(msgspec.Struct, frozen=True):
    """What is wrong with a session (`damage`), what is worth knowing (`notes`), and what was looked at."""

    session: str
    damage: tuple[str, ...]
    notes: tuple[str, ...]
    seen: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Tell whether nothing is wrong."""
        return not self.damage


class _Look:
    """One look at a session: what was found is gathered as it is found."""

    def __init__(self, session: Path) -> None:
        self.session = session
        self.damage: list[str] = []
        self.notes: list[str] = []
        self.seen: list[str] = []

    def verdict(self) -> Verdict:
        """Return what was found."""
        damage, notes = _shortened(self.damage), _shortened(self.notes)
        return Verdict(str(self.session), damage, notes, tuple(self.seen))


def _shortened(lines: list[str]) -> tuple[str, ...]:
    """Return lines, the last of very many counted alone."""
    more = len(lines) - MOST_LINES
    return (*lines[:MOST_LINES], f"and {more:,} more") if more > 0 else tuple(lines)


def verify(session: Path, *, quick: bool = False) -> Verdict:
    """Look at everything in a session; what is in it never raises, it is told.

    `quick` leaves out measuring every number again from the arrays.
    """
    look = _Look(session)
    try:
        reader = Reader(session)
        entries = reader.poll()
    except (JournalError, OSError) as error:
        look.damage.append(str(error))
        return look.verdict()
    events = attempts.counted(entry.event for entry in entries)
    _journal(look, reader, entries)
    _closings(look, reader)
    _files(look)
    plan = journal.plan_of(reader.header, events)
    are_there = _rows(look, plan, events)
    _quantized(look, plan, events)
    _outputs(look, plan, events)
    if are_there and not quick and not look.damage:
        _numbers(look)
    return look.verdict()


def _journal(look: _Look, reader: Reader, entries: Sequence[Entry]) -> None:
    look.damage += [f"{journal.NAME} {what}" for what in reader.damage]
    if reader.skipped > len(reader.damage):
        look.damage.append(f"{journal.NAME}: {reader.skipped:,} events are damaged or missing in all")
    look.seen.append(f"{len(entries) + reader.unknown:,} events in format {reader.version}")
    if reader.unknown:
        look.notes.append(f"{reader.unknown:,} events are of kinds that this version does not know")
    if reader.strange:
        look.notes.append(f"the plan has fields that this version does not know: {', '.join(reader.strange)}")
    if reader.version < FIRST_SEALED:
        look.notes.append(
            f"lines of format {reader.version} have no check sums: only the closing event's hash"
        )
    is_closed = bool(entries) and isinstance(entries[-1].event, SessionClosed)
    if not is_closed and journal.is_being_written(look.session):
        look.notes.append("it is still being written")
    elif reader.torn:
        look.damage.append(f"{journal.NAME}: its last line, {reader.torn:,} bytes, is not finished")
    elif not is_closed:
        look.damage.append(f"{journal.NAME}: the closing event is missing: interrupted, or cut off")
    if reader.version >= FIRST_SEALED and not is_identity(reader.header.identity, _plan(look.session)):
        look.damage.append(f"{journal.NAME} line 1: the plan is not the one that its identity is of")


def _plan(session: Path) -> bytes:
    """Return the plan as it stands in the header."""

    class Raw(msgspec.Struct):
        plan: msgspec.Raw

    with open_plain(session / journal.NAME) as file:
        return bytes(msgspec.json.decode(file.readline(), type=Raw).plan)


def _closings(look: _Look, reader: Reader) -> None:
    """Compare every closing event with the lines before it; what may follow one is a resumption."""
    decoder = msgspec.json.Decoder(Entry)
    state, line_number, before = hashlib.sha256(), 0, 0
    for line in _lines(look.session / journal.NAME):
        line_number += 1
        if b'"type":"session.closed"' in line:
            try:
                event = decoder.decode(line).event
            except (ValueError, RecursionError):
                event = None  # the reader has named this line
            if isinstance(event, SessionClosed):
                if event.sha256 != state.hexdigest():
                    look.damage.append(f"{journal.NAME}: what is before line {line_number} was changed")
                if event.events != line_number - 2:
                    here = f"{event.events:,} events are said to be before line {line_number}"
                    look.damage.append(f"{journal.NAME}: {here}, {line_number - 2:,} are")
                before = line_number
        state.update(line)
    if before == line_number:
        look.seen.append("the closing event's count and SHA-256")


def _lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a journal, one that is too long in pieces."""
    with open_plain(path) as file:
        while line := file.readline(LARGEST_LINE):
            yield line


def _files(look: _Look) -> None:
    """Name what does not belong into a session's folder."""
    for folder, below, files in os.walk(look.session):
        for name in sorted((*below, *files)):
            path = Path(folder, name)
            inside = path.relative_to(look.session).as_posix()
            if path.is_symlink():
                look.damage.append(f"{inside}: it is a link to elsewhere")
            elif name in files and not path.is_file():
                look.damage.append(f"{inside}: it is no plain file")
            elif name in files and not layout.is_kept(inside) and not layout.is_passing(inside):
                look.notes.append(f"{inside}: it is no part of a session")


def _rows(look: _Look, plan: Plan, events: Sequence[AnyEvent]) -> bool:
    """Compare the finished rows with their digests; tell whether there are any."""
    chunks = [event for event in events if isinstance(event, ChunkFinished)]
    if not chunks:
        look.notes.append("no rows were finished")
        return False
    try:
        arrays = Arrays(look.session, plan)
    except (JournalError, OSError) as error:
        look.damage.append(str(error))
        return False
    later = {name for event in events if isinstance(event, ScoresAdded) for name in event.digests}
    later.add(outputs.FOLDER)  # whose files are compared by themselves
    rows = 0
    for chunk in chunks:
        if chunk.first != rows or chunk.rows < 1:
            look.damage.append(f"arrays: rows {rows:,} to {chunk.first:,} have no event")
        if chunk.first + chunk.rows > arrays.count:
            look.damage.append(
                f"arrays: {chunk.first + chunk.rows:,} rows are finished, {arrays.count:,} there"
            )
            return False
        if chunk.rows > 0:
            _compare(look, arrays.digests(chunk.first, chunk.rows), chunk.digests, chunk, later)
        rows = max(rows, chunk.first + chunk.rows)
    for event in events:
        if isinstance(event, ScoresAdded) and event.digests:
            found = {name: d for name, d in arrays.digests(0, rows).items() if name in event.digests}
            _compare(look, found, event.digests, ChunkFinished(0, rows, 0.0, {}), set())
    if not rows:
        return False
    look.damage += [
        f"arrays/samples: {one.set or 'all sets'}, {one.what}: the journal says {one.journal}, "
        f"the arrays say {one.arrays}"
        for one in samples.differences(plan, arrays, rows, events)
    ]
    extra = sorted(path.stem for path in (look.session / FOLDER).iterdir() if path.suffix == ".npy")
    look.notes += [
        f"arrays/{name}.npy: no score of this session" for name in extra if name not in arrays.names
    ]
    look.seen.append(f"{rows:,} rows of {len(arrays.names)} arrays, by their SHA-256")
    return True


def _compare(
    look: _Look, found: dict[str, str], written: dict[str, str], chunk: ChunkFinished, later: set[str]
) -> None:
    for name in sorted((found.keys() | written.keys()) - later):
        if found.get(name) != written.get(name):
            last = chunk.first + chunk.rows - 1
            look.damage.append(
                f"arrays/{name}: rows {chunk.first:,} to {last:,} are not those that were written"
            )


def _quantized(look: _Look, plan: Plan, events: Sequence[AnyEvent]) -> None:
    """Compare saved quantizers with their digests; a session is whole without them."""
    digests = {event.variant: event.digest for event in events if isinstance(event, VariantReady)}
    wanted = [v for v in plan.variants() if not v.bits.is_float and v.key in digests]
    checked = 0
    for variant in wanted:
        path = look.session / "quantized" / f"{variant.stem}.safetensors"
        if path.is_symlink() or not path.exists():
            continue
        checked += 1
        try:
            is_same = digest_of(path) == digests[variant.key]
        except (InputError, OSError) as error:
            look.damage.append(f"quantized/{path.name}: {error}")
            continue
        if not is_same:
            look.damage.append(f"quantized/{path.name}: it is not what was saved")
    if checked:
        look.seen.append(f"{checked} quantized variants, by their SHA-256")
    if wanted and checked < len(wanted):
        look.notes.append(f"{len(wanted) - checked} quantized variants are not kept; no number needs them")


def _outputs(look: _Look, plan: Plan, events: Sequence[AnyEvent]) -> None:
    """Compare kept logits and features with their digests; a session is whole without them."""
    if not plan.keep_outputs:
        return
    if not (look.session / outputs.FOLDER).exists():
        look.notes.append("its logits and features are not here; no number needs them")
        return
    try:
        found = outputs.KeptOutputs(look.session, plan).damage(events)
    except (JournalError, OSError) as error:
        found = [str(error)]
    look.damage += found
    if not found:
        look.seen.append("kept logits and features, by their SHA-256")


def _numbers(look: _Look) -> None:
    """Measure everything again from the arrays and compare it with the journal."""
    from engine.report import document, earlier

    try:
        found, before = document(look.session), earlier(look.session)
    except (QoodError, OSError) as error:
        look.damage.append(str(error))
        return
    look.damage += [*found.mismatches, *map(str, before.mismatches)]
    if not found.checked.numbers and found.state == "finished":
        look.damage.append(f"{journal.NAME}: it is finished, and has no table of all its rows")
    if count := found.checked.numbers + before.numbers:
        look.seen.append(f"{count:,} numbers and points of curves, measured again from the arrays")
