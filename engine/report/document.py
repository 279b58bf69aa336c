"""A session measured again, from its arrays to a document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from engine import catalog
from engine.errors import InputError, JournalError
from engine.measure import spread
from engine.protocol.events import (
    AnyEvent,
    AttentionCompared,
    BatchSized,
    BitsTabled,
    FitSeen,
    ImageUnreadable,
    Logged,
    ModelLoaded,
    ScoresAdded,
    WorkerStarted,
)
from engine.report import study
from engine.report.contents import Document
from engine.report.curves import histograms
from engine.report.recheck.check import Check
from engine.report.recheck.measured import Remeasured, compared
from engine.report.recheck.skipped import damage, failures, interruptions
from engine.report.sections.guesses import guesses
from engine.session import samples
from engine.session.arrays import Arrays
from engine.session.layout import ARRAYS
from engine.session.session import Session
from engine.text import clean


@np.errstate(all="ignore")  # values that are not numbers are reported as such
def document(session: Session, *, quick: bool = False) -> Document:
    """Measure the finished rows of a session again and compare them with its journal.

    With `quick`, intervals and tests are taken from the journal if it has them, instead of being recomputed.
    Raises InputError if nothing is finished, JournalError if the session cannot be read.
    """
    header, rows, events, plan = session.header, session.rows, session.events, session.plan
    if rows < 1:
        where = session.place.where("")
        raise InputError("session", where, "nothing in it is finished yet, so there is nothing to report")
    arrays = _arrays(session)
    finished, check = arrays.first(rows), Check()
    check.rows(arrays, events, plan)
    for one in samples.differences(session):
        check.differs(("", one.set, one.what), one.journal, one.arrays)
    current = _of_this_headline(events)
    again = Remeasured(finished, session.classes)
    again.compare(current, check)
    prepared = session.prepared
    planned = prepared.rows if prepared else None
    table, recorded = compared(finished, current, check, planned=planned, quick=quick)
    models = tuple({e.model: e for e in session.of(ModelLoaded)}.values())
    return Document(
        session=clean(session.name),
        id=header.id,
        created=header.created,
        app=header.app,
        state=session.state,
        seconds=session.seconds,
        note=catalog.note_of(plan.id_set),
        identity=header.identity,
        headline=plan.headline,
        chosen=header.plan.headline,
        seed=plan.seed,
        rows=rows,
        planned=planned or 0,
        plan=plan,
        images=prepared.sets if prepared else (),
        unreadable=dict(Counter(e.set for e in session.of(ImageUnreadable))),
        calibrations=prepared.calibrations if prepared else (),
        fit=prepared.fit if prepared else None,
        fit_seen=next(reversed(session.of(FitSeen)), None),
        models=models,
        attention=tuple({e.model: e for e in session.of(AttentionCompared)}.values()),
        workers=tuple(session.of(WorkerStarted)),
        batches=tuple(session.of(BatchSized)),
        digests={name: event.digest for name, event in session.calibrated.items()},
        stated=study.beside(table.variants),
        variants=tuple(again.variants),
        deltas=table.variants,
        by_bits=table.by_bits,
        by_pretraining=table.by_pretraining,
        twins=table.twins,
        sequential=table.sequential,
        resamples=table.resamples,
        intervals="journal" if recorded else "arrays",
        spread=spread.table(plan, again.measured, table.variants),
        curves=tuple(again.curves),
        histograms=histograms(finished, again.measured),
        bit_tables=_bit_tables(session),
        added=tuple(name for e in session.of(ScoresAdded) for name in e.scores),
        interruptions=tuple(interruptions(events)),
        warnings=tuple(dict.fromkeys(clean(e.text) for e in session.of(Logged) if e.level == "warning")),
        failures=tuple(failures(events, again.variants, session.journal)),
        checked=check.result(),
        damage=tuple(damage(session.journal)),
        guesses=guesses(again.variants, models, prepared.sets if prepared else ()),
    )


def _arrays(session: Session) -> Arrays:
    """Return the arrays of a session; raise JournalError unless all finished rows are there."""
    place = session.place
    if not session.has_arrays:
        why = f"its folder {ARRAYS} is missing, from which a report recomputes every number"
        raise JournalError(f"{place.where('')}: {why}")
    if (here := session.arrays.count) < session.rows:
        why = f"the journal says that {session.rows:,} rows are finished, but there are only {here:,}"
        raise JournalError(f"{place.where(ARRAYS)}: {why}")
    return session.arrays


def _of_this_headline(events: Sequence[AnyEvent]) -> Sequence[AnyEvent]:
    """Return the events since scores were last added; earlier ones may have another headline score."""
    last = max((at for at, event in enumerate(events) if isinstance(event, ScoresAdded)), default=0)
    return events[last:]


def _bit_tables(session: Session) -> tuple[BitsTabled, ...]:
    """Return the bit tables in the order of the variants."""
    tables = {event.variant: event for event in session.of(BitsTabled)}
    return tuple(tables[v.key] for v in session.plan.variants() if v.key in tables)
