"""Before a session goes on: is everything still what it was when it stopped?"""

from __future__ import annotations

from pathlib import Path

from engine import journal
from engine.arrays import Arrays
from engine.calibration import Known
from engine.errors import EngineError, JournalError
from engine.outputs import FOLDER as OUTPUTS
from engine.outputs import KeptOutputs
from engine.plan import Plan
from engine.protocol import BitsTabled, ChunkFinished, SetsPrepared, VariantReady

NEW = "start a new session instead"


def check(session: Path, plan: Plan, prepared: SetsPrepared, finished: int) -> tuple[Known, int]:
    """Return what variants were before, and how many images went through at once, 0 if that is not known.

    Where rows are finished, raises EngineError if images or these rows are not what they were.
    """
    events = [entry.event for entry in journal.read(session)[1]]
    digests = {e.variant: e.digest for e in events if isinstance(e, VariantReady)}
    tabled = frozenset(e.variant for e in events if isinstance(e, BitsTabled))
    if not finished:
        return Known(digests, tabled), 0
    before = journal.prepared_of(events) or prepared
    fits = [event.fit.digest if event.fit else "" for event in (before, prepared)]
    for name, old, new in (
        ("fit", *fits),
        *((s.name, s.digest, now.digest) for s, now in zip(before.sets, prepared.sets, strict=True)),
        *(
            (d.set, d.digest, now.digest)
            for d, now in zip(before.calibrations, prepared.calibrations, strict=True)
        ),
    ):
        if old != new:
            raise EngineError(f"{name}: its images are not those the session began with; {NEW}")
    try:
        arrays = Arrays(session, plan)
        outputs = KeptOutputs(session, plan) if plan.keep_outputs else None
    except JournalError as error:
        raise EngineError(f"the finished rows cannot be read ({error}); {NEW}") from None
    rows = size = 0
    for event in events:
        if isinstance(event, ChunkFinished) and event.first == rows:
            found = arrays.digests(event.first, event.rows)
            if outputs is not None:
                found[OUTPUTS] = outputs.digest(event.first, event.rows)
            if found != event.digests:
                raise EngineError(f"the rows from {event.first} on are damaged; {NEW}")
            rows += event.rows
            size = event.batch
    return Known(digests, tabled, is_binding=True), size
