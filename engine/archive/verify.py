"""Is a session intact? Every line, every row and every number is checked."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from engine.errors import InputError, JournalError, QoodError
from engine.plan.plan import is_identity
from engine.protocol.events import ChunkFinished, Entry, ScoresAdded, SessionClosed
from engine.session import layout, samples
from engine.session.layout import ARRAYS, JOURNAL, OUTPUTS
from engine.session.migrations import FIRST_SEALED
from engine.session.place import Place
from engine.session.quantized_files import digest_of
from engine.session.session import Session
from engine.text import counted

MOST_LINES = 200


class Verdict(msgspec.Struct, frozen=True):
    """What is wrong with a session (`damage`), what is worth knowing (`notes`), and what was checked."""

    session: str
    damage: tuple[str, ...]
    notes: tuple[str, ...]
    seen: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Return whether nothing is wrong."""
        return not self.damage


class _Findings:
    """What is wrong with one session and what was checked, gathered step by step."""

    def __init__(self) -> None:
        self.damage: list[str] = []
        self.notes: list[str] = []
        self.seen: list[str] = []

    def verdict(self, place: Place) -> Verdict:
        """Return everything that was found."""
        return Verdict(place.where(""), _shortened(self.damage), _shortened(self.notes), tuple(self.seen))


def _shortened(lines: list[str]) -> tuple[str, ...]:
    """Return lines; of very many, the last ones are only counted."""
    more = len(lines) - MOST_LINES
    return (*lines[:MOST_LINES], f"and {more:,} more") if more > 0 else tuple(lines)


def verify(place: Place, *, quick: bool = False) -> Verdict:
    """Check everything in a session; whatever is in it is reported and never raises.

    `quick` skips recomputing every number from the arrays.
    """
    findings = _Findings()
    try:
        session = Session(place)
        entries = session.entries
    except (JournalError, OSError) as error:
        findings.damage.append(str(error))
        return findings.verdict(place)
    _journal(findings, session, entries)
    _closings(findings, session)
    _files(findings, session)
    has_rows = _rows(findings, session)
    _quantized(findings, session)
    _outputs(findings, session)
    if has_rows and not quick and not findings.damage:
        _numbers(findings, session)
    return findings.verdict(place)


def _journal(findings: _Findings, session: Session, entries: Sequence[Entry]) -> None:
    journal = session.journal
    findings.damage += [f"{JOURNAL} {what}" for what in journal.damage]
    if journal.skipped > len(journal.damage):
        findings.damage.append(f"{JOURNAL}: {journal.skipped:,} events damaged or missing in all")
    findings.seen.append(f"{len(entries) + journal.unknown:,} events in format {journal.version}")
    if journal.unknown:
        findings.notes.append(f"{counted(journal.unknown, 'event')} of kinds unknown to this version")
    if journal.strange:
        names = ", ".join(journal.strange)
        findings.notes.append(f"the plan has fields unknown to this version: {names}")
    if journal.version < FIRST_SEALED:
        findings.notes.append(
            f"lines of format {journal.version} have no checksums: only the closing event's hash"
        )
    if not session.is_closed and session.place.is_being_written():
        findings.notes.append("it is still being written")
    elif journal.torn:
        findings.damage.append(f"{JOURNAL}: its last line ({counted(journal.torn, 'byte')}) is incomplete")
    elif not session.is_closed:
        findings.damage.append(f"{JOURNAL}: the closing event is missing: interrupted, or cut off")
    if journal.version >= FIRST_SEALED and not is_identity(session.header.identity, _plan(session)):
        findings.damage.append(f"{JOURNAL} line 1: the plan does not match its identity")


def _plan(session: Session) -> bytes:
    """Return the plan exactly as it stands in the header."""

    class Raw(msgspec.Struct):
        plan: msgspec.Raw

    return bytes(msgspec.json.decode(session.journal.first_line, type=Raw).plan)


def _closings(findings: _Findings, session: Session) -> None:
    """Compare every closing event with the lines before it; a resumption may follow one."""
    decoder = msgspec.json.Decoder(Entry)
    state, line_number, before = hashlib.sha256(), 0, 0
    for line in session.lines():
        line_number += 1
        if b'"type":"session.closed"' in line:
            try:
                event = decoder.decode(line).event
            except (ValueError, RecursionError):
                event = None  # the reader has named this line
            if isinstance(event, SessionClosed):
                if event.sha256 != state.hexdigest():
                    findings.damage.append(f"{JOURNAL}: the lines before line {line_number} were changed")
                if event.events != line_number - 2:
                    here = f"line {line_number} counts {event.events:,} events before it"
                    findings.damage.append(f"{JOURNAL}: {here}; there are {line_number - 2:,}")
                before = line_number
        state.update(line)
    if before == line_number:
        findings.seen.append("the closing event's count and SHA-256")


