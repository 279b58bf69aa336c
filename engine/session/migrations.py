"""Older formats of journals, converted to the current one by pure functions, one step per version.

Format 1 had no seals (`seal.py`). Formats 1 and 2 had a field per measure. Since format 3 measures are stored
by id, in new types of events, so that a session of format 2 can be resumed and then holds both types.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from engine.plan.variants import VariantKey
from engine.protocol.events import (
    VERSION,
    AnyEvent,
    Cell,
    Delta,
    DeltasMeasured,
    Event,
    Measured,
    SetDeltas,
    VariantDelta,
)

Plain = dict[str, Any]
FIRST_SEALED = 2
FIRST_WRITABLE = 2  # events of the current format may follow

HEADERS: dict[int, Callable[[Plain], Plain]] = {
    1: lambda header: {**header, "version": 2},
    2: lambda header: {**header, "version": 3},
}
# Ids of measures, by the names of their deltas.
_BY_SET = {"ap_out": "ap_out", "auroc": "auroc", "ap_in": "ap_in", "fpr95": "fpr95_ood_positive"}
_OF_CELL = ("auroc", "ap_out", "ap_in", "fpr95_ood_positive", "fpr95_id_positive")
_ALWAYS = ("top1", "nll")  # present even if None
_OF_LABELS = ("top1", "top5", "nll", "brier", "ece", "ece_adaptive", "aurc")


def migrated_header(header: Plain) -> Plain:
    """Convert a header of any version from 1 on to the current version."""
    while (version := header["version"]) < VERSION:
        header = HEADERS[version](header)
    return header


class CellOf2(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A `Cell` of formats 1 and 2."""

    name: str
    score: str
    n_id: int
    n_ood: int
    auroc: float | None = None
    ap_out: float | None = None
    ap_in: float | None = None
    fpr95_ood_positive: float | None = None
    fpr95_id_positive: float | None = None
    problem: str = ""


class MeasuredOf2(Event, frozen=True, tag="measured"):
    """A `Measured` of formats 1 and 2."""

    rows: int
    variant: VariantKey
    top1: float | None
    top5: float | None
    nll: float | None
    cells: tuple[CellOf2, ...]
    brier: float | None = None
    ece: float | None = None
    ece_adaptive: float | None = None
    aurc: float | None = None


class VariantDeltaOf2(msgspec.Struct, frozen=True):
    """A `VariantDelta` of formats 1 and 2."""

    variant: VariantKey
    top1: Delta | None
    nll: Delta | None
    ap_out: dict[str, Delta]
    auroc: dict[str, Delta]
    ap_out_mean: Delta
    auroc_mean: Delta
    ap_in: dict[str, Delta] = {}
    fpr95: dict[str, Delta] = {}
    ap_in_mean: Delta | None = None
    fpr95_mean: Delta | None = None


class DeltasMeasuredOf2(Event, frozen=True, tag="deltas.measured"):
    """A `DeltasMeasured` of formats 1 and 2."""

    rows: int
    resamples: int
    seed: int
    variants: tuple[VariantDeltaOf2, ...]
    by_bits: dict[str, Delta]
    sequential: bool = False
    by_pretraining: dict[str, dict[str, Delta]] = {}
    twins: dict[str, Delta] = {}


EventOf2 = MeasuredOf2 | DeltasMeasuredOf2
WrittenEvent = AnyEvent | EventOf2  # what a line of a journal may hold


def migrated(event: WrittenEvent) -> AnyEvent:
    """Convert an event of any format to the current format."""
    match event:
        case MeasuredOf2():
            return _measured(event)
        case DeltasMeasuredOf2():
            return _deltas(event)
        case _:
            return event


def _measured(event: MeasuredOf2) -> Measured:
    values = {name: getattr(event, name) for name in _OF_LABELS}
    values = {name: value for name, value in values.items() if value is not None or name in _ALWAYS}
    return Measured(event.rows, event.variant, values, tuple(map(_cell, event.cells)))


def _cell(cell: CellOf2) -> Cell:
    values = {name: getattr(cell, name) for name in _OF_CELL}
    return Cell(cell.name, cell.score, cell.n_id, cell.n_ood, values, cell.problem)


def _deltas(event: DeltasMeasuredOf2) -> DeltasMeasured:
    return DeltasMeasured(
        event.rows,
        event.resamples,
        event.seed,
        tuple(map(_variant, event.variants)),
        event.by_bits,
        event.sequential,
        event.by_pretraining,
        event.twins,
    )


def _variant(row: VariantDeltaOf2) -> VariantDelta:
    by_set = {
        measure: SetDeltas(getattr(row, name), mean)
        for name, measure in _BY_SET.items()
        if (mean := getattr(row, f"{name}_mean")) is not None
    }
    of_labels = {name: delta for name in _ALWAYS if (delta := getattr(row, name)) is not None}
    return VariantDelta(row.variant, by_set, of_labels)
