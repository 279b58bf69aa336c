"""What a measure is: its name, what it is computed from and how, which way is better, its source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.errors import MeasureError
from engine.measure import bootstrap, detection
from engine.measure.bootstrap import ResampledPair, Weights
from engine.measure.detection import Floats
from engine.text import counted


class Basis(Enum):
    """What a measure is computed from."""

    RANKING = "scores of ID and OOD images"  # (n_id,) and (n_ood,)
    MEAN = "one number per ID image with a label"  # (n,), made from an array of the session
    CONFIDENCE = "confidence and correctness per ID image with a label"  # (n,) and (n,)


class Deltas(Enum):
    """When a measure's deltas are measured, with intervals."""

    NEVER = "never"
    AT_THE_END = "at the end"
    ALWAYS = "always"


class Labelled(NamedTuple):
    """A variant's results on the ID images that have a label, (n,) each, and how many classes it has."""

    rank: NDArray[np.integer[Any]]
    nll: Floats
    brier: Floats
    confidence: Floats
    classes: int = 0

    @property
    def right(self) -> NDArray[np.bool_]:
        """Return whether the prediction is the label."""
        right: NDArray[np.bool_] = self.rank == 0
        return right


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """One measure. `function` takes what its basis names: a `Ranked`, one array, or confidences and hits.

    `function` of a mean returns the numbers that are averaged. `resampled` returns the measure of every
    bootstrap resample, (resamples + 1,), and is needed for deltas except of a mean: of a ranking it takes a
    `ResampledPair`, of confidences also the weights.
    """

    id: str  # in journals, JSON and CSV
    label: str
    basis: Basis
    function: Callable[..., Any]
    larger_is_better: bool
    definition: str
    source: str = ""
    unit: str = "fraction"  # or nats
    array: str = ""  # of a mean: which it is made from
    least_classes: int = 0  # below which it means nothing
    is_biased: bool = False  # at small counts, so it is provisional there
    deltas: Deltas = Deltas.NEVER
    resampled: Callable[..., Floats] | None = None
    delta_id: str = ""  # its deltas in JSON and CSV, if not `id`

    def __call__(self, *arrays: NDArray[Any]) -> float:
        """Return the measure of the arrays that its basis names; raise MeasureError where it has no value."""
        if self.basis is Basis.RANKING:
            id_scores, ood_scores = arrays
            (pair,) = detection.ranked(id_scores, [ood_scores])
            return float(self.function(pair))
        if not len(arrays[0]):
            raise MeasureError("no ID image has a label")
        if not np.isfinite(arrays[0]).all():
            raise MeasureError(f"not finite: {counted(int((~np.isfinite(arrays[0])).sum()), 'number')}")
        return float(np.mean(self.function(*arrays)))

    @property
    def is_by_set(self) -> bool:
        """Return whether it has a value for each OOD set."""
        return self.basis is Basis.RANKING

    @property
    def is_fraction(self) -> bool:
        """Return whether it is a fraction, so that its losses are in percentage points."""
        return self.unit == "fraction"

    @property
    def direction(self) -> str:
        """Return which way is better, in words."""
        return "larger is better" if self.larger_is_better else "smaller is better"

    @property
    def delta_label(self) -> str:
        """Return the label of its deltas, which says so where a loss is negative."""
        return self.label if self.larger_is_better else f"{self.label}, negative is a loss"

    @property
    def name_of_delta(self) -> str:
        """Return what its deltas are called in JSON and CSV."""
        return self.delta_id or self.id

    @property
    def described(self) -> str:
        """Return its definition as a sentence with direction and source."""
        source = f" ({self.source})" if self.source else ""
        return f"{self.label}: {self.definition}{source}; {self.direction}."

    def of_labelled(self, labelled: Labelled) -> float:
        """Return the measure of the ID images with a label; raise MeasureError where it has no value."""
        if labelled.classes < self.least_classes:
            raise MeasureError(f"a model of {labelled.classes} classes has no {self.label}")
        return self(*self._arrays(labelled))

    def has_value(self, labelled: Labelled) -> bool:
        """Return whether the ID images with a label have a value of this measure."""
        return labelled.classes >= self.least_classes and all(
            np.isfinite(array).all() for array in self._arrays(labelled)
        )

    def resampled_labelled(self, labelled: Labelled, weights: Weights) -> Floats:
        """Return the measure of every resample of the ID images with a label, (resamples + 1,)."""
        arrays = self._arrays(labelled)
        if self.resampled is not None:
            return self.resampled(*arrays, weights)
        return bootstrap.mean_under_weights(np.asarray(self.function(*arrays), np.float64), weights)

    def resampled_pair(self, pair: ResampledPair) -> Floats:
        """Return the measure of every resample of two sets, (resamples + 1,)."""
        if self.resampled is None:
            raise MeasureError(f"{self.label} has no deltas")
        return self.resampled(pair)

    def _arrays(self, labelled: Labelled) -> Sequence[NDArray[Any]]:
        if self.basis is Basis.CONFIDENCE:
            return labelled.confidence, labelled.right
        return (getattr(labelled, self.array),)