def _files(findings: _Findings, session: Session) -> None:
    """Report what does not belong in a session's folder."""
    findings.damage += [f"{name}: {problem}" for name, problem in session.place.irregular()]
    findings.notes += [
        f"{file.name}: it is not part of a session"
        for file in session.files
        if not layout.is_kept(file.name) and not layout.is_passing(file.name)
    ]


def _rows(findings: _Findings, session: Session) -> bool:
    """Compare the finished rows with their digests; return whether there are any."""
    chunks = session.of(ChunkFinished)
    if not chunks:
        findings.notes.append("no rows were finished")
        return False
    try:
        arrays = session.arrays
    except (JournalError, OSError) as error:
        findings.damage.append(str(error))
        return False
    added = session.of(ScoresAdded)
    later = {name for event in added for name in event.digests} | {OUTPUTS}  # compared by themselves
    rows = 0
    for chunk in chunks:
        end = chunk.first + chunk.rows
        if chunk.first != rows or chunk.rows < 1:
            findings.damage.append(f"{ARRAYS}: rows {rows:,} to {chunk.first:,} have no event")
        if end > arrays.count:
            findings.damage.append(f"{ARRAYS}: {end:,} rows are finished, but there are {arrays.count:,}")
            return False
        if chunk.rows > 0:
            _compare(findings, arrays.digests(chunk.first, chunk.rows), chunk.digests, chunk, later)
        rows = max(rows, end)
    for event in added:
        here = {name: digest for name, digest in arrays.digests(0, rows).items() if name in event.digests}
        _compare(findings, here, event.digests, ChunkFinished(0, rows, 0.0, {}), set())
    if not rows:
        return False
    _samples(findings, session)
    findings.seen.append(f"{rows:,} rows of {len(arrays.names)} arrays, by SHA-256")
    return True


def _compare(
    findings: _Findings, here: dict[str, str], written: dict[str, str], chunk: ChunkFinished, later: set[str]
) -> None:
    for name in sorted((here.keys() | written.keys()) - later):
        if here.get(name) != written.get(name):
            last = chunk.first + chunk.rows - 1
            findings.damage.append(
                f"{ARRAYS}/{name}: rows {chunk.first:,} to {last:,} differ from what was written"
            )


def _samples(findings: _Findings, session: Session) -> None:
    """Compare which images the rows are of with the journal, and name arrays that no score has."""
    if session.rows:
        findings.damage += [
            f"{ARRAYS}/samples: {one.set or 'all sets'}, {one.what}: the journal says {one.journal}, "
            f"the arrays say {one.arrays}"
            for one in samples.differences(session)
        ]
    expected = {layout.array_file(name) for name in session.arrays.names}
    findings.notes += [
        f"{file.name}: it belongs to no score of this session"
        for file in session.files
        if file.part == ARRAYS and file.name not in expected
    ]


def _quantized(findings: _Findings, session: Session) -> None:
    """Compare saved quantizers with their digests; a session is intact without them."""
    saved = [v for v in session.plan.variants() if not v.bits.is_float and v.key in session.calibrated]
    there = {file.name for file in session.files}
    checked = 0
    for variant in saved:
        name = layout.quantized_file(variant.stem)
        if name not in there:
            continue
        checked += 1
        try:
            is_same = digest_of(session.place, name) == session.calibrated[variant.key].digest
        except (InputError, OSError) as error:
            findings.damage.append(f"{name}: {error}")
            continue
        if not is_same:
            findings.damage.append(f"{name}: it differs from what was saved")
    if checked:
        findings.seen.append(f"{counted(checked, 'quantized variant')}, by SHA-256")
    if checked < len(saved):
        findings.notes.append(
            f"not kept: {counted(len(saved) - checked, 'quantized variant')}; no number depends on that"
        )


def _outputs(findings: _Findings, session: Session) -> None:
    """Compare kept logits and features with their digests; a session is intact without them."""
    if not session.plan.keep_outputs:
        return
    if not any(file.part == OUTPUTS for file in session.files):
        findings.notes.append("its logits and features are not here; no number depends on them")
        return
    try:
        damage = session.outputs.damage(session.events)
    except (JournalError, OSError) as error:
        damage = [str(error)]
    findings.damage += damage
    if not damage:
        findings.seen.append("kept logits and features, by SHA-256")


def _numbers(findings: _Findings, session: Session) -> None:
    """Recompute every measure from the arrays and compare it with the journal."""
    from engine.report import document, earlier

    try:
        again, before = document(session), earlier(session)
    except (QoodError, OSError) as error:
        findings.damage.append(str(error))
        return
    findings.damage += [*again.mismatches, *map(str, before.mismatches)]
    if not again.checked.numbers and again.state == "finished":
        findings.damage.append(f"{JOURNAL}: it is finished, but has no table of all its rows")
    if count := again.checked.numbers + before.numbers:
        findings.seen.append(f"{count:,} numbers and points of curves, recomputed from the arrays")
