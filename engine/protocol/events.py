"""Every durable event of a session, as tagged frozen Structs.

All numbers are fractions in [0, 1] unless a field says otherwise. A measure without a value is None,
and `problem` says why.
"""

from __future__ import annotations

import msgspec

from engine.plan.plan import Plan
from engine.plan.variants import VariantKey

FORMAT = "qood-session"
VERSION = 3  # rises when older programs could not read it; `migrations.py` reads older versions
LARGEST_LINE = 1 << 20  # bytes
MAIN_MEASURE = "ap_out"  # the study's: every variant has deltas of it, and it is averaged over models


class Header(msgspec.Struct, frozen=True):
    """The first line of a journal; `identity` is that of its plan."""

    format: str
    version: int
    id: str
    created: str  # UTC, ISO 8601
    app: str
    plan: Plan
    identity: str
    folders: tuple[str, ...] = ()  # names of the user's own image folders, never their paths


class Event(msgspec.Struct, frozen=True, tag_field="type", gc=False):
    """Base of everything that is appended to a journal.

    Events cannot form cycles, so the garbage collector need not visit a hundred thousand of them.
    """


class Preparation(Event, frozen=True):
    """Base of what an attempt at a sweep reports before its first chunk; void if it finishes none."""


class Look(Event, frozen=True):
    """Base of what is measured on the first `rows` rows; void if they are not finished."""

    rows: int


class PhaseChanged(Event, frozen=True, tag="phase.changed"):
    """The engine entered another phase.

    `starting`, `images`, `checking`, `models`, `calibrating`, `fitting`, `sweeping`,
    `measuring`, or `paused` until a disk responds again.
    """

    phase: str
    note: str = ""


class WorkerStarted(Preparation, frozen=True, tag="worker.started"):
    """A worker started, with everything about it that may affect a number.

    `device` names all devices, `accelerators` the UUID and name of every GPU, `arithmetic` the environment
    variables that may affect a number (None in journals of older programs).
    """

    device: str
    threads: int
    versions: dict[str, str]
    resumed_at: int = 0
    accelerators: dict[str, str] = {}
    arithmetic: dict[str, str] | None = None


class SetReady(msgspec.Struct, frozen=True, omit_defaults=True):
    """An image set as it is used: how many of its images, and the hash of their contents and labels.

    `expected` is the size of the published set; `copies` counts images that were left out of a calibration
    or fit set because they are also evaluated.
    """

    name: str
    role: str
    label: str
    count: int
    digest: str
    available: int = 0
    expected: int | None = None
    copies: int = 0
    notes: tuple[str, ...] = ()


class CalibrationDraw(msgspec.Struct, frozen=True, omit_defaults=True):
    """The images that quantizers are calibrated on, by name and in order; `digest` is of their contents.

    Of the set's `available` images, `copies` were skipped because they are also evaluated, and `unreadable`
    because they cannot be decoded.
    """

    set: str
    seed: int
    images: tuple[str, ...]
    digest: str
    copies: int = 0
    unreadable: int = 0
    available: int = 0


class SetsPrepared(Preparation, frozen=True, tag="sets.prepared"):
    """All image sets are ready; `rows` images will be swept."""

    sets: tuple[SetReady, ...]
    rows: int
    calibrations: tuple[CalibrationDraw, ...]
    fit: SetReady | None = None


