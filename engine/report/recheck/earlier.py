"""The interim looks of a sweep, measured again: what a replay shows before the end."""

from __future__ import annotations

from collections.abc import Sequence

from engine.protocol.events import AnyEvent, CurvesDrawn, DeltasMeasured, Measured
from engine.report.contents import Checked
from engine.report.recheck.check import Check
from engine.report.recheck.measured import Remeasured, compared
from engine.session import attempts
from engine.session.arrays import Arrays
from engine.session.session import Session


def earlier(session: Session) -> Checked:
    """Compare every table and curve of the looks before the end with the arrays; raise JournalError."""
    rows, check = session.rows, Check()
    # Scores added after a sweep cover all its rows.
    events = attempts.counted(entry.event for entry in session.sweep)
    looks = [event for event in events if isinstance(event, Measured | CurvesDrawn | DeltasMeasured)]
    counts = sorted({event.rows for event in looks if event.rows != rows})
    if not counts:
        return check.result()
    arrays = Arrays(session.place, session.header.plan)
    for count in counts:
        if not 0 < count < rows:
            check.differs(
                ("", "", f"a look at {count:,} rows"), "that there was one", f"{rows:,} finished rows"
            )
            continue
        _look(arrays, count, looks, session.classes, check, session.planned or None)
    return check.result()


def _look(
    arrays: Arrays,
    count: int,
    looks: Sequence[AnyEvent],
    classes: dict[str, int],
    check: Check,
    planned: int | None,
) -> None:
    """Measure the first rows again and compare them with the looks at as many rows."""
    finished = arrays.first(count)
    Remeasured(finished, classes).compare(looks, check)
    if any(isinstance(event, DeltasMeasured) and event.rows == count for event in looks):
        compared(finished, looks, check, planned=planned, quick=False)
