"""When a model knows no more of labels than guessing would."""

from __future__ import annotations

LEAST_ACCURACY = 0.01
GUESS = 3.0  # times chance, where there are few classes


def least_accuracy(classes: int) -> float:
    """Return the share of images below which a model of so many classes is at the level of guessing."""
    return max(LEAST_ACCURACY, min(GUESS / classes, 0.5)) if classes < 100 else LEAST_ACCURACY


def warning(model: str, top1: float, images: int, classes: int) -> str:
    """Return what is said of a model that is right on so few images in FP32; nothing if they are enough."""
    if top1 >= least_accuracy(classes):
        return ""
    return (
        f"{model} is at the level of guessing: in FP32 it is right on {top1:.1%} of {images:,} ID images, "
        f"with {classes:,} classes. Labels, their order or weights are most likely not those that were "
        "meant, and what it loses says nothing."
    )
