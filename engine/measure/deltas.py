"""What quantization cost: every quantized variant against its FP32 reference, on the same images."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec
import numpy as np

from engine import catalog
from engine.errors import MeasureError
from engine.measure import bootstrap, means, table
from engine.measure.bootstrap import ResampledId, ResampledPair
from engine.measure.delong import Placements, mean_difference, placements
from engine.measure.detection import Floats, check_scores
from engine.measure.measure import Deltas, Labelled, Measure
from engine.measure.measures import COMPARED, COMPARED_OF_LABELS
from engine.measure.significance import holm, mcnemar, sequential_reach, two_sided
from engine.plan.variants import Column, Variant
from engine.protocol.events import MAIN_MEASURE, Delta, DeltasMeasured, SetDeltas, VariantDelta
from engine.session.arrays import FinishedRows

DIGITS = 7
WEIGHTS_AT_ONCE = 1_000_000  # resamples times images: some 20 MB in each thread, however many images
Key = TypeVar("Key", bound=Hashable)
# By measure and OOD set (empty for measures of labels): the sample itself, then its resamples.
Values = dict[tuple[str, str], Floats]


class Resampled:
    """Every variant under the same block of bootstrap resamples; row 0 is the sample itself.

    `at_the_end` adds the measures that are compared only then.
    """

    def __init__(
        self, rows: FinishedRows, resamples: int, random: np.random.Generator, *, at_the_end: bool
    ) -> None:
        self.rows, self.at_the_end = rows, at_the_end
        self.weights = [bootstrap.resample(int(m.sum()), resamples, random) for m in rows.of_set]

    def variant(self, column: Column) -> Values | None:
        """Return the measures of every resample; None if the variant has no value."""
        rows = self.rows
        scores = [rows.values(rows.plan.headline, column, i) for i in range(len(rows.of_set))]
        try:
            for of_set in scores[1:]:
                if len(of_set):
                    check_scores(scores[0], of_set)
        except MeasureError:
            return None
        labelled = table.labelled(rows, column)
        if not np.isfinite(labelled.nll).all():  # it diverged, though its headline score is still a number
            return None
        return {**self._of_labels(labelled, column), **self._by_set(scores)}

    def _of_labels(self, labelled: Labelled, column: Column) -> Values:
        """Return measures of the ID images with a label, if every resample has any."""
        weights = self.weights[0][:, self.rows.values("rank", column, 0) >= 0]
        if not (weights.sum(1) > 0).all():
            return {}
        return {
            (measure.id, ""): measure.resampled_labelled(labelled, weights)
            for measure in compared(COMPARED_OF_LABELS, self.at_the_end)
            if measure.has_value(labelled)
        }

    def _by_set(self, scores: Sequence[Floats]) -> Values:
        id_side = ResampledId(scores[0], self.weights[0])
        values: Values = {}
        for name, of_set, weights in zip(self.rows.plan.ood_sets, scores[1:], self.weights[1:], strict=True):
            if means.takes_part(len(scores[0]), len(of_set)):
                pair = ResampledPair(id_side, of_set, weights)
                for measure in compared(COMPARED, self.at_the_end):
                    values[measure.id, name] = measure.resampled_pair(pair)
        return values


def compared(every: Sequence[Measure], at_the_end: bool) -> list[Measure]:
    """Return the measures that have deltas now."""
    return [measure for measure in every if at_the_end or measure.deltas is Deltas.ALWAYS]


def measure_deltas(
    rows: FinishedRows,
    resamples: int,
    seed: int,
    pool: ThreadPoolExecutor | None = None,
    *,
    planned: int | None = None,
) -> DeltasMeasured:
    """Compare every quantized variant with its FP32 reference on the same images.

    A delta is FP32 minus quantized, so where smaller is better a loss is negative. Before the `planned`
    number of rows, intervals are sequential and there are no tests.
    """
    plan = rows.plan
    sequential = planned is not None and rows.count < planned
    counts = [int(mask.sum()) for mask in rows.of_set]
    sets = [
        name
        for name, count in zip(plan.ood_sets, counts[1:], strict=True)
        if means.takes_part(counts[0], count)
    ]
    if not sets:
        return DeltasMeasured(rows.count, resamples, seed, (), {}, sequential)
    reach = sequential_reach(rows.count, planned) if sequential and planned else None
    resampled = _resampled(rows, resamples, seed, pool, at_the_end=not sequential)
    comparison = DeltaTableBuilder(rows, sets, reach)
    reference: dict[str, tuple[Column, Values | None]] = {}
    for column, (variant, own) in enumerate(zip(plan.variants(), resampled, strict=True)):
        if variant.bits.is_float:
            reference[variant.model] = column, own
            continue
        base, values = reference.get(variant.model, (0, None))
        if values is not None and own is not None:
            comparison.add(variant, column, own, base, values)
    return DeltasMeasured(
        rows.count,
        resamples,
        seed,
        comparison.finished(),
        comparison.by_bits(),
        sequential,
        comparison.by_pretraining(),
        comparison.twins(),
    )


class DeltaTableBuilder:
    """The delta table as it grows, variant by variant."""

    def __init__(self, rows: FinishedRows, sets: list[str], reach: float | None) -> None:
        self.rows, self.sets, self.reach = rows, sets, reach
        self.variants: list[VariantDelta] = []
        self.means: list[tuple[Variant, Floats]] = []  # of the main measure over the OOD sets
        self.placed: dict[Column, list[Placements]] = {}  # of the current reference

    def add(self, variant: Variant, column: Column, own: Values, base: Column, whole: Values) -> None:
        """Compare the values of a variant (`own`, in `column`) with its reference's (`whole`, in `base`)."""
        change = {key: whole[key] - own[key] for key in whole if key in own}
        of_labels = {
            measure: self._delta(values, whole[measure, ""][0], self._test(measure, base, column))
            for (measure, of_set), values in change.items()
            if not of_set
        }
        by_set = {}
        for measure in dict.fromkeys(measure for measure, of_set in change if of_set):
            tests = self._tests_of_auroc(base, column) if measure == "auroc" and not self.reach else {}
            deltas = {
                name: self._delta(change[measure, name], whole[measure, name][0], tests.get(name))
                for name in self.sets
            }
            mean = np.mean([change[measure, name] for name in self.sets], axis=0)
            level = float(np.mean([whole[measure, name][0] for name in self.sets]))
            by_set[measure] = SetDeltas(deltas, self._delta(mean, level, tests.get("")))
            if measure == MAIN_MEASURE:
                self.means.append((variant, mean))
        self.variants.append(VariantDelta(variant.key, by_set, of_labels))

    def finished(self) -> tuple[VariantDelta, ...]:
        """Return the rows, with p-values adjusted over the table."""
        return tuple(self.variants if self.reach is not None else _adjusted(self.variants))

    def by_bits(self) -> dict[str, Delta]:
        """Return the mean over models and OOD sets for each bit setting."""
        return {bits: delta for (bits,), delta in self._means(lambda v: (str(v.bits),)).items()}

    def by_pretraining(self) -> dict[str, dict[str, Delta]]:
        """Return the mean over OOD sets and the models of each pretraining, for each bit setting."""
        by_pretraining: dict[str, dict[str, Delta]] = {}
        of_both = self._means(lambda v: (catalog.pretraining_of(v.model), str(v.bits)))
        for (pretraining, bits), delta in of_both.items():
            by_pretraining.setdefault(pretraining, {})[bits] = delta
        return by_pretraining

    def twins(self) -> dict[str, Delta]:
        """Return how much more the model of the larger pretraining lost than its twin, for each bit setting.

        The mean over pairs of models that differ only in their pretraining, on the same images.
        """
        models = {variant.model for variant, _ in self.means}
        changes: dict[str, list[Floats]] = {}
        for smaller, larger in catalog.twins(models):
            for bits in dict.fromkeys(str(variant.bits) for variant, _ in self.means):
                pair = [
                    [mean for v, mean in self.means if v.model == model and str(v.bits) == bits]
                    for model in (smaller, larger)
                ]
                if all(pair):
                    change = np.mean(pair[1], axis=0) - np.mean(pair[0], axis=0)
                    changes.setdefault(bits, []).append(change)
        return self._tabled(changes)

    def _means(self, key: Callable[[Variant], tuple[str, ...]]) -> dict[tuple[str, ...], Delta]:
        groups: dict[tuple[str, ...], list[Floats]] = {}
        for variant, mean in self.means:
            groups.setdefault(key(variant), []).append(mean)
        return self._tabled(groups)

    def _tabled(self, groups: Mapping[Key, list[Floats]]) -> dict[Key, Delta]:
        """Return the mean of each group as a delta, the p-values adjusted over the groups."""
        deltas = {key: self._delta(np.mean(losses, axis=0)) for key, losses in groups.items()}
        if self.reach is not None:
            return deltas
        adjusted = holm([_tested(delta) for delta in deltas.values()])
        return {
            key: msgspec.structs.replace(delta, p_holm=_p(p))
            for (key, delta), p in zip(deltas.items(), adjusted, strict=True)
        }

    def _delta(self, resampled: Floats, whole: float | None = None, p: float | None = None) -> Delta:
        value, error = float(resampled[0]), float(np.std(resampled[1:], ddof=1))
        relative = round(value / float(whole), DIGITS) if whole else None
        if self.reach is not None:
            low, high = value - self.reach * error, value + self.reach * error
            return Delta(round(value, DIGITS), round(low, DIGITS), round(high, DIGITS), relative)
        low, high = bootstrap.interval(resampled)
        p = two_sided(value, error) if p is None else p
        return Delta(round(value, DIGITS), round(low, DIGITS), round(high, DIGITS), relative, _p(p))

    def _test(self, measure: str, base: Column, column: Column) -> float | None:
        """Return the p-value of a measure of labels that has a test of its own."""
        if self.reach is not None or measure != "top1":
            return None
        one, other = (self.rows.values("rank", column, 0) == 0 for column in (base, column))
        return mcnemar(one, other)

    def _tests_of_auroc(self, base: Column, column: Column) -> dict[str, float]:
        """Return DeLong's p-values by OOD set, and of their mean under the empty name."""
        if base not in self.placed:
            self.placed = {base: self._placements(base)}
        pairs = list(zip(self.placed[base], self._placements(column), strict=True))
        tests = {name: mean_difference([pair]).p for name, pair in zip(self.sets, pairs, strict=True)}
        return {**tests, "": mean_difference(pairs).p}

    def _placements(self, column: Column) -> list[Placements]:
        """Return the placement values of one variant on every OOD set."""
        plan = self.rows.plan
        id_scores = self.rows.values(plan.headline, column, 0)
        positions = [plan.ood_sets.index(name) + 1 for name in self.sets]
        return [placements(id_scores, self.rows.values(plan.headline, column, at)) for at in positions]


