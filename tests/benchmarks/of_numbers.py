"""What measures and scores cost beside pytorch-ood, and whether intervals cover what they should."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from scipy.stats import norm

from engine.measure.bootstrap import ResampledId, ResampledPair, auroc, interval, resample
from engine.measure.delong import auroc_difference, auroc_interval, placements
from engine.measure.measures import COMPARED, of_scores
from engine.measure.significance import sequential_reach
from engine.scores import scorers
from engine.scores.outputs import FitSet, Head, Outputs

OOD_SIZES = (17_632, 10_000, 5_160, 5_879, 49_000)
SIMULATIONS = 1000
AUROC = 0.85
LOOKS = (100, 200, 400, 800, 1600)  # images in each of the two sets

Figure = tuple[str, float, float, str]


def figures() -> Iterator[Figure]:
    """Yield name, value, bound and unit."""
    yield from speed_of_measures()
    yield from speed_of_scores()
    yield from coverage()


def speed_of_measures() -> Iterator[Figure]:
    """Measure 50,000 ID images against five OOD sets, in turns with pytorch-ood."""
    from pytorch_ood.metrics import OODMetrics

    random = np.random.default_rng(0)
    id_scores = random.normal(size=50_000)
    sets = [random.normal(1, 1, n) for n in OOD_SIZES]

    def theirs() -> None:
        for ood in sets:
            metrics = OODMetrics()
            scores = torch.from_numpy(np.concatenate([id_scores, ood]))
            metrics.update(scores, torch.cat([torch.zeros(50_000), -torch.ones(len(ood))]))
            metrics.compute()

    def ours() -> None:
        for ood in sets:
            of_scores(id_scores, ood)

    pairs = [(_seconds(ours), _seconds(theirs)) for _ in range(5)]
    ours_least, theirs_least = (min(times) for times in zip(*pairs, strict=True))
    print(f"       all measures, CPU seconds: {ours_least:.3f}, pytorch-ood {theirs_least:.3f}")
    share = float(np.median([a / b for a, b in pairs]))
    yield "all measures of five OOD sets, share of pytorch-ood's CPU time", share, 0.25, ""

    def draws() -> None:
        for _ in range(20):
            weights = resample(50_000, 100, random), resample(10_000, 100, random)
            pair = ResampledPair(ResampledId(id_scores, weights[0]), sets[1], weights[1])
            for measure in COMPARED:
                measure.resampled_pair(pair)

    yield "2,000 bootstrap draws, 50,000 against 10,000, CPU", _seconds(draws), 20, "s"


def speed_of_scores() -> Iterator[Figure]:
    """Score 10,000 images of 384 features and 1,000 classes."""
    torch.manual_seed(0)
    head = Head(torch.randn(1000, 384) / 20, torch.zeros(1000))
    fit_features, features = torch.randn(20_000, 384), torch.randn(10_000, 384)
    labels = torch.arange(20_000) % 1000
    fit = FitSet(Outputs(head.logits(fit_features).float(), fit_features), labels, head)
    seen = Outputs(head.logits(features).float(), features)
    for name in ("mahalanobis", "vim", "klm"):
        score = scorers.scorer(name, fit)
        yield (
            f"{name} of 10,000 images, CPU",
            min(_seconds(lambda s=score: s(seen)) for _ in range(3)),
            1,
            "s",
        )


def coverage() -> Iterator[Figure]:
    """Simulate data sets with known AUROC and count how often intervals hold the truth."""
    random = np.random.default_rng(1)
    shift = norm.ppf(AUROC) * np.sqrt(2)
    one = two = paired = 0
    noise = 0.7
    weaker = norm.cdf(shift / np.sqrt(2 * (1 + noise**2)))
    for _ in range(SIMULATIONS):
        id_scores, ood = random.normal(size=500), random.normal(shift, 1, 300)
        found = auroc_interval(id_scores, ood)
        one += found.low <= AUROC <= found.high
        other_id, other_ood = id_scores + random.normal(0, noise, 500), ood + random.normal(0, noise, 300)
        difference = auroc_difference(placements(id_scores, ood), placements(other_id, other_ood))
        two += difference.low <= AUROC - weaker <= difference.high
        weights = resample(500, 400, random), resample(300, 400, random)
        pairs = ((id_scores, ood), (other_id, other_ood))
        base, other = (auroc(ResampledPair(ResampledId(i, weights[0]), o, weights[1])) for i, o in pairs)
        low, high = interval(base - other)
        paired += low <= AUROC - weaker <= high
    for name, hits in (("AUROC", one), ("difference of two AUROCs", two), ("the same, bootstrap", paired)):
        share = hits / SIMULATIONS
        print(f"       {name}: {share:.1%} of {SIMULATIONS} intervals hold the truth")
        yield f"coverage of {name}, away from 95 %", abs(share - 0.95), 0.015, ""
    held = sum(_holds_at_all_looks(random, shift) for _ in range(SIMULATIONS)) / SIMULATIONS
    print(f"       sequential: {held:.1%} of {SIMULATIONS} hold it at all {len(LOOKS)} looks together")
    yield "sequential coverage short of 95 %", max(0.0, 0.95 - held), 0, ""


def _holds_at_all_looks(random: np.random.Generator, shift: float) -> bool:
    """Tell whether intervals for the difference of two correlated scores hold the truth at every look."""
    most = LOOKS[-1]
    id_scores, ood = random.normal(size=most), random.normal(shift, 1, most)
    other_id, other_ood = id_scores + random.normal(0, 0.7, most), ood + random.normal(0, 0.7, most)
    truth = AUROC - norm.cdf(shift / np.sqrt(2 * (1 + 0.7**2)))
    for n in LOOKS:
        found = auroc_difference(placements(id_scores[:n], ood[:n]), placements(other_id[:n], other_ood[:n]))
        if abs(found.value - truth) > sequential_reach(2 * n, 2 * most) * found.error:
            return False
    return True


def _seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    for figure in figures():
        print(figure)
