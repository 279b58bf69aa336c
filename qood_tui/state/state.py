"""What the screens show: a State, folded from the events of a journal by one pure function."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from engine.measure.measure import Deltas, Measure
from engine.measure.measures import COMPARED
from engine.plan.validation import MOST_VARIANTS
from engine.protocol.events import (
    AnyEvent,
    AttentionCompared,
    BatchSized,
    BitsTabled,
    Cell,
    ChunkFinished,
    CurvesDrawn,
    DeltasMeasured,
    Entry,
    FitSeen,
    Header,
    ImageUnreadable,
    Logged,
    Measured,
    ModelLoaded,
    OutputsKept,
    PhaseChanged,
    ScoresAdded,
    SessionClosed,
    SessionResumed,
    SetsPrepared,
    Telemetry,
    VariantDelta,
    VariantFailed,
    VariantReady,
    WorkerDied,
    WorkerStarted,
)
from engine.session.session import with_scores
from engine.text import counted, in_bytes

LOG_LINES = 500
LOOKS = 40
TELEMETRY_POINTS = 120
PACE_CHUNKS = 8  # chunks that the time left is estimated from
_FIELDS = {
    Measured: "measured",
    VariantReady: "ready",
    BitsTabled: "bits",
    VariantFailed: "failed",
    CurvesDrawn: "curves",
}
SILENT = (Telemetry, Measured, ChunkFinished, CurvesDrawn, DeltasMeasured, BitsTabled)  # not in the log


class LogLine(msgspec.Struct, frozen=True):
    """One line of the log pane."""

    t: float
    level: str
    text: str


class State(msgspec.Struct, frozen=True):
    """Everything the screens need at one moment of a session."""

    header: Header
    seq: int = 0
    t: float = 0.0
    phase: str = "waiting"
    note: str = ""
    worker: WorkerStarted | None = None
    prepared: SetsPrepared | None = None
    rows: int = 0
    pace: tuple[tuple[float, int], ...] = ()
    waits: tuple[tuple[float, float], ...] = ()  # of the last chunks: seconds, and those without images
    ready: dict[str, VariantReady] = {}
    bits: dict[str, BitsTabled] = {}
    failed: dict[str, str] = {}
    unreadable: int = 0  # images of finished chunks
    pending: int = 0  # unreadable images of a chunk that is not finished yet
    measured: dict[str, Measured] = {}
    curves: dict[str, CurvesDrawn] = {}
    deltas: DeltasMeasured | None = None
    references: dict[str, Measured] = {}  # FP32 variants, measured on the images that the deltas are of
    settling: dict[
        tuple[str, str], tuple[float, ...]
    ] = {}  # widths of the mean's interval, by measure, variant
    telemetry: tuple[Telemetry, ...] = ()
    log: tuple[LogLine, ...] = ()
    closed: SessionClosed | None = None

    @property
    def total(self) -> int:
        """Return how many images will be swept; 0 until that is known."""
        return self.prepared.rows if self.prepared else 0

    @property
    def seconds_left(self) -> float | None:
        """Estimate the time left from the pace of the last chunks."""
        if len(self.pace) < 2 or self.closed:
            return None
        (start, before), (end, rows) = self.pace[0], self.pace[-1]
        if end <= start or rows <= before:
            return None
        return (self.total - rows) * (end - start) / (rows - before)

    @property
    def share_waited(self) -> float:
        """Return for what share of the last chunks' time the device waited for images."""
        seconds = sum(of_chunk for of_chunk, _ in self.waits)
        return sum(waited for _, waited in self.waits) / seconds if seconds else 0.0

    def delta_of(self, variant: str) -> VariantDelta | None:
        """Return what quantization cost a variant, as far as that is known."""
        compared = self.deltas.variants if self.deltas else ()
        return next((delta for delta in compared if delta.variant == variant), None)

    @property
    def measures(self) -> list[Measure]:
        """Return the measures that can be shown: those that the journal has numbers of, or will have."""
        cells = [cell for measured in self.measured.values() for cell in measured.cells]
        return [measure for measure in COMPARED if not cells or any(measure.id in c.values for c in cells)]

    def cells_of(self, variant: str) -> dict[str, Cell]:
        """Return the cells of a variant under the headline score, by OOD set."""
        measured = self.measured.get(variant)
        return self.under_headline(measured.cells if measured else ())

    def under_headline(self, cells: Iterable[Cell]) -> dict[str, Cell]:
        """Return those of some cells that are of the headline score, by OOD set."""
        return {cell.name: cell for cell in cells if cell.score == self.header.plan.headline}


def reduce(state: State, entry: Entry) -> State:
    """Return the state after one more event; never changes `state`."""
    changes = _changes(state, entry.event, entry.t)
    text = None if isinstance(entry.event, SILENT) else describe(entry.event)
    if text is not None:
        line = LogLine(entry.t, *text)
        changes["log"] = (*state.log[-LOG_LINES + 1 :], line)
    return msgspec.structs.replace(state, seq=entry.seq, t=entry.t, **changes)


