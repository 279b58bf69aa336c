"""What a report says, as data."""

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
    """The mean of every measure over the OOD sets with two images or more; None where one has no value.

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
        """Return what one score says of one OOD set."""
        return next((cell for cell in self.sets if (cell.score, cell.name) == (score, of_set)), None)


class VariantCurves(msgspec.Struct, frozen=True):
    """The ROC curves of one variant under the headline score, thinned by arc length."""

    variant: VariantKey
    curves: tuple[Curve, ...]


class ScoreHistogram(msgspec.Struct, frozen=True):
    """How the headline score of one variant is spread: the share of each set's images in each bin.

    `beyond` is the share of a set's images outside all bins, infinite or without a value.
    """

    variant: VariantKey
    edges: tuple[float, ...]
    shares: dict[str, tuple[float, ...]]
    beyond: dict[str, float]


class Mismatch(msgspec.Struct, frozen=True):
    """What the journal says otherwise than the arrays; `variant` and `set` are empty where it has none."""

    variant: VariantKey
    set: str
    measure: str
    journal: str
    arrays: str

    def __str__(self) -> str:
        where = ", ".join(part for part in (self.variant, self.set, self.measure) if part)
        return f"{where}: the journal says {self.journal}, the arrays say {self.arrays}"


class Checked(msgspec.Struct, frozen=True):
    """How much was compared: numbers of the journal, hashes of rows, and what did not agree."""

    numbers: int = 0
    hashes: int = 0
    mismatches: tuple[Mismatch, ...] = ()


class Document(msgspec.Struct, frozen=True):
    """What a session found. Deltas are FP32 minus quantized under the headline score.

    All of it is measured again from the arrays; `intervals` says whether intervals and tests are too.
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
    planned: int  # rows of the whole sweep, 0 if that is not known
    plan: Plan
    images: tuple[SetReady, ...]
    unreadable: dict[str, int]  # images that count nowhere, by set
    calibrations: tuple[CalibrationDraw, ...]
    fit: SetReady | None  # as it was drawn
    fit_seen: FitSeen | None  # how much of it could be read; None where the journal does not say
    models: tuple[ModelLoaded, ...]
    attention: tuple[AttentionCompared, ...]  # what of every delta is no quantization
    workers: tuple[WorkerStarted, ...]
    batches: tuple[BatchSized, ...]
    digests: dict[str, str]  # SHA-256 of the weights or the quantized state, by variant
    stated: tuple[Stated, ...]
    variants: tuple[VariantRow, ...]
    deltas: tuple[VariantDelta, ...]
    by_bits: dict[str, Delta]
    by_pretraining: dict[str, dict[str, Delta]]
    twins: dict[str, Delta]  # how much more the larger pretraining lost
    sequential: bool  # stopped before its planned end: intervals hold at all looks, there are no tests
    resamples: int  # of the bootstrap
    intervals: str  # where intervals and tests are from: arrays, or journal where they were not made again
    spread: tuple[SpreadRow, ...]
    curves: tuple[VariantCurves, ...]
    histograms: tuple[ScoreHistogram, ...]
    bit_tables: tuple[BitsTabled, ...]
    added: tuple[str, ...]  # scores that were computed after the sweep
    interruptions: tuple[str, ...]  # that the session got over
    warnings: tuple[str, ...]
    failures: tuple[str, ...]
    checked: Checked
    damage: tuple[str, ...]  # of the journal: what stood there is in no number
    guesses: tuple[str, ...] = ()  # models that know no more of the labels than guessing would

    @property
    def mismatches(self) -> tuple[str, ...]:
        """Return in words what is damaged, and what the journal says otherwise than the arrays."""
        return tuple(map(clean, (*self.damage, *map(str, self.checked.mismatches))))

    def row(self, key: str) -> VariantRow | None:
        """Return a variant by its name."""
        return next((row for row in self.variants if row.key == key), None)
