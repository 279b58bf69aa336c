"""Warnings, shown first, about models that are no more accurate than guessing."""

from __future__ import annotations

from collections.abc import Sequence

from engine.measure.guessing import warning
from engine.protocol.events import ModelLoaded, SetReady
from engine.report.contents import VariantRow


def guesses(
    variants: Sequence[VariantRow], models: Sequence[ModelLoaded], images: Sequence[SetReady]
) -> tuple[str, ...]:
    """Return a warning for each model that is no better than guessing in FP32, however few the images."""
    classes = {one.model: one.classes for one in models}
    count = next((one.count for one in images if one.role == "id"), 0)
    warnings = (
        warning(row.model, top1, count, classes[row.model])
        for row in variants
        if row.bits == "FP32" and row.model in classes and row.value("nll") is not None
        if (top1 := row.value("top1")) is not None
    )
    return tuple(filter(None, warnings))
