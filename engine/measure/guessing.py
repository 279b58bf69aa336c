"""When a model knows no more of labels than guessing would."""

from __future__ import annotations

LEAST_ACCURACY = 0.01
GUESS = 3.0  # times chance, where there are few classes


def least_accuracy(classes: int) -> float:
    """Return the share of images below which a model of so many classes is at the level of guessing."""
    return max(LEAST_ACCURACY, min(GUESS / classes, 0.5)) if classes < 100 else LEAST_ACCURACY
