"""When a model is no better than guessing."""

from __future__ import annotations

LEAST_ACCURACY = 0.01
GUESS = 3.0  # times chance, where there are few classes


def least_accuracy(classes: int) -> float:
    """Return the accuracy below which a model with this many classes is no better than guessing."""
    return max(LEAST_ACCURACY, min(GUESS / classes, 0.5)) if classes < 100 else LEAST_ACCURACY


def warning(model: str, top1: float, images: int, classes: int) -> str:
    """Return a warning about a model that is right on too few images in FP32; an empty text if it is not."""
    if top1 >= least_accuracy(classes):
        return ""
    return (
        f"{model} is no better than guessing: in FP32 it is right on {top1:.1%} of {images:,} ID images, "
        f"with {classes:,} classes. Most likely its weights, the labels or their order are wrong, and its "
        "losses mean nothing."
    )