def _adjusted(variants: list[VariantDelta]) -> list[VariantDelta]:
    """Adjust p-values over the whole table: for each measure, over sets, means and variants together."""
    families: dict[str, list[float]] = {}
    for row in variants:
        for measure, delta in _each(row):
            families.setdefault(measure, []).append(_tested(delta))
    adjusted = {measure: iter(holm(family)) for measure, family in families.items()}

    def with_holm(measure: str, delta: Delta) -> Delta:
        return msgspec.structs.replace(delta, p_holm=_p(next(adjusted[measure])))

    return [
        VariantDelta(
            row.variant,
            {
                measure: SetDeltas(
                    {name: with_holm(measure, delta) for name, delta in by_set.sets.items()},
                    with_holm(measure, by_set.mean),
                )
                for measure, by_set in row.by_set.items()
            },
            {measure: with_holm(measure, delta) for measure, delta in row.of_labels.items()},
        )
        for row in variants
    ]


def _each(row: VariantDelta) -> Iterator[tuple[str, Delta]]:
    """Yield every delta of a variant with its measure, in the order in which a row has them."""
    for measure, by_set in row.by_set.items():
        yield from ((measure, delta) for delta in (*by_set.sets.values(), by_set.mean))
    yield from row.of_labels.items()


def _resampled(
    rows: FinishedRows, resamples: int, seed: int, pool: ThreadPoolExecutor | None, *, at_the_end: bool
) -> list[Values | None]:
    """Return the resampled measures of every variant, computed block by block to bound the memory."""
    random = np.random.Generator(np.random.PCG64([seed, 0xB007]))
    block = max(1, min(resamples, WEIGHTS_AT_ONCE // max(rows.count, 1)))
    columns = range(len(rows.plan.variants()))
    parts: list[list[Values | None]] = []
    for start in range(0, resamples, block):
        samples = Resampled(rows, min(block, resamples - start), random, at_the_end=at_the_end)
        parts.append(list(pool.map(samples.variant, columns) if pool else map(samples.variant, columns)))
    return [_joined(list(blocks)) for blocks in zip(*parts, strict=True)]


def _joined(blocks: list[Values | None]) -> Values | None:
    """Put blocks of resamples together, the sample itself once."""
    measured = [block for block in blocks if block is not None]
    if not measured:
        return None
    first, *rest = measured
    names = [name for name in first if all(name in block for block in rest)]
    return {name: np.concatenate([first[name], *[block[name][1:] for block in rest]]) for name in names}


def _tested(delta: Delta) -> float:
    return math.nan if delta.p is None else delta.p


def _p(value: float) -> float | None:
    """Return a p-value with the digits it has; None for NaN."""
    return None if math.isnan(value) else float(f"{value:.3g}")
