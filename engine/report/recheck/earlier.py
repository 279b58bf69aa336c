"""The looks that a sweep took before its end, measured again: what a replay shows on the way."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from engine.protocol.events import AnyEvent, CurvesDrawn, DeltasMeasured, Measured, ScoresAdded, VariantReady
from engine.report.contents import Checked
from engine.report.recheck.check import Check
from engine.report.recheck.measured import Remeasured, compared
from engine.session import attempts, journal
from engine.session.arrays import Arrays


def earlier(session: Path) -> Checked:
    """Compare every table and curve of fewer rows than are finished with the arrays; raises JournalError."""
    header, entries, _ = journal.read(session)
    rows, check = journal.finished_rows(entries), Check()
    # What is added after a sweep looks at all its rows.
    swept = takewhile(lambda event: not isinstance(event, ScoresAdded), (e.event for e in entries))
    events = attempts.counted(swept)
    looks = [event for event in events if isinstance(event, Measured | CurvesDrawn | DeltasMeasured)]
    counts = sorted({event.rows for event in looks if event.rows != rows})
    if not counts:
        return check.result()
    arrays = Arrays(session, header.plan)
    classes = {event.variant: event.classes for event in events if isinstance(event, VariantReady)}
    prepared = journal.prepared_of(events)
    for count in counts:
        if not 0 < count < rows:
            check.differs(
                ("", "", f"a look at {count:,} rows"), "that there was one", f"{rows:,} finished rows"
            )
            continue
        _look(arrays, count, looks, classes, check, prepared.rows if prepared else None)
    return check.result()


def _look(
    arrays: Arrays,
    count: int,
    looks: Sequence[AnyEvent],
    classes: dict[str, int],
    check: Check,
    planned: int | None,
) -> None:
    """Measure the first rows again and compare them with what was said of as many."""
    finished = arrays.first(count)
    Remeasured(finished, classes).compare(looks, check)
    if any(isinstance(event, DeltasMeasured) and event.rows == count for event in looks):
        compared(finished, looks, check, planned=planned, quick=False)
