"""Which events of a journal count: all but those about rows that their attempt did not finish.

A sweep may be interrupted and resumed any number of times. Every attempt begins with `session.resumed` or
`worker.started`, after the rows finished by then. The first one to finish a chunk determines images, models
and variants; later ones must agree with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.protocol.events import (
    AnyEvent,
    BatchSized,
    ChunkFinished,
    ImageUnreadable,
    Look,
    Preparation,
    SessionResumed,
    SetsPrepared,
    WorkerStarted,
)


def counted(events: Iterable[AnyEvent]) -> list[AnyEvent]:
    """Return the events that count, in order, except that some come later, once their chunk is finished.

    Left out are the preparations of attempts that finished no row, unreadable images and looks at rows that
    their attempt did not finish, and looks at a chunk that was scored again with smaller batches. A look at
    more rows than were ever finished is kept: readers compare it with the rows.
    """
    kept: list[AnyEvent] = []
    preparation: list[AnyEvent] = []  # of an attempt that has not finished a row
    waiting: list[AnyEvent] = []  # for the rows that they are about
    rows = 0
    for event in events:
        match event:
            case SessionResumed() | WorkerStarted():
                preparation, waiting = [], []
            case BatchSized():
                waiting = [one for one in waiting if not isinstance(one, Look)]
            case ChunkFinished(first, of_chunk) if first == rows:
                kept += [*preparation, *waiting]
                preparation, waiting = [], []
                rows += of_chunk
        if _is_ahead(event, rows):
            waiting.append(event)
        elif not rows and isinstance(event, Preparation):
            preparation.append(event)
        else:
            kept.append(event)
    return [*kept, *preparation, *(one for one in waiting if isinstance(one, Look))]


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
    """Return the image sets that the rows belong to; attempts without a finished chunk may differ."""
    first = next((at for at, event in enumerate(events) if isinstance(event, ChunkFinished)), len(events))
    return next((event for event in reversed(events[:first]) if isinstance(event, SetsPrepared)), None)


def last_worker(events: Sequence[AnyEvent]) -> WorkerStarted | None:
    """Return the worker that finished the last chunk; None if there is no such chunk or worker."""
    last = max((at for at, event in enumerate(events) if isinstance(event, ChunkFinished)), default=0)
    return next((event for event in reversed(events[:last]) if isinstance(event, WorkerStarted)), None)


def _is_ahead(event: AnyEvent, rows: int) -> bool:
    """Return whether an event is about rows that are not finished."""
    match event:
        case ImageUnreadable():
            return True
        case Look():
            return event.rows > rows
        case BatchSized(first):
            return first >= rows
        case _:
            return False
