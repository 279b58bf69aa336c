"""What went wrong in a session or was left out, in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.measure import means
from engine.protocol.events import (
    AnyEvent,
    ImageUnreadable,
    SessionClosed,
    SessionResumed,
    VariantFailed,
    WorkerDied,
)
from engine.report.contents import VariantRow
from engine.session.journal import Reader
from engine.text import clean, counted


def failures(events: Sequence[AnyEvent], variants: Sequence[VariantRow], reader: Reader) -> list[str]:
    """List everything that went wrong: variants, images, sets, values, the session itself, its journal."""
    texts = [*_of_events(events), *_of_measures(variants), *_of_journal(reader)]
    return [clean(text) for text in dict.fromkeys(texts)]


def interruptions(events: Sequence[AnyEvent]) -> list[str]:
    """List what a session recovered from: workers that ended, and resumptions."""
    texts = []
    for event in events:
        match event:
            case WorkerDied(reason):
                texts.append(f"the worker ended unexpectedly: {reason}")
            case SessionResumed(rows):
                texts.append(f"the session stopped and was resumed at row {rows}")
    return [clean(text) for text in texts]


def _of_events(events: Sequence[AnyEvent]) -> Iterable[str]:
    for event in events:
        match event:
            case VariantFailed(variant, reason):
                yield f"{variant}: {reason}"
            case ImageUnreadable():
                yield f"{event.set}: {event.name}: {event.reason}"
    closed = next((e for e in reversed(events) if isinstance(e, SessionClosed)), None)
    if closed is not None and closed.outcome != "finished":
        yield f"session {closed.outcome}: {closed.reason}"


def _of_measures(variants: Sequence[VariantRow]) -> Iterable[str]:
    cells = [cell for row in variants for cell in row.sets]
    small = {cell.name: cell.n_ood for cell in cells if cell.n_ood < means.LEAST}
    for name, n in small.items():
        yield f"{name}: only {counted(n, 'image')} can be measured, so it is in no mean and no delta"
    if few := {cell.n_id for cell in cells if cell.n_id < means.LEAST}:
        yield f"only {counted(max(few), 'ID image')} can be measured, so there is no mean and no delta"
    for row in variants:
        for problem in dict.fromkeys(cell.problem for cell in row.sets if cell.problem):
            yield f"{row.key}: {problem}"
        if row.value("top1") is not None and row.value("ece") is None:
            yield f"{row.key}: its calibration errors have no value because confidences are not finite"


def damage(reader: Reader) -> Iterable[str]:
    """Yield what cannot be read of a journal, in words; rows and numbers may be missing because of it."""
    yield from (f"the journal is damaged, {what}" for what in reader.damage)
    if reader.skipped > len(reader.damage):
        yield f"damaged or missing events of the journal, in all: {reader.skipped:,}"


def _of_journal(reader: Reader) -> Iterable[str]:
    yield from damage(reader)
    if reader.unknown:
        yield f"events of types unknown to this version, not counted: {reader.unknown:,}"
    if reader.strange:
        yield f"the plan has fields unknown to this version: {', '.join(reader.strange)}"
