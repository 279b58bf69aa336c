"""A finished session as a document: every measure recomputed from the arrays, deltas with intervals."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TypeGuard

import msgspec

from engine import catalog, journal, study
from engine.arrays import Arrays
from engine.errors import InputError
from engine.measure import deltas, pair, spread, table
from engine.measure.pair import PairMeasures
from engine.measure.spread import SpreadRow
from engine.plan import Bits, Plan, Variant
from engine.protocol import (
    AnyEvent,
    BatchSized,
    BitsTabled,
    CalibrationDraw,
    Delta,
    DeltasMeasured,
    Entry,
    ImageUnreadable,
    Logged,
    Measured,
    ModelLoaded,
    SessionClosed,
    SetReady,
    VariantDelta,
    VariantFailed,
    VariantReady,
    WorkerStarted,
)
from engine.sessions import state_of
from engine.study import Stated
from engine.text import clean


class VariantRow(msgspec.Struct, frozen=True):
    """One variant with all its measures, as fractions; NLL in nats."""

    model: str
    pretraining: str
    bits: str
    quantizer: str
    draw: int  # of calibration images, from 0
    top1: float | None
    top5: float | None
    nll: float | None
    brier: float | None
    ece: float | None
    ece_adaptive: float | None
    aurc: float | None
    sets: tuple[PairMeasures, ...]

    @property
    def key(self) -> str:
        """Return the name of the variant."""
        return Variant(self.model, Bits.parse(self.bits), self.quantizer, self.draw).key


class Document(msgspec.Struct, frozen=True):
    """What a session found. Deltas are FP32 minus quantized under the headline score."""

    session: str
    state: str
    seconds: float
    note: str
    identity: str
    headline: str
    seed: int
    rows: int
    plan: Plan
    images: tuple[SetReady, ...]
    unreadable: dict[str, int]  # images that count nowhere, by set
    calibrations: tuple[CalibrationDraw, ...]
    fit: SetReady | None
    models: tuple[ModelLoaded, ...]
    workers: tuple[WorkerStarted, ...]
    batches: tuple[BatchSized, ...]
    stated: tuple[Stated, ...]
    variants: tuple[VariantRow, ...]
    deltas: tuple[VariantDelta, ...]
    by_bits: dict[str, Delta]
    by_pretraining: dict[str, dict[str, Delta]]
    twins: dict[str, Delta]  # how much more the larger pretraining lost
    sequential: bool  # stopped before its planned end: intervals hold at all looks, there are no tests
    spread: tuple[SpreadRow, ...]
    bit_tables: tuple[BitsTabled, ...]
    warnings: tuple[str, ...]
    failures: tuple[str, ...]


def document(session: Path) -> Document:
    """Read a session and measure its finished rows; raise InputError or JournalError."""
    header, entries, _ = journal.read(session)
    rows = journal.finished_rows(entries)
    if not rows:
        raise InputError("session", str(session), "nothing is finished in it yet, there is nothing to report")
    plan = header.plan
    finished = Arrays(session, plan).first(rows)
    classes = {e.event.variant: e.event.classes for e in entries if isinstance(e.event, VariantReady)}
    variants, measured = [], {}
    for position, variant in enumerate(plan.variants()):
        if variant.key not in classes:
            continue
        pairs = [
            pair.measure(
                name,
                finished.column(score, position, 0),
                finished.column(score, position, at),
                score,
            )
            for score in plan.scores
            for at, name in enumerate(plan.ood_sets, start=1)
        ]
        found = table.measure_variant(finished, position, (), classes[variant.key])
        cells = tuple(table.cell_of(p.name, p.score, p, p.problem) for p in pairs)
        measured[variant.key] = msgspec.structs.replace(found, cells=cells)
        variants.append(_row(variant, found, tuple(pairs)))
    prepared = journal.prepared_of([entry.event for entry in entries])
    compared = _last_deltas(entries, rows) or deltas.measure_deltas(
        finished, 1000, plan.seed, planned=prepared.rows if prepared else None
    )
    return Document(
        str(session),
        state_of(session, entries),
        entries[-1].t,
        catalog.note_of(plan.id_set),
        header.identity,
        plan.headline,
        plan.seed,
        rows,
        plan,
        prepared.sets if prepared else (),
        dict(Counter(e.event.set for e in entries if isinstance(e.event, ImageUnreadable))),
        prepared.calibrations if prepared else (),
        prepared.fit if prepared else None,
        tuple({e.event.model: e.event for e in entries if isinstance(e.event, ModelLoaded)}.values()),
        tuple(e.event for e in entries if isinstance(e.event, WorkerStarted)),
        tuple(e.event for e in entries if isinstance(e.event, BatchSized)),
        study.beside(compared.variants),
        tuple(variants),
        compared.variants,
        compared.by_bits,
        compared.by_pretraining,
        compared.twins,
        compared.sequential,
        spread.table(plan, measured, compared.variants),
        _bit_tables(plan, entries),
        tuple(dict.fromkeys(e.event.text for e in entries if _is_warning(e.event))),
        tuple(failures(entries, variants)),
    )


def _bit_tables(plan: Plan, entries: list[Entry]) -> tuple[BitsTabled, ...]:
    """Return the bit tables in the order of the variants, whichever was ready first."""
    tables = {e.event.variant: e.event for e in entries if isinstance(e.event, BitsTabled)}
    return tuple(tables[v.key] for v in plan.variants() if v.key in tables)


def _is_warning(event: AnyEvent) -> TypeGuard[Logged]:
    return isinstance(event, Logged) and event.level == "warning"


def failures(entries: list[Entry], variants: list[VariantRow]) -> list[str]:
    """List in words everything that went wrong in a session."""
    found = []
    for entry in entries:
        match entry.event:
            case VariantFailed(variant, reason):
                found.append(f"{variant}: {reason}")
            case ImageUnreadable(of_set, name, reason):
                found.append(f"{of_set}: {name}: {reason}")
    closed = next((e.event for e in reversed(entries) if isinstance(e.event, SessionClosed)), None)
    if closed is not None and closed.outcome != "finished":
        found.append(f"the session {closed.outcome}: {closed.reason}")
    small = {c.name: c.n_ood for row in variants for c in row.sets if c.n_ood < 2}
    found += [f"{name}: only {n} image can be measured, so it is in no delta" for name, n in small.items()]
    for row in variants:
        problems = dict.fromkeys(cell.problem for cell in row.sets if cell.problem)
        found += [f"{row.key}: {problem}" for problem in problems]
    return [clean(text) for text in dict.fromkeys(found)]


def _row(variant: Variant, found: Measured, pairs: tuple[PairMeasures, ...]) -> VariantRow:
    known = catalog.MODELS.get(variant.model)
    return VariantRow(
        variant.model,
        known.pretraining if known else "",
        str(variant.bits),
        variant.quantizer,
        variant.draw,
        found.top1,
        found.top5,
        found.nll,
        found.brier,
        found.ece,
        found.ece_adaptive,
        found.aurc,
        pairs,
    )


def _last_deltas(entries: list[Entry], rows: int) -> DeltasMeasured | None:
    for entry in reversed(entries):
        if isinstance(entry.event, DeltasMeasured) and entry.event.rows == rows:
            return entry.event
    return None
