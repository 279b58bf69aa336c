"""Everything that can be said of one score on one OOD set beside the ID set."""

from __future__ import annotations

import msgspec
import numpy as np

from engine.errors import MeasureError
from engine.measure.delong import auroc_interval
from engine.measure.detection import Detection, Floats, detection

LEAST_DISTINCT = 0.01


class PairMeasures(msgspec.Struct, frozen=True, omit_defaults=True):
    """One OOD set under one score, as fractions; `auroc_ci` is DeLong's 95 % interval.

    Where scores cannot be measured `problem` says why and the measures are None.
    """

    name: str
    n_id: int
    n_ood: int
    chance_aupr_out: float | None
    auroc: float | None
    ap_out: float | None
    ap_in: float | None
    aupr_out_trapezoid: float | None
    aupr_in_trapezoid: float | None
    fpr95_ood_positive: float | None
    fpr95_id_positive: float | None
    detection_error: float | None
    partial_auroc: float | None
    unique_share: float | None
    auroc_ci: tuple[float, float] | None
    warnings: tuple[str, ...]
    score: str = ""
    problem: str = ""


def measure(name: str, id_scores: Floats, ood_scores: Floats, score: str = "") -> PairMeasures:
    """Measure one OOD set; larger scores look more out-of-distribution."""
    try:
        found = detection(id_scores, ood_scores)
    except MeasureError as error:
        none = dict.fromkeys(PairMeasures.__struct_fields__[3:-3])
        return PairMeasures(
            name, len(id_scores), len(ood_scores), **none, warnings=(), score=score, problem=str(error)
        )
    interval = auroc_interval(id_scores, ood_scores)
    together = np.concatenate([id_scores, ood_scores])
    share = share_of_distinct(together)
    return PairMeasures(
        name,
        chance_aupr_out=found.n_ood / len(together),
        unique_share=share,
        auroc_ci=(interval.low, interval.high),
        warnings=tuple(_warnings(share, together, found)),
        score=score,
        **found._asdict(),
    )


def share_of_distinct(scores: Floats) -> float:
    """Return the number of distinct values over that of all, 0 for none."""
    return len(np.unique(scores)) / max(len(scores), 1)


def _warnings(share: float, together: Floats, found: Detection) -> list[str]:
    warnings = []
    if together.min() == together.max():
        warnings.append("all scores are equal: AUROC is 0.5 and says nothing")
    elif share < LEAST_DISTINCT:
        warnings.append(
            f"only {share:.2%} of the scores are distinct, so ties decide; trapezoid AUPR is too large"
        )
    if infinite := int(np.isinf(together).sum()):
        warnings.append(f"{infinite} scores are infinite; they are ranked like any other")
    if min(found.n_id, found.n_ood) < 2:
        warnings.append("a set has a single image: the interval says nothing")
    return warnings
