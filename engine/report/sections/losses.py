"""Sections on what quantization cost: deltas absolute and relative, with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby

from engine import catalog
from engine.measure.spread import Spread
from engine.measure.spread import spread as of_draws
from engine.plan.variants import VariantId
from engine.protocol.events import Delta, VariantDelta
from engine.report import study
from engine.report.blocks import Cell, Items, Row, Section, Shaded, Table, Text
from engine.report.contents import Document, MeanMeasures, VariantRow
from engine.report.sections.provenance import choices
from engine.report.words import (
    NO_VALUE,
    in_float,
    interval,
    points,
    relative,
    relative_with_interval,
    with_interval,
)

MEASURES = {  # of a VariantDelta: how it is written, and the measure of a cell that it is the change of
    "ap_out": ("AUPR-out", "ap_out"),
    "auroc": ("AUROC", "auroc"),
    "ap_in": ("AUPR-in", "ap_in"),
    "fpr95": ("FPR95 (OOD+)", "fpr95_ood_positive"),
}


def headline(found: Document) -> Section:
    """Return the study's table: what every variant lost of AUPR-out, and the means."""
    names = found.plan.ood_sets
    largest = max((abs(d.value) for row in found.deltas for d in row.ap_out.values()), default=0)
    columns = ("variant", *names, "mean", "95 % interval", "relative", "top-1")
    rows: list[Row] = []
    for row in found.deltas:
        mean = row.ap_out_mean
        cells = [_shaded(row.ap_out.get(name), largest) for name in names]
        last = (_shaded(mean, largest), interval(mean), relative(mean), points(row.top1).strip())
        rows.append((row.variant, *cells, *last))
    label = catalog.label_of(found.headline)
    return Section(
        f"AUPR-out lost against FP32 ({label}, average precision, percentage points)",
        (
            Text(
                "Mean over OOD sets with its paired 95 % interval; a star marks a change (see Definitions)."
            ),
            Table("AUPR-out lost, in percentage points", columns, by_model(rows)),
            *([Items(tuple(kept))] if (kept := in_float(found.plan, found.bit_tables)) else []),
            _means(found),
        ),
    )


def _means(found: Document) -> Table:
    """Return the means over models: of all, by pretraining, and how twins differ."""
    groups = {"all models": found.by_bits}
    groups |= {_models_of(pretraining): of_bits for pretraining, of_bits in found.by_pretraining.items()}
    groups |= {"larger pretraining minus its twin": found.twins} if found.twins else {}
    rows = tuple(
        (name, *(with_interval(means.get(bits)) for bits in found.by_bits)) for name, means in groups.items()
    )
    title = "Mean AUPR-out lost over models, in percentage points"
    return Table(title, ("mean over", *found.by_bits), (rows,))


def stated(found: Document) -> Section | None:
    """Return what the study's abstract states beside what was measured; None where it states nothing."""
    if not found.stated:
        return None
    columns = ("model", "measure", "stated", "measured, points", "95 % interval", "measured, relative")
    rows = tuple(
        (
            one.variant,
            study.MEASURES[one.measure],
            f"{one.stated:.1f} %",
            points(one.measured).strip(),
            interval(one.measured),
            relative(one.measured),
        )
        for one in found.stated
    )
    order = study.order_holds(found.stated)
    benchmark = catalog.PRESETS["kuang-wong-2026"].plan["ood_sets"]
    left_out = ", ".join(name for name in benchmark if name not in found.plan.ood_sets)
    told = f"Chosen here: {choices(found)}."
    told += f" Not here of OpenOOD's sets: {left_out}." if left_out else ""
    return Section(
        f"Beside the {catalog.STATED_BY}",
        (
            Text(
                "Losses from FP32 to 4 bits. The abstract does not say whether its figures are points or "
                "relative."
            ),
            Table("Stated and measured", columns, (rows,), texts=2),
            *([Text(f"{order}.")] if order else []),
            Text(catalog.STATED_NOT),
            Text(told),
        ),
    )


def in_full(found: Document) -> Section | None:
    """Return every delta with its interval, absolute and relative; None where there are none."""
    if not found.deltas:
        return None
    return Section(
        "Deltas with intervals",
        (
            Text(
                "FP32 minus quantized, in percentage points and relative to FP32, with 95 % intervals. For "
                "FPR95, NLL and ECE smaller is better, so there a loss is negative."
            ),
            *_by_measure(found),
            _accuracy(found),
        ),
    )


