"""Every measure of one score on one OOD set against the ID set."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from engine.measure import measures
from engine.measure.delong import auroc_interval
from engine.measure.detection import Floats

LEAST_DISTINCT = 0.01


class PairMeasures(msgspec.Struct, frozen=True, omit_defaults=True):
    """One OOD set under one score, as fractions by measure; `auroc_ci` is DeLong's 95 % interval.

    Where scores cannot be measured `problem` says why and the values are None.
    """

    name: str
    n_id: int
    n_ood: int
    chance_aupr_out: float | None
    values: dict[str, float | None]
    unique_share: float | None
    auroc_ci: tuple[float, float] | None
    warnings: tuple[str, ...]
    score: str = ""
    problem: str = ""

    def value(self, measure: str) -> float | None:
        """Return one measure by its id."""
        return self.values.get(measure)


def measure(name: str, id_scores: Floats, ood_scores: Floats, score: str = "") -> PairMeasures:
    """Measure one OOD set; larger scores look more out-of-distribution."""
    n_id, n_ood = len(id_scores), len(ood_scores)
    values, problem = measures.of_scores(id_scores, ood_scores)
    if problem:
        return PairMeasures(name, n_id, n_ood, None, values, None, None, (), score, problem)
    interval = auroc_interval(id_scores, ood_scores)
    together = np.concatenate([id_scores, ood_scores])
    share = share_of_distinct(together)
    return PairMeasures(
        name,
        n_id,
        n_ood,
        chance_aupr_out=n_ood / len(together),
        values=values,
        unique_share=share,
        auroc_ci=(interval.low, interval.high),
        warnings=tuple(_warnings(share, together, min(n_id, n_ood))),
        score=score,
    )


def plain(pair: PairMeasures) -> dict[str, Any]:
    """Return it as plain data for JSON, its measures beside its other fields."""
    return flat(msgspec.to_builtins(pair))


def flat(fields: dict[str, Any]) -> dict[str, Any]:
    """Return fields with those under `values` in their place."""
    return {
        name: value
        for field, of_field in fields.items()
        for name, value in (of_field.items() if field == "values" else [(field, of_field)])
    }


def share_of_distinct(scores: Floats) -> float:
    """Return the share of values that are distinct, 0 if there are none."""
    return len(np.unique(scores)) / max(len(scores), 1)


def _warnings(share: float, together: Floats, smallest: int) -> list[str]:
    warnings = []
    if together.min() == together.max():
        warnings.append("all scores are equal: AUROC is 0.5 and means nothing")
    elif share < LEAST_DISTINCT:
        warnings.append(
            f"only {share:.2%} of the scores are distinct, so ties decide; trapezoid AUPR is too large"
        )
    if infinite := int(np.isinf(together).sum()):
        warnings.append(f"{infinite} scores are infinite; they are ranked like any other")
    if smallest < 2:
        warnings.append("a set has a single image: the interval means nothing")
    return warnings
