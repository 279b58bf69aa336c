"""Sections on what quantization cost: absolute and relative deltas with intervals."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from engine import catalog
from engine.measure.measure import Measure
from engine.measure.measures import COMPARED, COMPARED_OF_LABELS, MEASURES, OF_LABELS
from engine.measure.spread import Spread
from engine.measure.spread import spread as of_draws
from engine.plan.variants import VariantId
from engine.protocol.events import Delta, VariantDelta
from engine.report import study
from engine.report.blocks import Cell, Items, Row, Section, Shaded, Table, Text
from engine.report.contents import Document, VariantRow
from engine.report.sections.provenance import choices
from engine.report.words import (
    NO_VALUE,
    in_float,
    interval,
    lost,
    points,
    relative,
    relative_with_interval,
    titled,
    with_interval,
)
from engine.text import counted


def headline(document: Document) -> Section:
    """Return the study's table: the AUPR-out that every variant lost, and the means."""
    names = document.plan.ood_sets
    largest = max((abs(d.value) for row in document.deltas for d in row.main.sets.values()), default=0)
    columns = ("variant", *names, "mean", "95 % interval", "relative", "top-1")
    rows: list[Row] = []
    for row in document.deltas:
        mean = row.main.mean
        cells = [_shaded(row.main.sets.get(name), largest) for name in names]
        top1 = points(row.of_labels.get("top1")).strip()
        last = (_shaded(mean, largest), interval(mean), relative(mean), top1)
        rows.append((row.variant, *cells, *last))
    label = catalog.label_of(document.headline)
    return Section(
        "losses",
        f"AUPR-out lost against FP32 ({label}, average precision, percentage points)",
        (
            Text(
                "Mean over OOD sets with its paired 95 % interval; a star marks a significant change (see "
                "Definitions)."
            ),
            Table("AUPR-out lost, in percentage points", columns, by_model(rows)),
            *([Items(tuple(kept))] if (kept := in_float(document.plan, document.bit_tables)) else []),
            _means(document),
        ),
    )


def _means(document: Document) -> Table:
    """Return the means over all models and by pretraining, and how twins differ."""
    groups = {"all models": document.by_bits}
    groups |= {_models_of(pretraining): of_bits for pretraining, of_bits in document.by_pretraining.items()}
    groups |= {"larger pretraining minus its twin": document.twins} if document.twins else {}
    rows = tuple(
        (name, *(with_interval(means.get(bits)) for bits in document.by_bits))
        for name, means in groups.items()
    )
    title = "Mean AUPR-out lost over models, in percentage points"
    return Table(title, ("mean over", *document.by_bits), (rows,))


def stated(document: Document) -> Section | None:
    """Return what the study's abstract states beside what was measured; None if it states nothing."""
    if not document.stated:
        return None
    columns = ("model", "measure", "stated", "measured, points", "95 % interval", "measured, relative")
    rows = tuple(
        (
            one.variant,
            study.label_of(one.measure),
            f"{one.stated:.1f} %",
            points(one.measured).strip(),
            interval(one.measured),
            relative(one.measured),
        )
        for one in document.stated
    )
    order = study.order_holds(document.stated)
    benchmark = catalog.PRESETS["kuang-wong-2026"].plan["ood_sets"]
    left_out = ", ".join(name for name in benchmark if name not in document.plan.ood_sets)
    chosen = f"Chosen here: {choices(document)}."
    chosen += f" OpenOOD sets not included: {left_out}." if left_out else ""
    return Section(
        "stated",
        f"Beside the {catalog.STATED_BY}",
        (
            Text(
                "Losses from FP32 to 4 bits. The abstract does not say whether its figures are points or "
                "relative."
            ),
            Table("Stated and measured", columns, (rows,), texts=2),
            *([Text(f"{order}.")] if order else []),
            Text(catalog.STATED_NOT),
            Text(chosen),
        ),
    )


def in_full(document: Document) -> Section | None:
    """Return every delta with its interval, absolute and relative; None if there are none."""
    if not document.deltas:
        return None
    explanation = (
        "FP32 minus quantized, in percentage points and relative to FP32, with 95 % intervals. For measures "
        "where smaller is better (FPR, NLL, Brier, ECE, AURC, AUGRC), a loss is negative."
    )
    return Section(
        "deltas",
        "Deltas with intervals",
        (Text(explanation), *_by_measure(document), _accuracy(document), _without_intervals(document)),
    )


def _by_measure(document: Document) -> Iterator[Table]:
    columns = ("variant", *document.plan.ood_sets, "mean")
    for measure in COMPARED:
        rows = [row for row in document.deltas if measure.id in row.by_set]
        if rows:
            absolute = [_absolute(document, row, measure) for row in rows]
            shares = [_relative(document, row, measure) for row in rows]
            yield Table(f"{measure.label} lost, in percentage points", columns, by_model(absolute))
            yield Table(f"{measure.label} lost, relative to FP32", columns, by_model(shares), folded=True)


