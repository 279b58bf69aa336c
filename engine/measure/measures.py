"""Every measure in one table: what it is called, what it is computed from, and how.

To add a measure, write its function beside its kind (`detection.py`, `reliability.py`) and add a row here.
Journals, tables, deltas, reports, exports and the screen read the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

from engine.errors import MeasureError
from engine.measure import bootstrap, detection, reliability
from engine.measure.detection import Floats
from engine.measure.measure import Basis, Deltas, Labelled, Measure

LEAST_FOR_TOP5 = 10  # classes


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
    Measure(
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
    ),
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
    Measure(
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
    ),
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
    """Return every measure of a ranking by its id, and the reason if they have no value (None)."""
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
