"""Which images and classes the rows of a session belong to: do journal and arrays agree?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from engine.protocol.events import ImageUnreadable
from engine.session.arrays import INDEX, READABLE, SET, type_of_ranks
from engine.session.session import Session


class SampleMismatch(NamedTuple):
    """A disagreement between the journal and `samples`: in which set (empty for all), and about what."""

    set: str
    what: str
    journal: str
    arrays: str


def differences(session: Session) -> Iterator[SampleMismatch]:
    """Yield the disagreements in the finished rows, of which there is at least one."""
    arrays, rows, prepared = session.arrays, session.rows, session.prepared
    if prepared is None:
        yield SampleMismatch("", "image sets", "nothing", f"{rows:,} rows")
        return
    samples = arrays.array("samples")[:rows]
    which, index = samples[:, SET], samples[:, INDEX]
    names = (session.plan.id_set, *session.plan.ood_sets)
    recorded = tuple(one.name for one in prepared.sets)
    if recorded != names or which.min() < 0 or which.max() >= len(names):
        seen = ", ".join(map(str, np.unique(which)[:20]))
        yield SampleMismatch(
            "", "image sets", ", ".join(recorded), f"sets number {seen} of {', '.join(names)}"
        )
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
    classes = max(session.classes.values(), default=0)
    if ranks.itemsize < type_of_ranks(classes).itemsize:
        yield SampleMismatch(
            "", "ranks of labels", f"among {classes:,} classes", f"{ranks}, which ends before"
        )
    counts = np.bincount(which, minlength=len(names))
    lost = Counter(event.set for event in session.of(ImageUnreadable))
    for position, one in enumerate(prepared.sets):
        here = int(counts[position])
        if here > one.count or (rows == whole and here != one.count):
            yield SampleMismatch(one.name, "images", f"{one.count:,}", f"{here:,}")
        unreadable = int((samples[which == position, READABLE] == 0).sum())
        if unreadable != lost[one.name]:
            yield SampleMismatch(one.name, "unreadable images", str(lost[one.name]), str(unreadable))
