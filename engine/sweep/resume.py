"""Before a session is resumed: is everything still what it was when it stopped?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from engine.errors import EngineError, JournalError
from engine.plan.plan import Plan
from engine.protocol.events import (
    AnyEvent,
    BitsTabled,
    ChunkFinished,
    ModelLoaded,
    SetsPrepared,
    VariantFailed,
    VariantReady,
    WorkerStarted,
)
from engine.session import attempts, journal
from engine.session.arrays import Arrays
from engine.session.outputs import FOLDER as OUTPUTS
from engine.session.outputs import KeptOutputs
from engine.sweep.calibration import PriorVariants

NEW = "start a new session instead"
DESCRIBING = ("origin", "weights")  # where weights are from; their digest says which they are


class Before(NamedTuple):
    """What a session was before it was resumed.

    `batch` is how many images went through at once, 0 if that is unknown; `changes` are what else may move
    the last bits of a number, in words.
    """

    known: PriorVariants
    batch: int = 0
    changes: tuple[str, ...] = ()


def check(
    session: Path,
    plan: Plan,
    prepared: SetsPrepared,
    models: Sequence[ModelLoaded],
    worker: WorkerStarted,
    finished: int,
) -> Before:
    """Return what a session was before.

    Where rows are finished, raises EngineError if images, models or these rows are not what they were.
    """
    events = [entry.event for entry in journal.read(session)[1]]
    if not finished:
        return Before(_left_behind(events))
    events = attempts.counted(events)
    _check_images(journal.prepared_of(events) or prepared, prepared)
    _check_models(events, models)
    batch = _check_rows(session, plan, events)
    return Before(_known(events), batch, tuple(_changes(events, worker)))


def _left_behind(events: Sequence[AnyEvent]) -> PriorVariants:
    """Return what attempts without finished rows left behind: it may be used, and binds nobody."""
    digests: dict[str, str] = {}
    tables: dict[str, BitsTabled] = {}
    for event in events:
        if isinstance(event, VariantReady):
            if digests.get(event.variant) != event.digest:
                tables.pop(event.variant, None)  # of other images or weights
            digests[event.variant] = event.digest
        elif isinstance(event, BitsTabled):
            tables[event.variant] = event
    return PriorVariants(digests, tables)


def _known(events: Sequence[AnyEvent]) -> PriorVariants:
    """Return what finished rows are of."""
    return PriorVariants(
        {e.variant: e.digest for e in events if isinstance(e, VariantReady)},
        {e.variant: e for e in events if isinstance(e, BitsTabled)},
        {e.variant: e.reason for e in events if isinstance(e, VariantFailed)},
        is_binding=True,
    )


def _check_images(before: SetsPrepared, now: SetsPrepared) -> None:
    fits = [event.fit.digest if event.fit else "" for event in (before, now)]
    for name, old, new in (
        ("fit", *fits),
        *((s.name, s.digest, again.digest) for s, again in zip(before.sets, now.sets, strict=True)),
        *(
            (d.set, d.digest, again.digest)
            for d, again in zip(before.calibrations, now.calibrations, strict=True)
        ),
    ):
        if old != new:
            raise EngineError(f"{name}: its images are not those the session began with; {NEW}")


def _check_models(events: Sequence[AnyEvent], models: Sequence[ModelLoaded]) -> None:
    before = {event.model: event for event in events if isinstance(event, ModelLoaded)}
    for now in models:
        if (old := before.get(now.model)) is not None and (differs := list(_differences(old, now))):
            raise EngineError(f"{now.model}: {', '.join(differs)}; {NEW}")


def _differences(old: ModelLoaded, now: ModelLoaded) -> Iterator[str]:
    """Yield in words what of a model, its preprocessing included, is not what it was."""
    for name in ModelLoaded.__struct_fields__:
        was, is_now = getattr(old, name), getattr(now, name)
        if was != is_now and name == "digest":
            yield "its weights are not those the session began with"
        elif was != is_now and name not in DESCRIBING:
            yield f"its {name} was {was} and is {is_now}"


def _check_rows(session: Path, plan: Plan, events: Sequence[AnyEvent]) -> int:
    """Compare the finished rows with their digests; return the batch size of the last chunk."""
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
    return size


def _changes(events: Sequence[AnyEvent], now: WorkerStarted) -> Iterator[str]:
    """Yield what differs between the worker of the last finished chunk and the one that resumes."""
    if (worker := attempts.last_worker(events)) is None:
        return
    before, after = ({"device": one.device, **one.versions} for one in (worker, now))
    for name in sorted(before.keys() & after.keys()):  # what an older program did not record is unknown
        if before[name] != after[name]:
            yield f"{name} was {before[name]} and is {after[name]}"
