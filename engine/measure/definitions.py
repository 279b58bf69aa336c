"""What every number is and where its formula is from, as shown beside it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

SCORE = (
    "An OOD score is larger for images that look more out-of-distribution; OOD is the positive class. "
    "Images with equal scores are one threshold."
)
DELTA = (
    "A delta is FP32 minus quantized on the same images. A mark means p < 0.05, adjusted by Holm "
    "(1979): for each measure over all variants, OOD sets and means over sets together. Means over models "
    "by bit setting, those by pretraining and those of twins are three families of their own. Tests: "
    "McNemar (1947) for top-1, DeLong et al. (1988) for AUROC, else the standard error of the bootstrap."
)
INTERVAL = (
    "95 % percentile bootstrap (Efron & Tibshirani 1993): images resampled within each set, the ID "
    "images once for all OOD sets. Before the planned end: an asymptotic confidence sequence (Waudby-"
    "Smith et al. 2024), which holds at all looks together."
)
MEASURES: Mapping[str, str] = MappingProxyType(
    {
        "ap_out": (
            "AUPR-out: average precision with OOD positive (as scikit-learn defines it). Chance is n "
            "OOD / (n ID + n OOD)."
        ),
        "ap_in": ("AUPR-in: average precision with ID positive. Chance is n ID / (n ID + n OOD)."),
        "auroc": (
            "AUROC: the share of pairs in which the OOD image scores higher, ties one half (Hanley & "
            "McNeil 1982). Its own interval: DeLong on the logit scale."
        ),
        "fpr95": (
            "FPR95 (OOD+): the share of ID images flagged at the first threshold that catches 95 % of "
            "OOD images. FPR95 (ID+): the share of OOD images accepted where 95 % of ID images are."
        ),
        "detection_error": ("Detection error: the least mean of both error rates (Liang et al. 2018)."),
        "partial_auroc": ("Partial AUROC: up to 5 % false positives, scaled to chance 0.5 (McClish 1989)."),
        "calibration": (
            "ECE: 15 bins of equal width (Guo et al. 2017) or equal mass (Nguyen & O'Connor 2015). "
            "Brier (1950): summed over classes. AURC: Geifman et al. (2019). All of the maximum "
            "softmax probability."
        ),
    }
)


def recompute(session: str) -> str:
    """Return where the numbers behind a session's tables lie, and the command that computes them again."""
    return (
        f"Every image's scores lie in {session}/arrays/SCORE.npy, a column a variant in the order of the "
        f"table, its set and label in samples.npy; `qood-tui report {session}` computes everything again."
    )