def _by_measure(found: Document) -> Iterator[Table]:
    names = found.plan.ood_sets
    columns = ("variant", *names, "mean")
    for field, (label, measure) in MEASURES.items():
        of_sets: list[tuple[VariantDelta, Mapping[str, Delta], Delta | None]] = [
            (row, getattr(row, field), getattr(row, f"{field}_mean")) for row in found.deltas
        ]
        if not any(mean for _, _, mean in of_sets):
            continue
        absolute: list[Row] = [
            (row.variant, *(with_interval(deltas.get(name)) for name in names), with_interval(mean))
            for row, deltas, mean in of_sets
        ]
        shares: list[Row] = []
        for row, deltas, mean in of_sets:
            whole = _reference(found, row.variant)
            cells = [whole.cell(found.headline, name) if whole else None for name in names]
            values = [getattr(cell, measure) if cell else None for cell in cells]
            over_sets = _mean_of_reference(whole, found.headline)
            shares.append(
                (
                    row.variant,
                    *(
                        relative_with_interval(deltas.get(name), value)
                        for name, value in zip(names, values, strict=True)
                    ),
                    relative_with_interval(mean, getattr(over_sets, measure) if over_sets else None),
                )
            )
        yield Table(f"{label} lost, in percentage points", columns, by_model(absolute))
        yield Table(f"{label} lost, relative to FP32", columns, by_model(shares), folded=True)


def _accuracy(found: Document) -> Table:
    """Return what was lost of accuracy and calibration; ECE has no interval."""
    columns = ("variant", "top-1", "relative", "NLL (nats)", "relative", "ECE, without interval")
    rows: list[Row] = []
    for delta in found.deltas:
        row, whole = found.row(delta.variant), _reference(found, delta.variant)
        of_nll = NO_VALUE
        if delta.nll is not None:
            of_nll = f"{delta.nll.value:+.3f}{'*' if delta.nll.is_change else ''} "
            of_nll += f"({delta.nll.low:+.3f} to {delta.nll.high:+.3f})"
        of_ece = NO_VALUE
        if row is not None and whole is not None and row.ece is not None and whole.ece is not None:
            of_ece = f"{(whole.ece - row.ece) * 100:+.1f}"
        rows.append(
            (
                delta.variant,
                with_interval(delta.top1),
                relative_with_interval(delta.top1, whole.top1 if whole else None),
                of_nll,
                relative_with_interval(delta.nll, whole.nll if whole else None),
                of_ece,
            )
        )
    return Table("Accuracy and calibration lost, in percentage points", columns, by_model(rows))


def spread(found: Document) -> Section | None:
    """Return what the draws of calibration images alone change; None if there is one."""
    if len(found.calibrations) < 2:
        return None
    count = len(found.calibrations[0].images)
    seeds = ", ".join(str(draw.seed) for draw in found.calibrations)
    rows: list[Row] = [
        (f"{row.model} {row.bits}", row.measure, *_four(row.spread)) for row in found.spread if not row.set
    ]
    for (model, bits), draws in groupby(found.variants, key=lambda row: (row.model, row.bits)):
        means = [row.mean(found.headline) for row in draws]
        for name in MeanMeasures.__struct_fields__[2:]:
            over = of_draws([getattr(mean, name) if mean else None for mean in means])
            if over is not None:
                rows.append((f"{model} {bits}", f"{name}, mean over sets", *_four(over)))
    rows.sort(key=lambda row: found.plan.models.index(VariantId.parse(str(row[0])).model))
    columns = ("variant", "measure", "mean", "SD", "smallest", "largest")
    return Section(
        "Spread over calibration draws",
        (
            Text(
                f"{len(found.calibrations)} draws of {count} images (seeds {seeds}), everything else equal: "
                "mean, standard deviation, smallest and largest value. Single sets and other scores are in "
                "the formats csv and json."
            ),
            Table("Spread over the draws, as fractions", columns, by_model(rows), texts=2),
        ),
    )


def _four(spread: Spread) -> tuple[str, ...]:
    return tuple(f"{v:.4f}" for v in (spread.mean, spread.deviation, spread.low, spread.high))


def by_model(rows: list[Row]) -> tuple[tuple[Row, ...], ...]:
    """Group rows, which begin with the key of a variant, by model."""
    return tuple(
        tuple(group) for _, group in groupby(rows, key=lambda row: VariantId.parse(str(row[0])).model)
    )


def _shaded(delta: Delta | None, largest: float) -> Cell:
    if delta is None:
        return NO_VALUE
    return Shaded(points(delta).strip(), max(delta.value, 0) / largest if largest else 0)


def _reference(found: Document, variant: str) -> VariantRow | None:
    return found.row(VariantId.parse(variant).baseline)


def _mean_of_reference(whole: VariantRow | None, score: str) -> MeanMeasures | None:
    return whole.mean(score) if whole is not None else None


def _models_of(pretraining: str) -> str:
    return pretraining if pretraining == catalog.UNKNOWN else f"{pretraining} models"