class WeightsTaken(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was taken from a file of weights, what else it holds, and how its tensors were renamed.

    `entry` is empty if the file holds only the weights; `mapped` says whose names were translated.
    """

    entry: str = ""
    is_ema: bool = False  # an average over training, as requested
    beside: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    mapped: str = ""
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        kind = "EMA weights" if self.is_ema else "plain weights"
        parts = [f"{kind} from {self.entry}" if self.entry else kind]
        parts += [f"not used: {', '.join(self.beside)}"] if self.beside else []
        parts += [f"prefixes stripped: {', '.join(self.prefixes)}"] if self.prefixes else []
        parts += [f"names mapped: {self.mapped}"] if self.mapped else []
        return "; ".join((*parts, *self.notes))


class ModelLoaded(Preparation, frozen=True, tag="model.loaded"):
    """A model and its preprocessing; `digest` is the SHA-256 of its weights, `origin` where they are from.

    `weights` says what was taken from a file; demo models have none.
    """

    model: str
    origin: str
    digest: str
    parameters: int
    classes: int
    size: int  # pixels per side
    crop: float
    interpolation: str
    crop_mode: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    weights: WeightsTaken | None = None


class BatchSized(Event, frozen=True, tag="batch.sized"):
    """The batch size from row `first` on; `reason` says why."""

    first: int
    images: int
    reason: str = ""


class VariantReady(Preparation, frozen=True, tag="variant.ready"):
    """A variant is calibrated; `digest` is the SHA-256 of its weights, or of its saved quantized state."""

    variant: VariantKey
    digest: str
    seconds: float
    classes: int


class TensorRow(msgspec.Struct, frozen=True, array_like=True):
    """One tensor in the bit table, written as a list in this order."""

    tensor: str
    quantizer: str  # its kind
    bits: int
    scales: int  # 1 is per tensor, more is per channel
    low: float
    high: float
    clipped: float  # share of elements outside the range
    sqnr: float | None  # dB; None if nothing was lost
    elements: int  # in a weight, or observed in an activation
    bytes: int  # when packed, scales and zero points included


class BitsTabled(Preparation, frozen=True, tag="bits.tabled"):
    """The bit table of a variant; sizes in bytes.

    `float_share` is how much of the weights of linear layers and convolutions stays in floating point; 0 if
    the bit setting leaves all of them in floating point.
    """

    variant: VariantKey
    rows: tuple[TensorRow, ...]
    floats: tuple[str, ...]  # tensors left in floating point
    float_bytes: int
    packed_bytes: int  # everything, as saved
    float32_bytes: int  # everything, if it were not quantized
    float_share: float = 0.0


class AttentionCompared(Preparation, frozen=True, tag="attention.compared"):
    """How much a model's logits differ between fused attention and the explicit product, in float32.

    FP32 runs fused attention, as timm does; quantized variants run the product, whose operands they
    quantize. This part of every delta is not due to quantization. `largest` is the largest difference of a
    logit on `images` calibration images, `deviation` the standard deviation of their logits, `changed` the
    number of predictions that change.
    """

    model: str
    images: int
    largest: float
    deviation: float
    changed: int


class VariantFailed(Preparation, frozen=True, tag="variant.failed"):
    """A variant cannot be measured; the others continue."""

    variant: VariantKey
    reason: str


class ImageUnreadable(Event, frozen=True, tag="image.unreadable"):
    """An image could not be read; its row is never counted."""

    set: str
    name: str
    reason: str


class FitSeen(Preparation, frozen=True, tag="fit.seen"):
    """Every variant was run on `images` images of the fit set; `unreadable` ones could not be decoded."""

    images: int
    unreadable: int = 0


class OutputsKept(Preparation, frozen=True, tag="outputs.kept"):
    """Logits and features of every image are kept; when complete they take `bytes` bytes.

    `fits` are the SHA-256 of each variant's outputs for the fit set and of its head.
    """

    bytes: int
    fits: dict[VariantKey, str]


class ChunkFinished(Event, frozen=True, tag="chunk.finished", omit_defaults=True):
    """Rows `first` to `first + rows` are on disk for every array; `digests` are their SHA-256.

    The kept logits and features of all variants share one digest, under `outputs`. `batch` is the batch
    size; of the `seconds`, the device spent `waited` waiting for images.
    """

    first: int
    rows: int
    seconds: float
    digests: dict[str, str]
    batch: int = 0
    waited: float = 0.0


class Cell(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One OOD set under one score, written as a list in this order.

    `values` are its measures by id. If the scores cannot be measured they are None, and `problem` says why.
    """

    name: str
    score: str
    n_id: int
    n_ood: int
    values: dict[str, float | None] = {}
    problem: str = ""

    def value(self, measure: str) -> float | None:
        """Return one measure by its id."""
        return self.values.get(measure)


class Measured(Look, frozen=True, tag="variant.measured"):
    """The measures of one variant on the first `rows` rows: of OOD sets in `cells`, of labels in `values`.

    `values` are measures by id, None if they have no value.
    """

    variant: VariantKey
    values: dict[str, float | None]
    cells: tuple[Cell, ...]

    def value(self, measure: str) -> float | None:
        """Return one measure of labels by its id."""
        return self.values.get(measure)


class Curve(msgspec.Struct, frozen=True):
    """A ROC curve, thinned by arc length: false and true positive rates, OOD positive."""

    set: str
    fpr: tuple[float, ...]
    tpr: tuple[float, ...]


class CurvesDrawn(Look, frozen=True, tag="curves.drawn"):
    """The ROC curves of one variant under the headline score after `rows` rows."""

    variant: VariantKey
    curves: tuple[Curve, ...]


class Delta(msgspec.Struct, frozen=True, omit_defaults=True):
    """FP32 minus quantized with its paired 95 % interval; `relative` is to the FP32 value.

    `p` tests whether the difference is 0; `p_holm` is adjusted for all tests of its family. The families
    are, for each measure, all variants, sets and means over sets; the means by bits; those by pretraining;
    and those of twins.
    """

    value: float
    low: float
    high: float
    relative: float | None = None
    p: float | None = None
    p_holm: float | None = None

    @property
    def is_change(self) -> bool:
        """Return whether the delta is significant: by the adjusted test, else by the interval."""
        return self.p_holm < 0.05 if self.p_holm is not None else self.low > 0 or self.high < 0


class SetDeltas(msgspec.Struct, frozen=True):
    """The loss of one measure on every OOD set, and its mean, with ID images resampled once for all sets."""

    sets: dict[str, Delta]
    mean: Delta


class VariantDelta(msgspec.Struct, frozen=True):
    """What quantization cost one variant, by measure, on the same images as its FP32 reference.

    The loss of a measure is negative if smaller values are better. Some measures appear only at the end, and
    those of labels only if an ID image has one.
    """

    variant: VariantKey
    by_set: dict[str, SetDeltas]
    of_labels: dict[str, Delta]

    def __post_init__(self) -> None:
        """Raise ValueError without the main measure, which readers rely on."""
        if MAIN_MEASURE not in self.by_set:
            raise ValueError(f"deltas of {self.variant} without {MAIN_MEASURE}")

    @property
    def main(self) -> SetDeltas:
        """Return the loss of the main measure."""
        return self.by_set[MAIN_MEASURE]

    def mean(self, measure: str) -> Delta | None:
        """Return the mean loss of a measure over OOD sets."""
        deltas = self.by_set.get(measure)
        return deltas.mean if deltas else None

    def sets(self, measure: str) -> dict[str, Delta]:
        """Return the loss of a measure on every OOD set."""
        deltas = self.by_set.get(measure)
        return deltas.sets if deltas else {}

    def whole(self, measure: str) -> Delta | None:
        """Return the overall loss of a measure: of labels, or the mean over OOD sets."""
        return self.of_labels[measure] if measure in self.of_labels else self.mean(measure)


class DeltasMeasured(Look, frozen=True, tag="deltas.tabled"):
    """The delta table after `rows` rows, and the mean over models and OOD sets per bit setting.

    `by_pretraining` has that mean for the models of each pretraining; `twins` how much more the larger
    pretraining lost than its twin, as the mean over pairs of models that differ only in pretraining.

    While a sweep runs, intervals are `sequential`: valid however often you look. At its planned end they are
    percentile intervals of the bootstrap.
    """

    resamples: int
    seed: int
    variants: tuple[VariantDelta, ...]
    by_bits: dict[str, Delta]
    sequential: bool = False
    by_pretraining: dict[str, dict[str, Delta]] = {}
    twins: dict[str, Delta] = {}


class DeviceLoad(msgspec.Struct, frozen=True, array_like=True):
    """The load of one accelerator, written as a list in this order; None if it is not reported."""

    use: float | None  # percent of the time
    memory: int | None  # bytes, of all processes
    memory_total: int | None
    power: float | None  # watts
    power_limit: float | None
    temperature: float | None  # degrees Celsius


class Telemetry(Event, frozen=True, tag="telemetry"):
    """The load of the machine: percentages of the whole machine, memory in bytes.

    `devices` are in the order of `worker.started`.
    """

    processor: float
    memory: int
    memory_total: int
    worker_memory: int
    devices: tuple[DeviceLoad, ...] = ()


class Logged(Preparation, frozen=True, tag="logged"):
    """A line for the log pane: `level` is `info`, `warning` or `error`."""

    level: str
    text: str


class WorkerDied(Event, frozen=True, tag="worker.died"):
    """The worker ended unexpectedly; finished chunks are kept."""

    reason: str
    will_restart: bool


class SessionResumed(Event, frozen=True, tag="session.resumed"):
    """An interrupted session resumes after `rows` finished rows."""

    rows: int


class ScoresAdded(Event, frozen=True, tag="scores.added"):
    """Scores were computed from kept outputs after the sweep; `digests` are the SHA-256 of their rows.

    `headline` is the score of everything measured from here on.
    """

    scores: tuple[str, ...]
    parameters: dict[str, dict[str, int | float | str]]
    headline: str
    digests: dict[str, str]
    versions: dict[str, str]


class SessionClosed(Event, frozen=True, tag="session.closed"):
    """The last event; `sha256` is of all lines before it.

    `outcome` is `finished`, `failed`, `cancelled`, or `refused` if the user's input kept it from starting.
    """

    outcome: str
    reason: str
    events: int
    sha256: str


AnyEvent = (
    PhaseChanged
    | WorkerStarted
    | SetsPrepared
    | ModelLoaded
    | BatchSized
    | AttentionCompared
    | VariantReady
    | BitsTabled
    | VariantFailed
    | ImageUnreadable
    | FitSeen
    | OutputsKept
    | ChunkFinished
    | Measured
    | CurvesDrawn
    | DeltasMeasured
    | Telemetry
    | Logged
    | WorkerDied
    | SessionResumed
    | ScoresAdded
    | SessionClosed
)


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One line of a journal: `t` is seconds since the session was created."""

    seq: int
    t: float
    event: AnyEvent
