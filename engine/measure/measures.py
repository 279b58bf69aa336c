"""Every measure in one table: what it is called, what it is computed from, and how.

To add a measure, write its function beside its kind (`detection.py`, `reliability.py`) and add a row here.
Journals, tables, deltas, reports, exports and the screen read the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.errors import MeasureError
from engine.measure import bootstrap, detection, reliability
from engine.measure.bootstrap import ResampledPair, Weights
from engine.measure.detection import Floats

LEAST_FOR_TOP5 = 10  # classes


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
    """What a variant says of the ID images that have a label, (n,) each, and how many classes it has."""

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
    least_classes: int = 0  # below which it says nothing
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
            raise MeasureError(f"{int((~np.isfinite(arrays[0])).sum())} numbers are not finite")
        return float(np.mean(self.function(*arrays)))

    @property
    def is_by_set(self) -> bool:
        """Return whether there is a value for each OOD set."""
        return self.basis is Basis.RANKING

    @property
    def is_fraction(self) -> bool:
        """Return whether it is a fraction, so that what it lost is in percentage points."""
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


def _itself(numbers: Floats) -> Floats:
    return numbers


def _fpr(rate: int) -> tuple[Measure, Measure]:
    """Return the false positive rate at a true positive rate in percent, in both conventions."""
    share = rate / 100
    return (
        Measure(
            id=f"fpr{rate}_ood_positive",
            label=f"FPR{rate} (OOD+)",
            basis=Basis.RANKING,
            function=partial(detection.fpr_ood_positive, rate=share),
            larger_is_better=False,
            definition=f"share of ID images flagged at the first threshold that flags {rate} % of OOD images",
            source="Liang et al. 2018",
            is_biased=True,
            deltas=Deltas.AT_THE_END,
            resampled=partial(bootstrap.fpr_ood_positive, rate=share),
            delta_id=f"fpr{rate}",
        ),
        Measure(
            id=f"fpr{rate}_id_positive",
            label=f"FPR{rate} (ID+)",
            basis=Basis.RANKING,
            function=partial(detection.fpr_id_positive, rate=share),
            larger_is_better=False,
            definition=f"share of OOD images accepted where {rate} % of ID images are",
            source="Liang et al. 2018",
            is_biased=True,
        ),
    )


TOP1 = Measure(
    id="top1",
    label="top-1",
    basis=Basis.MEAN,
    function=lambda rank: rank == 0,
    larger_is_better=True,
    definition="share of ID images whose label is the most probable class",
    array="rank",
    deltas=Deltas.ALWAYS,
)
NLL = Measure(
    id="nll",
    label="NLL",
    basis=Basis.MEAN,
    function=_itself,
    larger_is_better=False,
    definition="mean negative log-likelihood of the label, in nats",
    source="Good 1952",
    unit="nats",
    array="nll",
    deltas=Deltas.ALWAYS,
)
AP_OUT = Measure(
    id="ap_out",
    label="AUPR-out",
    basis=Basis.RANKING,
    function=detection.average_precision_out,
    larger_is_better=True,
    definition="average precision with OOD positive (as scikit-learn defines it); chance is "
    "n OOD / (n ID + n OOD)",
    is_biased=True,
    deltas=Deltas.ALWAYS,
    resampled=bootstrap.average_precision_out,
)
AUROC = Measure(
    id="auroc",
    label="AUROC",
    basis=Basis.RANKING,
    function=detection.auroc,
    larger_is_better=True,
    definition="share of pairs in which the OOD image scores higher, ties counting one half; its own "
    "interval is DeLong's on the logit scale",
    source="Hanley & McNeil 1982",
    deltas=Deltas.ALWAYS,
    resampled=bootstrap.auroc,
)

_EVERY = (
    TOP1,
    Measure(
        id="top5",
        label="top-5",
        basis=Basis.MEAN,
        function=lambda rank: rank < 5,
        larger_is_better=True,
        definition="share of ID images whose label is among the five most probable classes",
        array="rank",
        least_classes=LEAST_FOR_TOP5,
    ),
    NLL,
    Measure(
        id="brier",
        label="Brier",
        basis=Basis.MEAN,
        function=_itself,
        larger_is_better=False,
        definition="mean squared distance of the probabilities from the label, summed over classes",
        source="Brier 1950",
        array="brier",
    ),
    Measure(
        id="ece",
        label="ECE",
        basis=Basis.CONFIDENCE,
        function=reliability.expected_calibration_error,
        larger_is_better=False,
        definition="mean gap between maximum softmax probability and accuracy over 15 bins of equal width",
        source="Guo et al. 2017",
        is_biased=True,
    ),
    Measure(
        id="ece_adaptive",
        label="ECE, equal mass",
        basis=Basis.CONFIDENCE,
        function=reliability.adaptive_calibration_error,
        larger_is_better=False,
        definition="mean gap between maximum softmax probability and accuracy over 15 bins with equally "
        "many images",
        source="Nguyen & O'Connor 2015",
        is_biased=True,
    ),
    Measure(
        id="aurc",
        label="AURC",
        basis=Basis.CONFIDENCE,
        function=reliability.area_under_risk_coverage,
        larger_is_better=False,
        definition="mean error rate among the most confident images, over all coverages",
        source="Geifman et al. 2019",
    ),
    Measure(
        id="augrc",
        label="AUGRC",
        basis=Basis.CONFIDENCE,
        function=reliability.area_under_generalized_risk_coverage,
        larger_is_better=False,
        definition="mean share of images that are accepted and wrong, over all coverages",
        source="Traub et al. 2024",
        deltas=Deltas.AT_THE_END,
        resampled=reliability.resampled_augrc,
    ),
    AP_OUT,
    AUROC,
    Measure(
        id="ap_in",
        label="AUPR-in",
        basis=Basis.RANKING,
        function=detection.average_precision_in,
        larger_is_better=True,
        definition="average precision with ID positive; chance is n ID / (n ID + n OOD)",
        is_biased=True,
        deltas=Deltas.AT_THE_END,
        resampled=bootstrap.average_precision_in,
    ),
    *_fpr(95),
    *_fpr(99),
    Measure(
        id="aupr_out_trapezoid",
        label="AUPR-out, trapezoid",
        basis=Basis.RANKING,
        function=detection.trapezoid_out,
        larger_is_better=True,
        definition="area under the linearly joined precision-recall curve, OOD positive; too large with ties",
        source="Davis & Goadrich 2006",
        is_biased=True,
    ),
    Measure(
        id="aupr_in_trapezoid",
        label="AUPR-in, trapezoid",
        basis=Basis.RANKING,
        function=detection.trapezoid_in,
        larger_is_better=True,
        definition="area under the linearly joined precision-recall curve, ID positive; too large with ties",
        source="Davis & Goadrich 2006",
        is_biased=True,
    ),
    Measure(
        id="detection_error",
        label="detection error",
        basis=Basis.RANKING,
        function=detection.detection_error,
        larger_is_better=False,
        definition="smallest mean of both error rates",
        source="Liang et al. 2018",
        is_biased=True,
    ),
    Measure(
        id="partial_auroc",
        label="partial AUROC",
        basis=Basis.RANKING,
        function=detection.partial_auroc,
        larger_is_better=True,
        definition="AUROC up to 5 % false positives, scaled to chance 0.5",
        source="McClish 1989",
    ),
)
MEASURES: Mapping[str, Measure] = MappingProxyType({measure.id: measure for measure in _EVERY})
BY_SET = tuple(measure for measure in _EVERY if measure.is_by_set)
OF_LABELS = tuple(measure for measure in _EVERY if not measure.is_by_set)
# Those with deltas, the study's first.
COMPARED = tuple(measure for measure in BY_SET if measure.deltas is not Deltas.NEVER)
COMPARED_OF_LABELS = tuple(measure for measure in OF_LABELS if measure.deltas is not Deltas.NEVER)


def of_scores(id_scores: Floats, ood_scores: Floats) -> tuple[dict[str, float | None], str]:
    """Return every measure of a ranking by its id, and why they have no value (None) where that is so."""
    try:
        (ranked,) = detection.ranked(id_scores, [ood_scores])
    except MeasureError as error:
        return dict.fromkeys(measure.id for measure in BY_SET), str(error)
    return {measure.id: float(measure.function(ranked)) for measure in BY_SET}, ""


def of_labelled(labelled: Labelled) -> dict[str, float | None]:
    """Return every measure of the ID images with a label by its id; None where it has no value."""
    values: dict[str, float | None] = {}
    for measure in OF_LABELS:
        try:
            values[measure.id] = measure.of_labelled(labelled)
        except MeasureError:
            values[measure.id] = None
    return values
