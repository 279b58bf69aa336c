"""A session measured again: from its arrays to a document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from engine import catalog
from engine.errors import InputError, JournalError
from engine.measure import spread
from engine.plan.plan import Plan
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
    VariantReady,
    WorkerStarted,
)
from engine.report import study
from engine.report.contents import Document
from engine.report.curves import histograms
from engine.report.recheck.check import Check
from engine.report.recheck.measured import Remeasured, compared
from engine.report.recheck.skipped import damage, failures, interruptions
from engine.report.sections.guesses import guesses
from engine.session import attempts, journal, samples
from engine.session.arrays import FOLDER, Arrays
from engine.session.store import state_of
from engine.text import clean

Kind = TypeVar("Kind")


@np.errstate(all="ignore")  # what is no number is told as such
def document(session: Path, *, quick: bool = False) -> Document:
    """Read a session, measure its finished rows and compare them with the journal.

    With `quick` intervals and tests are the journal's where it has them, instead of being made again.
    Raises InputError where nothing is finished, JournalError where it cannot be read.
    """
    header, entries, reader = journal.read(session)
    rows = journal.finished_rows(entries)
    if rows < 1:
        raise InputError("session", str(session), "nothing is finished in it yet, there is nothing to report")
    events = attempts.counted(entry.event for entry in entries)
    plan = journal.plan_of(header, events)
    arrays = _arrays(session, plan, rows)
    finished, check = arrays.first(rows), Check()
    check.rows(arrays, events, plan)
    for one in samples.differences(plan, arrays, rows, events):
        check.differs(("", one.set, one.what), one.journal, one.arrays)
    current = _of_this_headline(events)
    again = Remeasured(finished, {e.variant: e.classes for e in _of(events, VariantReady)})
    again.compare(current, check)
    prepared = journal.prepared_of(events)
    planned = prepared.rows if prepared else None
    table, recorded = compared(finished, current, check, planned=planned, quick=quick)
    models = tuple({e.model: e for e in _of(events, ModelLoaded)}.values())
    return Document(
        session=clean(session.resolve().name),
        id=header.id,
        created=header.created,
        app=header.app,
        state=state_of(session, entries),
        seconds=journal.seconds_of(entries),
        note=catalog.note_of(plan.id_set),
        identity=header.identity,
        headline=plan.headline,
        chosen=header.plan.headline,
        seed=plan.seed,
        rows=rows,
        planned=planned or 0,
        plan=plan,
        images=prepared.sets if prepared else (),
        unreadable=dict(Counter(e.set for e in _of(events, ImageUnreadable))),
        calibrations=prepared.calibrations if prepared else (),
        fit=prepared.fit if prepared else None,
        fit_seen=next((e for e in reversed(events) if isinstance(e, FitSeen)), None),
        models=models,
        attention=tuple({e.model: e for e in _of(events, AttentionCompared)}.values()),
        workers=tuple(_of(events, WorkerStarted)),
        batches=tuple(_of(events, BatchSized)),
        digests={e.variant: e.digest for e in _of(events, VariantReady)},
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
        bit_tables=_bit_tables(plan, events),
        added=tuple(name for e in _of(events, ScoresAdded) for name in e.scores),
        interruptions=tuple(interruptions(events)),
        warnings=tuple(dict.fromkeys(clean(e.text) for e in _of(events, Logged) if e.level == "warning")),
        failures=tuple(failures(events, again.variants, reader)),
        checked=check.result(),
        damage=tuple(damage(reader)),
        guesses=guesses(again.variants, models, prepared.sets if prepared else ()),
    )


def _of(events: Sequence[AnyEvent], kind: type[Kind]) -> Iterator[Kind]:
    return (event for event in events if isinstance(event, kind))


def _arrays(session: Path, plan: Plan, rows: int) -> Arrays:
    """Return the arrays of a session; raise JournalError unless all finished rows are there."""
    if not (session / FOLDER).is_dir():
        raise JournalError(
            f"{session}: its folder {FOLDER} is not there; a report measures every number again from it"
        )
    arrays = Arrays(session, plan)
    if arrays.count < rows:
        raise JournalError(
            f"{session / FOLDER}: {rows:,} rows are finished by the journal, {arrays.count:,} are there"
        )
    return arrays


def _of_this_headline(events: Sequence[AnyEvent]) -> Sequence[AnyEvent]:
    """Return the events since scores were last added: what is before may be of another headline score."""
    last = max((at for at, event in enumerate(events) if isinstance(event, ScoresAdded)), default=0)
    return events[last:]


def _bit_tables(plan: Plan, events: Sequence[AnyEvent]) -> tuple[BitsTabled, ...]:
    """Return the bit tables in the order of the variants, whichever was ready first."""
    tables = {e.variant: e for e in _of(events, BitsTabled)}
    return tuple(tables[v.key] for v in plan.variants() if v.key in tables)
