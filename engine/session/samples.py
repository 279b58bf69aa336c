"""Which images the rows of a session are of, and of which classes: do journal and arrays say the same?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from engine.plan.plan import Plan
from engine.protocol.events import AnyEvent, ImageUnreadable, VariantReady
from engine.session import journal
from engine.session.arrays import INDEX, READABLE, SET, Arrays, type_of_ranks


class SampleMismatch(NamedTuple):
    """What the journal says otherwise than `samples`: of which set (empty for all), and of what."""

    set: str
    what: str
    journal: str
    arrays: str


def differences(
    plan: Plan, arrays: Arrays, rows: int, events: Sequence[AnyEvent]
) -> Iterator[SampleMismatch]:
    """Yield what does not agree in the first `rows` rows, of which there is at least one."""
    prepared = journal.prepared_of(events)
    if prepared is None:
        yield SampleMismatch("", "image sets", "nothing", f"{rows:,} rows")
        return
    samples = arrays.array("samples")[:rows]
    which, index = samples[:, SET], samples[:, INDEX]
    names = (plan.id_set, *plan.ood_sets)
    told = tuple(one.name for one in prepared.sets)
    if told != names or which.min() < 0 or which.max() >= len(names):
        seen = ", ".join(map(str, np.unique(which)[:20]))
        yield SampleMismatch("", "image sets", ", ".join(told), f"sets number {seen} of {', '.join(names)}")
        return
    whole = sum(one.count for one in prepared.sets)
    if prepared.rows != whole or rows > whole:
        yield SampleMismatch(
            "", "images", f"{prepared.rows:,} in all, {whole:,} in its sets", f"{rows:,} rows"
        )
    if len(np.unique(samples[:, [SET, INDEX]], axis=0)) < rows:
        yield SampleMismatch("", "images", "each once", "one of them twice")
    if index.min() < 0 or not np.isin(samples[:, READABLE], (0, 1)).all():
        yield SampleMismatch("", "images", "places from 0, readable or not", "something else")
    ranks = arrays.array("rank").dtype
    classes = max((event.classes for event in events if isinstance(event, VariantReady)), default=0)
    if ranks.itemsize < type_of_ranks(classes).itemsize:
        yield SampleMismatch(
            "", "ranks of labels", f"among {classes:,} classes", f"{ranks}, which ends before"
        )
    counts = np.bincount(which, minlength=len(names))
    lost = Counter(event.set for event in events if isinstance(event, ImageUnreadable))
    for position, one in enumerate(prepared.sets):
        here = int(counts[position])
        if here > one.count or (rows == whole and here != one.count):
            yield SampleMismatch(one.name, "images", f"{one.count:,}", f"{here:,}")
        unreadable = int((samples[which == position, READABLE] == 0).sum())
        if unreadable != lost[one.name]:
            yield SampleMismatch(one.name, "unreadable images", str(lost[one.name]), str(unreadable))
