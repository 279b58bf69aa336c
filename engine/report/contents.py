"""The contents of a report, as data."""

from __future__ import annotations

import msgspec

from engine.measure.pair import PairMeasures
from engine.measure.spread import SpreadRow
from engine.plan.bits import Bits
from engine.plan.plan import Plan
from engine.plan.variants import VariantId, VariantKey
from engine.protocol.events import (
    AttentionCompared,
    BatchSized,
    BitsTabled,
    CalibrationDraw,
    Curve,
    Delta,
    FitSeen,
    ModelLoaded,
    SetReady,
    VariantDelta,
    WorkerStarted,
)
from engine.report.study import Stated
from engine.text import clean


class MeanMeasures(msgspec.Struct, frozen=True):
    """The mean of every measure over the OOD sets with two or more images; None if one has no value.

    `over` is the number of these sets.
    """

    score: str
    over: int
    values: dict[str, float | None]

    def value(self, measure: str) -> float | None:
        """Return one measure by its id."""
        return self.values.get(measure)


class VariantRow(msgspec.Struct, frozen=True):
    """One variant with all its measures by id: of labels in `values`, of OOD sets in `sets` and `means`."""

    model: str
    pretraining: str
    bits: str
    method: str
    draw: int  # of calibration images, from 0
    values: dict[str, float | None]
    sets: tuple[PairMeasures, ...]
    means: tuple[MeanMeasures, ...]  # by score

    @property
    def key(self) -> str:
        """Return the name of the variant."""
        return VariantId(self.model, Bits.parse(self.bits), self.draw).key

    def value(self, measure: str) -> float | None:
        """Return one measure of labels by its id."""
        return self.values.get(measure)

    def mean(self, score: str) -> MeanMeasures | None:
        """Return the mean over the OOD sets under one score."""
        return next((mean for mean in self.means if mean.score == score), None)

    def cell(self, score: str, of_set: str) -> PairMeasures | None:
        """Return the measures of one OOD set under one score."""
        return next((cell for cell in self.sets if (cell.score, cell.name) == (score, of_set)), None)


class VariantCurves(msgspec.Struct, frozen=True):
    """The ROC curves of one variant under the headline score, thinned by arc length."""

    variant: VariantKey
    curves: tuple[Curve, ...]


class ScoreHistogram(msgspec.Struct, frozen=True):
    """The distribution of one variant's headline score: the share of each set's images in each bin.

    `beyond` is the share of a set's images that are outside all bins, infinite or without a value.
    """

    variant: VariantKey
    edges: tuple[float, ...]
    shares: dict[str, tuple[float, ...]]
    beyond: dict[str, float]


class Mismatch(msgspec.Struct, frozen=True):
    """A disagreement between journal and arrays; `variant` and `set` are empty if it has none."""

    variant: VariantKey
    set: str
    measure: str
    journal: str
    arrays: str

    def __str__(self) -> str:
        where = ", ".join(part for part in (self.variant, self.set, self.measure) if part)
        return f"{where}: the journal says {self.journal}, the arrays say {self.arrays}"


class Checked(msgspec.Struct, frozen=True):
    """How many numbers and hashes of the journal were compared, and what did not agree."""

    numbers: int = 0
    hashes: int = 0
    mismatches: tuple[Mismatch, ...] = ()


class Document(msgspec.Struct, frozen=True):
    """The results of a session. Deltas are FP32 minus quantized under the headline score.

    Everything is measured again from the arrays; `intervals` says whether intervals and tests are too.
    """

    session: str
    id: str
    created: str
    app: str
    state: str
    seconds: float
    note: str
    identity: str
    headline: str
    chosen: str  # the headline score of the plan, before scores were added
    seed: int
    rows: int
    planned: int  # rows of the whole sweep, 0 if unknown
    plan: Plan
    images: tuple[SetReady, ...]
    unreadable: dict[str, int]  # number of images that are not counted, by set
    calibrations: tuple[CalibrationDraw, ...]
    fit: SetReady | None  # as it was drawn
    fit_seen: FitSeen | None  # how much of it could be read; None if the journal does not say
    models: tuple[ModelLoaded, ...]
    attention: tuple[AttentionCompared, ...]  # the part of every delta that is not due to quantization
    workers: tuple[WorkerStarted, ...]
    batches: tuple[BatchSized, ...]
    digests: dict[str, str]  # SHA-256 of the weights or the quantized state, by variant
    stated: tuple[Stated, ...]
    variants: tuple[VariantRow, ...]
    deltas: tuple[VariantDelta, ...]
    by_bits: dict[str, Delta]
    by_pretraining: dict[str, dict[str, Delta]]
    twins: dict[str, Delta]  # how much more the larger pretraining lost
    sequential: bool  # stopped early: intervals are valid however often you look, and there are no tests
    resamples: int  # of the bootstrap
    intervals: str  # where intervals and tests are from: `arrays`, or `journal` if not recomputed
    spread: tuple[SpreadRow, ...]
    curves: tuple[VariantCurves, ...]
    histograms: tuple[ScoreHistogram, ...]
    bit_tables: tuple[BitsTabled, ...]
    added: tuple[str, ...]  # scores that were computed after the sweep
    interruptions: tuple[str, ...]  # that the session recovered from
    warnings: tuple[str, ...]
    failures: tuple[str, ...]
    checked: Checked
    damage: tuple[str, ...]  # of the journal; what was lost is in no number
    guesses: tuple[str, ...] = ()  # warnings about models that are no more accurate than guessing

    @property
    def mismatches(self) -> tuple[str, ...]:
        """Return the damage, and the disagreements between journal and arrays, in words."""
        return tuple(map(clean, (*self.damage, *map(str, self.checked.mismatches))))

    def row(self, key: str) -> VariantRow | None:
        """Return a variant by its name."""
        return next((row for row in self.variants if row.key == key), None)
