"""Definitions of scores, deltas and intervals, shown beside numbers; `measures` defines every measure."""

from __future__ import annotations

SCORE = (
    "An OOD score is larger for images that look more out-of-distribution; OOD is the positive class. "
    "Images with equal scores are one threshold."
)
DELTA = (
    "A delta is FP32 minus quantized on the same images. A mark means p < 0.05, corrected by Holm (1979) "
    "for each measure across all variants, OOD sets and means over sets. Means over models by bit "
    "setting, by pretraining and of twins are three separate families. Tests: McNemar (1947) for top-1, "
    "DeLong et al. (1988) for AUROC, otherwise the standard error of the bootstrap."
)
INTERVAL = (
    "95 % percentile bootstrap (Efron & Tibshirani 1993): images resampled within each set, the ID "
    "images once for all OOD sets. Before the planned end: an asymptotic confidence sequence (Waudby-"
    "Smith et al. 2024), which is valid however often you look."
)


def recompute(session: str) -> str:
    """Say where the numbers behind a session's tables are, and which command recomputes them."""
    return (
        f"The scores of every image are in {session}/arrays/SCORE.npy, one column per variant in table "
        f"order; its set and label are in samples.npy. `qood-tui report {session}` recomputes everything."
    )