def _changes(state: State, event: AnyEvent, t: float) -> dict[str, Any]:
    match event:  # the most frequent first
        case Telemetry():
            return {"telemetry": (*state.telemetry[-TELEMETRY_POINTS + 1 :], event)}
        case Measured() | VariantReady() | BitsTabled() | VariantFailed() | CurvesDrawn():
            return _of_variant(state, event)
        case PhaseChanged(phase, note):
            return {"phase": phase, "note": note}
        case WorkerStarted():
            return {**_begun_again(state), "worker": event, "pace": ()}
        case SetsPrepared():
            return {"prepared": event}
        case ImageUnreadable():
            return {"pending": state.pending + 1}
        case ChunkFinished(first, rows, seconds) if first == state.rows:
            done = state.rows + rows
            return {
                "rows": done,
                "pace": (*state.pace[-PACE_CHUNKS + 1 :], (t, done)),
                "waits": (*state.waits[-PACE_CHUNKS + 1 :], (seconds, event.waited)),
                "unreadable": state.unreadable + state.pending,
                "pending": 0,
            }
        case DeltasMeasured(rows=rows, variants=variants):
            references = {
                v.baseline: whole
                for v in state.header.plan.variants()
                if (whole := state.measured.get(v.baseline)) is not None and whole.rows == rows
            }
            return {"deltas": event, "references": references, "settling": _settled(state, variants)}
        case SessionResumed():
            return {**_begun_again(state), "closed": None}
        case ScoresAdded():
            plan = with_scores(state.header.plan, event)
            header = {"header": msgspec.structs.replace(state.header, plan=plan)}
            if plan.headline == state.header.plan.headline:
                return header
            # What was is of another score.
            return {**header, "deltas": None, "references": {}, "curves": {}, "settling": {}}
        case SessionClosed(outcome):
            return {"closed": event, "phase": outcome, "note": event.reason}
        case _:
            return {}


def _begun_again(state: State) -> dict[str, Any]:
    """Return the changes when an attempt begins: what an earlier one said of unfinished rows is void."""
    if state.rows:
        return {"pending": 0}
    return {
        "pending": 0,
        "prepared": None,
        "ready": {},
        "bits": {},
        "failed": {},
        "measured": {},
        "curves": {},
        "deltas": None,
        "references": {},
        "settling": {},
    }


def _of_variant(
    state: State, event: Measured | VariantReady | BitsTabled | VariantFailed | CurvesDrawn
) -> dict[str, Any]:
    """Take in what is said of a variant; a journal that invents ever more of them is not followed."""
    name = _FIELDS[type(event)]
    before: dict[str, Any] = getattr(state, name)
    if event.variant not in before and len(before) >= MOST_VARIANTS:
        return {}
    return {name: {**before, event.variant: event.reason if isinstance(event, VariantFailed) else event}}


def _settled(state: State, variants: tuple[VariantDelta, ...]) -> dict[tuple[str, str], tuple[float, ...]]:
    """Return the widths of the intervals at the last looks."""
    widths = {
        (measure.id, row.variant): mean.high - mean.low
        for measure in COMPARED
        for row in variants
        if measure.deltas is Deltas.ALWAYS and (mean := row.mean(measure.id)) is not None
    }
    before = state.settling
    return {key: (*before.get(key, ())[-LOOKS + 1 :], width) for key, width in widths.items()}


def describe(event: AnyEvent) -> tuple[str, str] | None:
    """Return level and words for events that belong in the log, else None."""
    match event:
        case PhaseChanged(phase, note):
            return "info", f"{phase}: {note}" if note else phase
        case WorkerStarted(device, threads, _, resumed):
            again = f", from image {resumed:,}" if resumed else ""
            return "info", f"worker on {device} with {counted(threads, 'thread')}{again}"
        case SetsPrepared(sets, rows):
            return "info", f"{counted(rows, 'image')} in {counted(len(sets), 'set')}"
        case ModelLoaded(model, origin, _, parameters, classes):
            taken = f"; {event.weights}" if event.weights is not None else ""
            size = f"{parameters / 1e6:.1f} M parameters, {counted(classes, 'class', 'classes')}"
            return "info", f"{model}: {size}, {origin}{taken}"
        case BatchSized(first, images, reason):
            return ("warning", f"batches of {images} from image {first:,} on: {reason}") if reason else None
        case AttentionCompared(model, images, largest, deviation):
            of = f"(standard deviation {deviation:.2g}) on {counted(images, 'image')}"
            return "info", f"{model}: explicit attention changes a logit by at most {largest:.1e} {of}"
        case VariantReady(variant, _, seconds):
            return "info", f"{variant} calibrated in {seconds:.2f} s"
        case VariantFailed(variant, reason):
            return "error", f"{variant} left out: {reason}"
        case ImageUnreadable(of_set, name, reason):
            return "warning", f"{of_set}: {name} left out: {reason}"
        case FitSeen(images, unreadable):
            lost = f", {unreadable:,} unreadable" if unreadable else ""
            return "info", f"fit set: {counted(images, 'image')}{lost}"
        case OutputsKept(size):
            return "info", f"keeping logits and features: {in_bytes(size)}"
        case ScoresAdded(scores, _, headline):
            added = f"scores added: {', '.join(scores)}; " if scores else ""
            return "info", f"{added}headline {headline}"
        case Logged(level, text):
            return level, text
        case WorkerDied(reason, again):
            return "error", f"{reason}; {'starting another' if again else 'giving up'}"
        case SessionResumed(rows):
            return "info", f"resumed after {counted(rows, 'image')}"
        case SessionClosed(outcome, reason):
            level = {"finished": "info", "failed": "error", "refused": "error"}.get(outcome, "warning")
            return level, f"{outcome}: {reason}" if reason else outcome
        case _:
            return None


def fold(header: Header, entries: list[Entry]) -> State:
    """Return the state after all `entries`."""
    state = State(header)
    for entry in entries:
        state = reduce(state, entry)
    return state
