"""What a redacted copy contains: every event is rebuilt, field by field, from what may be shown.

A new event fails the type checker until `redacted` has a case for it, and so does a new field that is
required. A new field with a default has only that in the copy, until a rule here says otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TypeVar, assert_never

from engine.archive.pseudonyms import GONE, Names
from engine.measure.measures import MEASURES
from engine.plan.variants import VariantId
from engine.protocol import events
from engine.protocol.events import AnyEvent, Delta

Kind = TypeVar("Kind")

_VERSION = re.compile(r"v?\d[\w.+-]{0,40}")
# The words of fields that have few values; no other value is known to be harmless.
_PHASES = frozenset(
    ("starting", "images", "checking", "models", "calibrating", "fitting", "sweeping", "measuring", "paused")
)
_LEVELS = frozenset(("info", "warning", "error"))
_OUTCOMES = frozenset(("finished", "failed", "cancelled", "refused"))
_ROLES = frozenset(("id", "ood", "calibration", "fit", "train"))


def redacted(event: AnyEvent, names: Names) -> AnyEvent:
    """Return an event with pseudonyms; its numbers stay the same to the last bit."""
    match event:
        case events.PhaseChanged():
            return events.PhaseChanged(_word(event.phase, _PHASES), names.text(event.note))
        case events.WorkerStarted():
            return _worker(event, names)
        case events.SetsPrepared():
            return _prepared(event, names)
        case events.ModelLoaded():
            return _model(event, names)
        case events.BatchSized():
            return events.BatchSized(event.first, event.images, names.text(event.reason))
        case events.AttentionCompared():
            return _attention(event, names)
        case events.VariantReady():
            digest = _of_weights(event.digest, event.variant, names)
            return events.VariantReady(names.variant(event.variant), digest, event.seconds, event.classes)
        case events.BitsTabled():
            return _bits(event, names)
        case events.VariantFailed():
            return events.VariantFailed(names.variant(event.variant), names.text(event.reason))
        case events.ImageUnreadable():
            image = names.images[event.set, event.name]
            return events.ImageUnreadable(names.set(event.set), image, names.text(event.reason))
        case events.FitSeen():
            return events.FitSeen(event.images, event.unreadable)
        case events.OutputsKept():
            fits = {names.variant(key): _of_weights(one, key, names) for key, one in event.fits.items()}
            return events.OutputsKept(event.bytes, fits)
        case events.ChunkFinished():
            return _chunk(event)
        case events.Measured():
            return _measured(event, names)
        case events.CurvesDrawn():
            curves = tuple(events.Curve(names.set(one.set), one.fpr, one.tpr) for one in event.curves)
            return events.CurvesDrawn(event.rows, names.variant(event.variant), curves)
        case events.DeltasMeasured():
            return _deltas(event, names)
        case events.Telemetry():
            return _telemetry(event)
        case events.Logged():
            return events.Logged(_word(event.level, _LEVELS), names.text(event.text))
        case events.WorkerDied():
            return events.WorkerDied(names.text(event.reason), event.will_restart)
        case events.SessionResumed():
            return events.SessionResumed(event.rows)
        case events.ScoresAdded():
            return _scores(event)
        case events.SessionClosed():
            outcome = _word(event.outcome, _OUTCOMES)
            return events.SessionClosed(outcome, names.text(event.reason), event.events, event.sha256)
        case _:
            assert_never(event)


def _worker(event: events.WorkerStarted, names: Names) -> events.WorkerStarted:
    arithmetic = event.arithmetic
    return events.WorkerStarted(
        device=names.text(event.device),
        threads=event.threads,
        versions=_versions(event.versions),
        resumed_at=event.resumed_at,
        accelerators={f"gpu-{number}": "GPU" for number, _ in enumerate(event.accelerators, 1)},
        arithmetic=arithmetic and {name: names.text(value) for name, value in arithmetic.items()},
    )


def _prepared(event: events.SetsPrepared, names: Names) -> events.SetsPrepared:
    return events.SetsPrepared(
        sets=tuple(_set(one, names) for one in event.sets),
        rows=event.rows,
        calibrations=tuple(_calibration(draw, names) for draw in event.calibrations),
        fit=event.fit and _set(event.fit, names),
    )


def _set(images: events.SetReady, names: Names) -> events.SetReady:
    is_own = images.name in names.of_own
    return events.SetReady(
        name=names.set(images.name),
        role=_word(images.role, _ROLES),
        label=GONE if is_own else images.label,
        count=images.count,
        digest=GONE if is_own else images.digest,
        available=images.available,
        expected=images.expected,
        copies=images.copies,
        notes=() if is_own else _texts(images.notes, names),
    )


def _calibration(draw: events.CalibrationDraw, names: Names) -> events.CalibrationDraw:
    return events.CalibrationDraw(
        set=names.set(draw.set),
        seed=draw.seed,
        images=tuple(names.images[draw.set, name] for name in draw.images),
        digest=GONE if draw.set in names.of_own else draw.digest,
        copies=draw.copies,
        unreadable=draw.unreadable,
        available=draw.available,
    )


def _model(event: events.ModelLoaded, names: Names) -> events.ModelLoaded:
    is_own = event.model in names.own_weights
    return events.ModelLoaded(
        model=names.models.get(event.model, event.model),
        origin=GONE if is_own else event.origin,
        digest=GONE if is_own else event.digest,
        parameters=event.parameters,
        classes=event.classes,
        size=event.size,
        crop=event.crop,
        interpolation=names.text(event.interpolation),
        crop_mode=names.text(event.crop_mode),
        mean=event.mean,
        std=event.std,
        weights=None if is_own or event.weights is None else _weights(event.weights, names),
    )


def _weights(taken: events.WeightsTaken, names: Names) -> events.WeightsTaken:
    return events.WeightsTaken(
        entry=names.text(taken.entry),
        is_ema=taken.is_ema,
        beside=_texts(taken.beside, names),
        prefixes=_texts(taken.prefixes, names),
        mapped=names.text(taken.mapped),
        notes=_texts(taken.notes, names),
    )


def _attention(event: events.AttentionCompared, names: Names) -> events.AttentionCompared:
    model = names.models.get(event.model, event.model)
    return events.AttentionCompared(model, event.images, event.largest, event.deviation, event.changed)


def _bits(event: events.BitsTabled, names: Names) -> events.BitsTabled:
    """Keep the names of tensors: they are those of the architecture."""
    return events.BitsTabled(
        variant=names.variant(event.variant),
        rows=tuple(map(_tensor, event.rows)),
        floats=event.floats,
        float_bytes=event.float_bytes,
        packed_bytes=event.packed_bytes,
        float32_bytes=event.float32_bytes,
        float_share=event.float_share,
    )


def _tensor(row: events.TensorRow) -> events.TensorRow:
    return events.TensorRow(
        tensor=row.tensor,
        quantizer=row.quantizer,
        bits=row.bits,
        scales=row.scales,
        low=row.low,
        high=row.high,
        clipped=row.clipped,
        sqnr=row.sqnr,
        elements=row.elements,
        bytes=row.bytes,
    )


def _chunk(event: events.ChunkFinished) -> events.ChunkFinished:
    """Keep the digests: they are of numbers that are kept too."""
    return events.ChunkFinished(
        first=event.first,
        rows=event.rows,
        seconds=event.seconds,
        digests=event.digests,
        batch=event.batch,
        waited=event.waited,
    )


def _measured(event: events.Measured, names: Names) -> events.Measured:
    cells = tuple(
        events.Cell(
            name=names.set(cell.name),
            score=cell.score,
            n_id=cell.n_id,
            n_ood=cell.n_ood,
            values=_of_measures(cell.values),
            problem=names.text(cell.problem),
        )
        for cell in event.cells
    )
    return events.Measured(event.rows, names.variant(event.variant), _of_measures(event.values), cells)


def _of_measures(of_measures: Mapping[str, Kind]) -> dict[str, Kind]:
    """Return the values of measures that exist here: any other name might not be harmless."""
    return {name: value for name, value in of_measures.items() if name in MEASURES}


def _deltas(event: events.DeltasMeasured, names: Names) -> events.DeltasMeasured:
    """Keep the keys of means: they are bit settings and pretrainings."""
    return events.DeltasMeasured(
        rows=event.rows,
        resamples=event.resamples,
        seed=event.seed,
        variants=tuple(_variant_delta(one, names) for one in event.variants),
        by_bits=_delta_by_name(event.by_bits),
        sequential=event.sequential,
        by_pretraining={name: _delta_by_name(means) for name, means in event.by_pretraining.items()},
        twins=_delta_by_name(event.twins),
    )


def _variant_delta(one: events.VariantDelta, names: Names) -> events.VariantDelta:
    by_set = {
        measure: events.SetDeltas(
            sets={names.set(name): _delta(delta) for name, delta in of_measure.sets.items()},
            mean=_delta(of_measure.mean),
        )
        for measure, of_measure in _of_measures(one.by_set).items()
    }
    return events.VariantDelta(
        names.variant(one.variant), by_set, _delta_by_name(_of_measures(one.of_labels))
    )


def _delta_by_name(deltas: dict[str, Delta]) -> dict[str, Delta]:
    return {name: _delta(one) for name, one in deltas.items()}


def _delta(one: Delta) -> Delta:
    return Delta(
        value=one.value, low=one.low, high=one.high, relative=one.relative, p=one.p, p_holm=one.p_holm
    )


def _telemetry(event: events.Telemetry) -> events.Telemetry:
    devices = tuple(
        events.DeviceLoad(
            use=load.use,
            memory=load.memory,
            memory_total=load.memory_total,
            power=load.power,
            power_limit=load.power_limit,
            temperature=load.temperature,
        )
        for load in event.devices
    )
    return events.Telemetry(
        processor=event.processor,
        memory=event.memory,
        memory_total=event.memory_total,
        worker_memory=event.worker_memory,
        devices=devices,
    )


def _scores(event: events.ScoresAdded) -> events.ScoresAdded:
    return events.ScoresAdded(
        scores=event.scores,
        parameters=event.parameters,
        headline=event.headline,
        digests=event.digests,
        versions=_versions(event.versions),
    )


def _word(value: str, words: frozenset[str]) -> str:
    return value if value in words else GONE


def _texts(texts: Iterable[str], names: Names) -> tuple[str, ...]:
    return tuple(map(names.text, texts))


def _of_weights(digest: str, variant: str, names: Names) -> str:
    """Return the digest of a variant, unless it identifies weights of the user's own."""
    return GONE if VariantId.parse(variant).model in names.own_weights else digest


def _versions(versions: dict[str, str]) -> dict[str, str]:
    return {name: one for name, one in versions.items() if name == "machine" or _VERSION.fullmatch(one)}