def _absolute(document: Document, row: VariantDelta, measure: Measure) -> Row:
    deltas = row.sets(measure.id)
    cells = (with_interval(deltas.get(name)) for name in document.plan.ood_sets)
    return (row.variant, *cells, with_interval(row.mean(measure.id)))


def _relative(document: Document, row: VariantDelta, measure: Measure) -> Row:
    """Return deltas and their intervals, divided by the FP32 values."""
    whole, deltas = _reference(document, row.variant), row.sets(measure.id)
    cells = []
    for name in document.plan.ood_sets:
        cell = whole.cell(document.headline, name) if whole else None
        cells.append(relative_with_interval(deltas.get(name), cell.value(measure.id) if cell else None))
    mean = whole.mean(document.headline) if whole else None
    of_mean = relative_with_interval(row.mean(measure.id), mean.value(measure.id) if mean else None)
    return (row.variant, *cells, of_mean)


def _accuracy(document: Document) -> Table:
    """Return the losses of accuracy and calibration, with intervals."""
    columns = [name for one in COMPARED_OF_LABELS for name in (titled(one), f"{one.label}, relative")]
    rows: list[Row] = [(row.variant, *_accuracy_lost(document, row)) for row in document.deltas]
    caption = "Accuracy and calibration lost, in percentage points"
    return Table(caption, ("variant", *columns), by_model(rows))


def _accuracy_lost(document: Document, row: VariantDelta) -> Iterator[str]:
    reference = _reference(document, row.variant)
    for measure in COMPARED_OF_LABELS:
        delta = row.of_labels.get(measure.id)
        yield lost(delta, measure)
        yield relative_with_interval(delta, reference.value(measure.id) if reference else None)


def _without_intervals(document: Document) -> Table:
    """Return the losses of the measures of labels that have no interval."""
    every = [measure for measure in OF_LABELS if measure not in COMPARED_OF_LABELS]
    rows: list[Row] = []
    for delta in document.deltas:
        row, reference = document.row(delta.variant), _reference(document, delta.variant)
        rows.append((delta.variant, *(_difference(reference, row, measure) for measure in every)))
    caption = "Accuracy and calibration lost without intervals, in percentage points"
    return Table(caption, ("variant", *(measure.label for measure in every)), by_model(rows))


def _difference(reference: VariantRow | None, row: VariantRow | None, measure: Measure) -> str:
    whole, value = (one.value(measure.id) if one else None for one in (reference, row))
    return NO_VALUE if whole is None or value is None else f"{(whole - value) * 100:+.1f}"


def spread(document: Document) -> Section | None:
    """Return how much the draw of calibration images changes the numbers; None if there is only one."""
    if len(document.calibrations) < 2:
        return None
    count = len(document.calibrations[0].images)
    seeds = ", ".join(str(draw.seed) for draw in document.calibrations)
    rows: list[Row] = [
        (f"{row.model} {row.bits}", _labelled(row.measure), *_four(row.spread))
        for row in document.spread
        if not row.set
    ]
    for (model, bits), draws in groupby(document.variants, key=lambda row: (row.model, row.bits)):
        means = [row.mean(document.headline) for row in draws]
        for measure in COMPARED:
            over = of_draws([mean.value(measure.id) if mean else None for mean in means])
            if over is not None:
                rows.append((f"{model} {bits}", f"{measure.label}, mean over sets", *_four(over)))
    rows.sort(key=lambda row: document.plan.models.index(VariantId.parse(str(row[0])).model))
    columns = ("variant", "measure", "mean", "SD", "smallest", "largest")
    return Section(
        "spread",
        "Spread over calibration draws",
        (
            Text(
                f"{len(document.calibrations)} draws of {counted(count, 'image')} (seeds {seeds}), all else "
                "equal: mean, standard deviation, smallest and largest value. Individual sets and other "
                "scores are in the csv and json formats."
            ),
            Table("Spread over the draws, as fractions", columns, by_model(rows), texts=2),
        ),
    )


def _labelled(measure: str) -> str:
    """Return the label of a measure, or of its loss."""
    name, _, lost = measure.partition(" ")
    return f"{MEASURES[name].label} {lost}".strip() if name in MEASURES else measure


def _four(spread: Spread) -> tuple[str, ...]:
    return tuple(f"{v:.4f}" for v in (spread.mean, spread.deviation, spread.low, spread.high))


def by_model(rows: list[Row]) -> tuple[tuple[Row, ...], ...]:
    """Group rows, which start with the key of a variant, by model."""
    return tuple(
        tuple(group) for _, group in groupby(rows, key=lambda row: VariantId.parse(str(row[0])).model)
    )


def _shaded(delta: Delta | None, largest: float) -> Cell:
    if delta is None:
        return NO_VALUE
    return Shaded(points(delta).strip(), max(delta.value, 0) / largest if largest else 0)


def _reference(document: Document, variant: str) -> VariantRow | None:
    return document.row(VariantId.parse(variant).baseline)


def _models_of(pretraining: str) -> str:
    return pretraining if pretraining == catalog.UNKNOWN else f"{pretraining} models"
