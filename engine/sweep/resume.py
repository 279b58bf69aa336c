"""Before a session is resumed: is everything still what it was when it stopped?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from engine.errors import EngineError, JournalError
from engine.plan.plan import Plan
from engine.protocol.events import (
    AnyEvent,
    BitsTabled,
    ModelLoaded,
    SetsPrepared,
    VariantReady,
    WorkerStarted,
)
from engine.session.layout import OUTPUTS
from engine.session.session import Session

NEW = "start a new session instead"
DESCRIBING = ("origin", "weights")  # where weights come from; their digest identifies them


class PriorVariants(NamedTuple):
    """Earlier variants according to the journal: their digests, bit tables, and why some failed.

    They are binding where rows are finished, since these belong to exactly these variants.
    """

    digests: Mapping[str, str] = {}
    tables: Mapping[str, BitsTabled] = {}
    failed: Mapping[str, str] = {}
    is_binding: bool = False


class Before(NamedTuple):
    """The state of a session before it was resumed.

    `batch` is the batch size, 0 if unknown; `changes` say in words what else may change the last bits of a
    number.
    """

    variants: PriorVariants
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
    """Return the state of a session before it is resumed.

    If rows are finished, raises EngineError if images, models or these rows are not what they were.
    """
    before = Session.at(session)
    if not finished:
        return Before(_left_behind([entry.event for entry in before.entries]))
    _check_images(before.prepared or prepared, prepared)
    _check_models(before.of(ModelLoaded), models)
    batch = _check_rows(before)
    return Before(_prior(before), batch, tuple(_changes(before.worker, worker)))


def _left_behind(events: Sequence[AnyEvent]) -> PriorVariants:
    """Return what attempts without finished rows left behind: it may be used but is not binding."""
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


def _prior(session: Session) -> PriorVariants:
    """Return the variants that the finished rows belong to."""
    return PriorVariants(
        {name: event.digest for name, event in session.calibrated.items()},
        {event.variant: event for event in session.of(BitsTabled)},
        session.failed,
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


def _check_models(before: Sequence[ModelLoaded], models: Sequence[ModelLoaded]) -> None:
    by_name = {event.model: event for event in before}
    for now in models:
        if (old := by_name.get(now.model)) is not None and (differs := list(_differences(old, now))):
            raise EngineError(f"{now.model}: {', '.join(differs)}; {NEW}")


def _differences(old: ModelLoaded, now: ModelLoaded) -> Iterator[str]:
    """Yield in words how a model, including its preprocessing, has changed."""
    for name in ModelLoaded.__struct_fields__:
        was, is_now = getattr(old, name), getattr(now, name)
        if was != is_now and name == "digest":
            yield "its weights are not those the session began with"
        elif was != is_now and name not in DESCRIBING:
            yield f"its {name} was {was} and is {is_now}"


def _check_rows(session: Session) -> int:
    """Compare the finished rows with their digests; return the batch size of the last chunk."""
    try:
        arrays = session.arrays
        outputs = session.outputs if session.plan.keep_outputs else None
    except JournalError as error:
        raise EngineError(f"the finished rows cannot be read ({error}); {NEW}") from None
    for chunk in session.chunks:
        digests = arrays.digests(chunk.first, chunk.rows)
        if outputs is not None:
            digests[OUTPUTS] = outputs.digest(chunk.first, chunk.rows)
        if digests != chunk.digests:
            raise EngineError(f"the rows from {chunk.first} on are damaged; {NEW}")
    return session.chunks[-1].batch if session.chunks else 0


def _changes(before: WorkerStarted | None, now: WorkerStarted) -> Iterator[str]:
    """Yield what differs between the worker of the last finished chunk and the one that resumes."""
    if before is None:
        return
    was, is_now = ({"device": one.device, **one.versions} for one in (before, now))
    for name in sorted(was.keys() & is_now.keys()):  # what an older program did not record is unknown
        if was[name] != is_now[name]:
            yield f"{name} was {was[name]} and is {is_now[name]}"
