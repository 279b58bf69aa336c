"""From rows to tables: what every variant scores, and what quantization cost it."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from engine.arrays import Rows
from engine.errors import MeasureError
from engine.measure import bootstrap
from engine.measure.bootstrap import ResampledId
from engine.measure.detection import Floats, check_scores, count, detection, roc, thin
from engine.protocol import Cell, Curve, Delta, DeltasMeasured, Measured, VariantDelta

LEAST_FOR_TOP5 = 10  # classes
PROVISIONAL = 1000  # images a set, below which average precision and FPR95 still lean
DIGITS = 7
WEIGHTS_AT_ONCE = 20_000_000  # resamples times images: 80 MB, and a few times that in each thread


def measure_variant(rows: Rows, variant: int, scores: Iterable[str], classes: int) -> Measured:
    """Measure accuracy, NLL and, for each score and OOD set, detection."""
    rank, nll = rows.column("rank", variant, 0), rows.column("nll", variant, 0)
    cells = tuple(
        measure_cell(rows, variant, score, position)
        for score in scores
        for position in range(1, len(rows.of_set))
    )
    seen = len(rank) > 0
    return Measured(
        rows.count,
        rows.plan.variants()[variant].key,
        top1=_number(np.mean(rank == 0)) if seen else None,
        top5=_number(np.mean(rank < 5)) if seen and classes >= LEAST_FOR_TOP5 else None,
        nll=_number(np.mean(nll)) if seen else None,
        cells=cells,
    )


def measure_cell(rows: Rows, variant: int, score: str, position: int) -> Cell:
    """Measure how well one score of one variant detects one OOD set."""
    id_scores, ood_scores = (rows.column(score, variant, which) for which in (0, position))
    name = rows.plan.ood_sets[position - 1]
    try:
        found = detection(id_scores, ood_scores)
    except MeasureError as error:
        return Cell(name, score, len(id_scores), len(ood_scores), problem=str(error))
    return Cell(
        name,
        score,
        found.n_id,
        found.n_ood,
        auroc=_number(found.auroc),
        ap_out=_number(found.ap_out),
        ap_in=_number(found.ap_in),
        fpr95_ood_positive=_number(found.fpr95_ood_positive),
        fpr95_id_positive=_number(found.fpr95_id_positive),
    )


def draw_curve(
    rows: Rows, variant: int, score: str, position: int, points: int, decimals: int = 4
) -> Curve | None:
    """Return the thinned ROC curve of one cell, or None where it has no value."""
    try:
        counts = count(*(rows.column(score, variant, which) for which in (0, position)))
    except MeasureError:
        return None
    fpr, tpr = thin(*roc(counts), points)
    name = rows.plan.ood_sets[position - 1]
    return Curve(name, tuple(np.round(fpr, decimals).tolist()), tuple(np.round(tpr, decimals).tolist()))


class Resampled:
    """Every variant under the same block of bootstrap resamples; row 0 is the sample itself."""

    def __init__(self, rows: Rows, resamples: int, random: np.random.Generator) -> None:
        self.rows = rows
        self.weights = [bootstrap.resample(int(m.sum()), resamples, random) for m in rows.of_set]

    def variant(self, variant: int) -> dict[str, Floats] | None:
        """Return top1, nll and per OOD set AUROC and AP of every resample; None if it has no value."""
        rows, weights = self.rows, self.weights
        score = rows.plan.headline
        columns = [rows.column(score, variant, i) for i in range(len(rows.of_set))]
        try:
            for column in columns[1:]:
                if len(column):
                    check_scores(columns[0], column)
        except MeasureError:
            return None
        id_side = ResampledId(columns[0], weights[0])
        rank, nll = rows.column("rank", variant, 0), rows.column("nll", variant, 0)
        found = {
            "top1": bootstrap.mean_under_weights((rank == 0).astype(np.float64), weights[0]),
            "nll": bootstrap.mean_under_weights(nll, weights[0]),
        }
        for name, column, weight in zip(rows.plan.ood_sets, columns[1:], weights[1:], strict=True):
            if len(column) > 1:
                found[f"auroc {name}"], found[f"ap {name}"] = id_side.detection(column, weight)
        return found


def measure_deltas(
    rows: Rows, resamples: int, seed: int, pool: ThreadPoolExecutor | None = None
) -> DeltasMeasured:
    """Compare every quantized variant with its FP32 reference on the same images.

    A delta is FP32 minus quantized. For NLL, where smaller is better, a loss is therefore negative.
    """
    plan = rows.plan
    sets = [name for name, mask in zip(plan.ood_sets, rows.of_set[1:], strict=True) if mask.sum() > 1]
    if rows.of_set[0].sum() < 2 or not sets:
        return DeltasMeasured(rows.count, resamples, seed, (), {})
    reference: dict[str, dict[str, Floats] | None] = {}
    deltas: list[VariantDelta] = []
    means: dict[str, list[Floats]] = {}
    for variant, found in zip(plan.variants(), _resampled(rows, resamples, seed, pool), strict=True):
        if variant.bits.is_float:
            reference[variant.model] = found
            continue
        base = reference.get(variant.model)
        if base is None or found is None:
            continue
        delta, mean = _compare(variant.key, sets, base, found)
        deltas.append(delta)
        means.setdefault(str(variant.bits), []).append(mean)
    complete = {bits: np.mean(values, axis=0) for bits, values in means.items()}
    by_bits = {bits: _delta(mean) for bits, mean in complete.items()}
    return DeltasMeasured(rows.count, resamples, seed, tuple(deltas), by_bits)


def _resampled(
    rows: Rows, resamples: int, seed: int, pool: ThreadPoolExecutor | None
) -> list[dict[str, Floats] | None]:
    """Return the resampled measures of every variant; made block by block, so that memory stays bounded."""
    random = np.random.Generator(np.random.PCG64([seed, 0xB007]))
    block = max(1, min(resamples, WEIGHTS_AT_ONCE // max(rows.count, 1)))
    positions = range(len(rows.plan.variants()))
    parts: list[list[dict[str, Floats] | None]] = []
    for start in range(0, resamples, block):
        samples = Resampled(rows, min(block, resamples - start), random)
        parts.append(list(pool.map(samples.variant, positions) if pool else map(samples.variant, positions)))
    return [_joined(list(found)) for found in zip(*parts, strict=True)]


def _joined(blocks: list[dict[str, Floats] | None]) -> dict[str, Floats] | None:
    """Put blocks of resamples together, the sample itself once."""
    found = [block for block in blocks if block is not None]
    if not found:
        return None
    return {name: np.concatenate([found[0][name], *[b[name][1:] for b in found[1:]]]) for name in found[0]}


def _compare(
    key: str, sets: list[str], base: dict[str, Floats], found: dict[str, Floats]
) -> tuple[VariantDelta, Floats]:
    change = {name: base[name] - found[name] for name in base}
    mean = {kind: np.mean([change[f"{kind} {name}"] for name in sets], axis=0) for kind in ("ap", "auroc")}
    whole = {kind: float(np.mean([base[f"{kind} {name}"][0] for name in sets])) for kind in mean}
    return VariantDelta(
        key,
        top1=_delta(change["top1"], float(base["top1"][0])),
        nll=_delta(change["nll"], float(base["nll"][0])),
        ap_out={name: _delta(change[f"ap {name}"], float(base[f"ap {name}"][0])) for name in sets},
        auroc={name: _delta(change[f"auroc {name}"], float(base[f"auroc {name}"][0])) for name in sets},
        ap_out_mean=_delta(mean["ap"], whole["ap"]),
        auroc_mean=_delta(mean["auroc"], whole["auroc"]),
    ), mean["ap"]


def _delta(resampled: Floats, whole: float | None = None) -> Delta:
    low, high = bootstrap.interval(resampled)
    value = float(resampled[0])
    relative = round(value / whole, DIGITS) if whole else None
    return Delta(round(value, DIGITS), round(low, DIGITS), round(high, DIGITS), relative)


def _number(value: float | np.floating[Any]) -> float | None:
    number = float(value)
    return round(number, DIGITS) if np.isfinite(number) else None
