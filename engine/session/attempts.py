"""Which events of a journal count: whatever an attempt says of rows that it did not finish does not.

A sweep may be interrupted and resumed any number of times. Every attempt begins with `session.resumed` or
`worker.started`, at the rows that are finished by then; the first one that finishes a chunk decides on
images, models and variants, and later ones must agree with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.protocol.events import (
    AnyEvent,
    AttentionCompared,
    BatchSized,
    BitsTabled,
    ChunkFinished,
    CurvesDrawn,
    DeltasMeasured,
    FitSeen,
    ImageUnreadable,
    Logged,
    Measured,
    ModelLoaded,
    OutputsKept,
    SessionResumed,
    SetsPrepared,
    VariantFailed,
    VariantReady,
    WorkerStarted,
)

LOOKS = (Measured, CurvesDrawn, DeltasMeasured)
PREPARATION = (  # what an attempt says before its first chunk
    WorkerStarted,
    SetsPrepared,
    ModelLoaded,
    AttentionCompared,
    VariantReady,
    VariantFailed,
    BitsTabled,
    FitSeen,
    OutputsKept,
    Logged,
)


def counted(events: Iterable[AnyEvent]) -> list[AnyEvent]:
    """Return the events that count, in their order but for those that wait for a chunk to be finished.

    Left out are what attempts that finished no row said, unreadable images and looks of rows that were not
    finished in their attempt, and looks at a chunk that was scored again with smaller batches. A look at
    more rows than were ever finished stays: readers compare it with the rows.
    """
    kept: list[AnyEvent] = []
    preparation: list[AnyEvent] = []  # of an attempt that has not finished a row
    waiting: list[AnyEvent] = []  # for the rows that they speak of
    rows = 0
    for event in events:
        match event:
            case SessionResumed() | WorkerStarted():
                preparation, waiting = [], []
            case BatchSized():
                waiting = [one for one in waiting if not isinstance(one, LOOKS)]
            case ChunkFinished(first, of_chunk) if first == rows:
                kept += [*preparation, *waiting]
                preparation, waiting = [], []
                rows += of_chunk
        if _is_ahead(event, rows):
            waiting.append(event)
        elif not rows and isinstance(event, PREPARATION):
            preparation.append(event)
        else:
            kept.append(event)
    return [*kept, *preparation, *(one for one in waiting if isinstance(one, LOOKS))]


def finished_chunks(events: Iterable[AnyEvent]) -> list[ChunkFinished]:
    """List the chunks that are finished without a gap, in the order of their rows."""
    chunks, rows = [], 0
    for event in events:
        if isinstance(event, ChunkFinished) and event.first == rows:
            chunks.append(event)
            rows += event.rows
    return chunks


def finished_rows(events: Iterable[AnyEvent]) -> int:
    """Return how many rows are finished without a gap."""
    return sum(chunk.rows for chunk in finished_chunks(events))


def prepared_sets(events: Sequence[AnyEvent]) -> SetsPrepared | None:
    """Return which images the rows of a session are of: an attempt that finished no chunk used others."""
    first = next((at for at, event in enumerate(events) if isinstance(event, ChunkFinished)), len(events))
    return next((event for event in reversed(events[:first]) if isinstance(event, SetsPrepared)), None)


def last_worker(events: Sequence[AnyEvent]) -> WorkerStarted | None:
    """Return the worker that finished the last chunk; None where no chunk is finished, or none was named."""
    last = max((at for at, event in enumerate(events) if isinstance(event, ChunkFinished)), default=0)
    return next((event for event in reversed(events[:last]) if isinstance(event, WorkerStarted)), None)


def _is_ahead(event: AnyEvent, rows: int) -> bool:
    """Return whether an event speaks of rows that are not finished."""
    match event:
        case ImageUnreadable():
            return True
        case Measured() | CurvesDrawn() | DeltasMeasured():
            return event.rows > rows
        case BatchSized(first):
            return first >= rows
        case _:
            return False
