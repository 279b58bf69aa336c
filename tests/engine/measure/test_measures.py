"""Every row of the table of measures against a reference, and what all of them have in common."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from engine.errors import MeasureError
from engine.measure.bootstrap import ResampledId, ResampledPair, resample
from engine.measure.measure import Basis, Deltas, Labelled, Measure
from engine.measure.measures import MEASURES, of_labelled, of_scores

Arrays = tuple[np.ndarray, ...]

scores = hnp.arrays(
    np.float64, st.integers(1, 60), elements=st.sampled_from([-1.0, 0.0, 0.1, 0.25, 1.0, 2.0])
)
confidences = st.lists(st.tuples(st.sampled_from([0.1, 1 / 3, 0.4, 0.8, 1.0]), st.booleans()), min_size=1)
ranks = hnp.arrays(np.int16, st.integers(1, 60), elements=st.integers(0, 9))
losses = hnp.arrays(np.float64, st.integers(1, 60), elements=st.floats(0, 2))


def labels_of(id_scores: np.ndarray, ood_scores: np.ndarray) -> Arrays:
    """Return labels (1 is OOD) and scores of both sets."""
    is_ood = np.r_[np.zeros(len(id_scores), int), np.ones(len(ood_scores), int)]
    return is_ood, np.r_[id_scores, ood_scores]


def trapezoid(is_positive: np.ndarray, values: np.ndarray) -> float:
    precision, recall, _ = precision_recall_curve(is_positive, values)
    return float(auc(recall, precision))


def fpr_at(rate: float, is_positive: np.ndarray, values: np.ndarray) -> float:
    fpr, tpr, _ = roc_curve(is_positive, values, drop_intermediate=False)
    return float(fpr[np.argmax(tpr >= rate - 1e-9)])


def least_error(is_ood: np.ndarray, values: np.ndarray) -> float:
    thresholds = np.unique(np.r_[values, np.inf])
    id_scores, ood_scores = values[is_ood == 0], values[is_ood == 1]
    return min(((id_scores >= t).mean() + (ood_scores < t).mean()) / 2 for t in thresholds)


def gaps_of_bins(confidence: np.ndarray, right: np.ndarray) -> float:
    gaps = 0.0
    for at in range(15):
        inside = (np.ceil(confidence * 15).clip(1, 15) - 1) == at
        gaps += abs(right[inside].sum() - confidence[inside].sum()) / len(right)
    return gaps


def shared(confidence: np.ndarray, right: np.ndarray) -> list[tuple[float, float]]:
    """Return confidence and accuracy per image, the most confident first; ties share their accuracy."""
    accuracy = {c: right[confidence == c].mean() for c in confidence.tolist()}
    return [(c, accuracy[c]) for c in sorted(confidence.tolist(), reverse=True)]


def gaps_of_equal_mass(confidence: np.ndarray, right: np.ndarray) -> float:
    images = shared(confidence, right)
    edges = [round(len(images) * at / 15) for at in range(16)]
    parts = [images[low:high] for low, high in pairwise(edges)]
    return sum(abs(sum(accuracy - c for c, accuracy in part)) for part in parts) / len(images)


def risk_coverage(confidence: np.ndarray, right: np.ndarray) -> float:
    accuracies = [accuracy for _, accuracy in shared(confidence, right)]
    return statistics.fmean(1 - statistics.fmean(accuracies[: k + 1]) for k in range(len(accuracies)))


def generalized_risk_coverage(confidence: np.ndarray, right: np.ndarray) -> float:
    """Return the share of pairs of which the first is wrong and more confident; ties count one half."""
    pairs = (confidence[:, None] > confidence) + 0.5 * (confidence[:, None] == confidence)
    return float((pairs * ~right[:, None]).mean())


REFERENCES: dict[str, Callable[..., float]] = {
    "top1": lambda rank: sum(one == 0 for one in rank.tolist()) / len(rank),
    "top5": lambda rank: sum(one < 5 for one in rank.tolist()) / len(rank),
    "nll": lambda nll: statistics.fmean(nll.tolist()),
    "brier": lambda brier: statistics.fmean(brier.tolist()),
    "ece": gaps_of_bins,
    "ece_adaptive": gaps_of_equal_mass,
    "aurc": risk_coverage,
    "augrc": generalized_risk_coverage,
    "ap_out": lambda *sets: average_precision_score(*labels_of(*sets)),
    "ap_in": lambda i, o: average_precision_score(1 - labels_of(i, o)[0], -labels_of(i, o)[1]),
    "auroc": lambda *sets: roc_auc_score(*labels_of(*sets)),
    "fpr95_ood_positive": lambda *sets: fpr_at(0.95, *labels_of(*sets)),
    "fpr99_ood_positive": lambda *sets: fpr_at(0.99, *labels_of(*sets)),
    "fpr95_id_positive": lambda i, o: fpr_at(0.95, 1 - labels_of(i, o)[0], -labels_of(i, o)[1]),
    "fpr99_id_positive": lambda i, o: fpr_at(0.99, 1 - labels_of(i, o)[0], -labels_of(i, o)[1]),
    "aupr_out_trapezoid": lambda *sets: trapezoid(*labels_of(*sets)),
    "aupr_in_trapezoid": lambda i, o: trapezoid(1 - labels_of(i, o)[0], -labels_of(i, o)[1]),
    "detection_error": lambda *sets: least_error(*labels_of(*sets)),
    "partial_auroc": lambda *sets: roc_auc_score(*labels_of(*sets), max_fpr=0.05),
}
CONSTANT = {  # of 100 ID and 60 OOD images with one score
    **{"auroc": 0.5, "partial_auroc": 0.5, "detection_error": 0.5, "ap_out": 60 / 160, "ap_in": 100 / 160},
    **dict.fromkeys([f"fpr{rate}_{of}_positive" for rate in (95, 99) for of in ("ood", "id")], 1.0),
    **{"aupr_out_trapezoid": (1 + 60 / 160) / 2, "aupr_in_trapezoid": (1 + 100 / 160) / 2},
}


def draw_arrays(measure: Measure, draw: Any) -> Arrays:
    """Draw arrays with many ties that a measure can be computed from."""
    if measure.basis is Basis.RANKING:
        return draw(scores), draw(scores)
    if measure.basis is Basis.CONFIDENCE:
        confidence, right = zip(*draw(confidences), strict=True)
        return np.array(confidence), np.array(right)
    return (draw(ranks if measure.array == "rank" else losses),)


def extremes(measure: Measure) -> tuple[Arrays, Arrays]:
    """Return arrays of a perfect and of a bad model."""
    low, high = np.arange(100.0), np.arange(100.0) + 1000
    match measure.basis:
        case Basis.RANKING:
            return (low, high), (high, low)
        case Basis.CONFIDENCE:
            right = np.arange(100) < 50
            return (right * 1.0, right), (1.0 - right, right)
        case Basis.MEAN:
            return (np.zeros(9, int),), (np.full(9, 9),)


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
class TestEveryMeasure:
    @settings(deadline=None, max_examples=60)
    @given(st.data())
    def test_agrees_with_its_reference_whatever_the_ties(self, measure: Measure, data: st.DataObject) -> None:
        arrays = draw_arrays(measure, data.draw)
        assert measure(*arrays) == pytest.approx(REFERENCES[measure.id](*arrays), abs=1e-12)

    @settings(deadline=None, max_examples=20)
    @given(st.data(), st.integers(0, 99))
    def test_does_not_depend_on_the_order_of_images(
        self, measure: Measure, data: st.DataObject, seed: int
    ) -> None:
        arrays, random = draw_arrays(measure, data.draw), np.random.default_rng(seed)
        order = [random.permutation(len(array)) for array in arrays]
        if measure.basis is not Basis.RANKING:
            order = [order[0]] * len(arrays)
        shuffled = (array[places] for array, places in zip(arrays, order, strict=True))
        assert measure(*shuffled) == pytest.approx(measure(*arrays), abs=1e-12)

    def test_tells_a_perfect_model_from_a_bad_one_in_its_direction(self, measure: Measure) -> None:
        perfect, bad = (measure(*arrays) for arrays in extremes(measure))
        assert perfect > bad if measure.larger_is_better else perfect < bad
        assert perfect == pytest.approx(REFERENCES[measure.id](*extremes(measure)[0]))
        assert min(perfect, bad) >= 0 and (max(perfect, bad) <= 1 or measure.basis is Basis.MEAN)

    def test_has_no_value_without_images_or_where_one_is_no_number(self, measure: Measure) -> None:
        perfect, _ = extremes(measure)
        with pytest.raises(MeasureError):
            measure(*(array[:0] for array in perfect))
        for at, array in enumerate(perfect):
            if array.dtype == bool or measure.array == "rank":
                continue
            spoilt = array.astype(float)
            spoilt[3] = math.nan
            with pytest.raises(MeasureError):
                measure(*perfect[:at], spoilt, *perfect[at + 1 :])

    def test_ranks_infinite_scores_and_says_how_chance_reads(self, measure: Measure) -> None:
        if measure.basis is Basis.RANKING:
            id_scores, ood_scores = np.arange(50.0), np.r_[np.arange(40.0) + 20, np.inf]
            finite = np.r_[ood_scores[:-1], 1e9]
            assert measure(id_scores, ood_scores) == measure(id_scores, finite)
            assert measure(np.exp(id_scores), np.exp(ood_scores)) == measure(id_scores, ood_scores)
            assert measure(np.zeros(100), np.zeros(60)) == pytest.approx(CONSTANT[measure.id])

    @pytest.mark.parametrize("decimals", [1, 12])
    def test_every_resample_is_the_measure_of_the_images_drawn(self, measure: Measure, decimals: int) -> None:
        if measure.deltas is Deltas.NEVER:
            return
        random = np.random.default_rng(0)
        if measure.basis is Basis.RANKING:
            sets = random.normal(size=300).round(decimals), random.normal(1, 1, 120).round(decimals)
            weights = [resample(len(of_set), 20, random) for of_set in sets]
            pair = ResampledPair(ResampledId(sets[0], weights[0]), sets[1], weights[1])
            found, arrays = measure.resampled_pair(pair), sets
        else:
            labelled = made(300, random, decimals)
            counts = resample(300, 20, random)
            found, arrays = measure.resampled_labelled(labelled, counts), given_to(measure, labelled)
            weights = [counts] * len(arrays)
        for at, value in enumerate(found):
            drawn = (np.repeat(a, w[at].astype(int)) for a, w in zip(arrays, weights, strict=True))
            assert value == pytest.approx(measure(*drawn), abs=1e-6)

    def test_says_what_it_is(self, measure: Measure) -> None:
        assert measure.described.startswith(f"{measure.label}: {measure.definition}")
        assert measure.source in measure.described
        assert measure.described.endswith(f"; {measure.direction}.")
        assert ("negative is a loss" in measure.delta_label) != measure.larger_is_better


def made(n: int, random: np.random.Generator, decimals: int = 12) -> Labelled:
    """Return what a made-up model of ten classes says of images with labels."""
    confidence = random.uniform(0.2, 1, n).round(decimals)
    right = random.uniform(size=n) < confidence**2
    rank = np.where(right, 0, random.integers(1, 10, n))
    return Labelled(rank, -np.log(confidence), random.uniform(0, 2, n), confidence, 10)


def given_to(measure: Measure, labelled: Labelled) -> Arrays:
    if measure.basis is Basis.CONFIDENCE:
        return labelled.confidence, labelled.right
    return (getattr(labelled, measure.array),)


def test_every_measure_has_a_reference_and_constant_scores_a_reading() -> None:
    assert set(REFERENCES) == set(MEASURES)
    assert set(CONSTANT) == {measure.id for measure in MEASURES.values() if measure.is_by_set}
    for measure in MEASURES.values():
        assert measure.deltas is Deltas.NEVER or measure.resampled or measure.basis is Basis.MEAN


def test_agrees_with_the_reference_values(reference: Path) -> None:
    folder = reference / "metrics"
    for case, expected in json.loads((folder / "expected.json").read_text()).items():
        with np.load(folder / f"{case}.npz") as pair:
            id_scores, ood_scores = (-pair[f"{name}_confidence"].astype(float) for name in ("id", "ood"))
        found, problem = of_scores(id_scores, ood_scores)
        assert bool(problem) == ("error" in expected), case
        for name, value in expected.items():
            if name in found and not problem:
                assert found[name] == pytest.approx(value, abs=1e-9), (case, name)


def test_agrees_with_pytorch_ood_where_no_scores_tie() -> None:
    import torch
    from pytorch_ood.metrics import OODMetrics

    random = np.random.default_rng(3)
    id_scores, ood_scores = random.normal(size=400), random.normal(1, 1, 250)
    theirs = OODMetrics()
    labels = torch.cat([torch.zeros(400), -torch.ones(250)])
    theirs.update(torch.from_numpy(np.r_[id_scores, ood_scores]), labels)
    expected, (found, _) = theirs.compute(), of_scores(id_scores, ood_scores)
    for name, name_there in (
        ("auroc", "AUROC"),
        ("aupr_in_trapezoid", "AUPR-IN"),
        ("aupr_out_trapezoid", "AUPR-OUT"),
        ("fpr95_ood_positive", "FPR95TPR"),
    ):
        assert found[name] == pytest.approx(expected[name_there], abs=2e-3), name


def test_augrc_is_made_of_accuracy_and_the_auroc_of_confidence() -> None:
    labelled = made(500, np.random.default_rng(5), 2)
    accuracy = MEASURES["top1"](labelled.rank)
    area = roc_auc_score(labelled.right, labelled.confidence)
    expected = (1 - accuracy) * (accuracy * (1 - area) + (1 - accuracy) / 2)
    assert MEASURES["augrc"](labelled.confidence, labelled.right) == pytest.approx(expected, abs=1e-12)


def test_measures_of_labels_are_left_out_where_they_say_nothing() -> None:
    labelled = made(80, np.random.default_rng(6))
    assert None not in of_labelled(labelled).values()
    few = of_labelled(labelled._replace(classes=9))
    assert [name for name, value in few.items() if value is None] == ["top5"]
    diverged = of_labelled(labelled._replace(confidence=np.full(80, np.nan)))
    known = {name for name, value in diverged.items() if value is not None}
    assert known == {"top1", "top5", "nll", "brier"}
    empty = Labelled(*(array[:0] for array in labelled[:4]), 10)
    assert set(of_labelled(empty).values()) == {None}
