"""What becomes of every field of a session in a redacted copy: a field that nobody classified is left out."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec

from engine.archive.pseudonyms import GONE, Names
from engine.plan.plan import Plan
from engine.plan.variants import VariantId
from engine.protocol import events

Rule = Callable[["Redaction", Any, Any], Any]  # of the redaction, the struct and the field's value

_VERSION = re.compile(r"v?\d[\w.+-]{0,40}")
_WORDS = {  # what fields say that have few values; another value is not known to be harmless
    "phase": {
        *("starting", "images", "checking", "models", "calibrating", "fitting"),
        *("sweeping", "measuring", "paused"),
    },
    "level": {"info", "warning", "error"},
    "outcome": {"finished", "failed", "cancelled", "refused"},
    "role": {"id", "ood", "calibration", "fit", "train"},
}


class Redaction:
    """Replace what may say who or what in the structs of a session; `left_out` counts what is not known."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.left_out = 0

    def of(self, given: Any) -> Any:
        """Return a struct with stand-ins; None, and one more is left out, if its kind is not known."""
        rules = FIELDS.get(type(given))
        if rules is None:
            self.left_out += 1
            return None
        changes = {}
        for name, default in _defaults(given.__class__).items():
            value = getattr(given, name)
            if (rule := rules.get(name)) is not None:
                changes[name] = rule(self, given, value)
            elif default is msgspec.NODEFAULT:
                self.left_out += 1
                return None
            else:
                self.left_out += value != default
                changes[name] = default
        return msgspec.structs.replace(given, **changes)


def unknown_fields(raw: Any, decoded: Any) -> int:
    """Count the fields of JSON that the struct that was decoded from it does not have."""
    if isinstance(raw, dict) and isinstance(decoded, msgspec.Struct):
        known = {"type", *decoded.__struct_fields__}
        here = sum(name not in known for name in raw)
        there = [name for name in decoded.__struct_fields__ if name in raw]
        return here + sum(unknown_fields(raw[name], getattr(decoded, name)) for name in there)
    if isinstance(raw, dict) and isinstance(decoded, dict):
        return sum(unknown_fields(raw[name], decoded[name]) for name in raw if name in decoded)
    if isinstance(raw, list) and isinstance(decoded, msgspec.Struct):  # written as a list
        return max(len(raw) - len(decoded.__struct_fields__), 0)
    if isinstance(raw, list) and isinstance(decoded, tuple):
        return sum(map(unknown_fields, raw, decoded))
    return 0


@cache
def _defaults(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {
        field.name: field.default_factory()
        if field.default_factory is not msgspec.NODEFAULT
        else field.default
        for field in msgspec.structs.fields(kind)
    }


def _keep(_of: Redaction, _given: Any, value: Any) -> Any:
    """Keep a number, a name of the catalog or of a layer, a digest of what has stand-ins already."""
    return value


def _word(field: str) -> Rule:
    return lambda _of, _given, value: value if value in _WORDS[field] else GONE


def _text(of: Redaction, _given: Any, value: str) -> str:
    return of.names.text(value)


def _set(of: Redaction, _given: Any, value: str) -> str:
    return of.names.set(value)


def _sets(of: Redaction, _given: Any, value: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(of.names.set, value))


def _variant(of: Redaction, _given: Any, value: str) -> str:
    return of.names.variant(value)


def _model(of: Redaction, _given: Any, value: str) -> str:
    return of.names.models.get(value, value)


def _models(of: Redaction, _given: Any, value: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(of.names.models.get(name, name) for name in value)


def _image(of: Redaction, given: Any, value: str) -> str:
    return of.names.images[given.set, value]


def _images(of: Redaction, given: Any, value: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(of.names.images[given.set, name] for name in value)


def _one(of: Redaction, _given: Any, value: Any) -> Any:
    return None if value is None else of.of(value)


def _each(of: Redaction, _given: Any, value: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(one for one in map(of.of, value) if one is not None)


def _by_set(of: Redaction, _given: Any, value: dict[str, Any]) -> dict[str, Any]:
    return {of.names.set(name): of.of(one) for name, one in value.items()}


def _by_name(of: Redaction, given: Any, value: dict[str, Any]) -> dict[str, Any]:
    """Take what is under names of bit settings and pretrainings."""
    return {
        name: _by_name(of, given, one) if isinstance(one, dict) else of.of(one) for name, one in value.items()
    }


def _of_own_set(of: Redaction, given: Any, value: str) -> str:
    return GONE if (given.set if hasattr(given, "set") else given.name) in of.names.of_own else value


def _notes(of: Redaction, given: Any, value: tuple[str, ...]) -> tuple[str, ...]:
    return () if given.name in of.names.of_own else tuple(map(of.names.text, value))


def _of_own_weights(of: Redaction, given: Any, value: str) -> str:
    model = given.model if hasattr(given, "model") else VariantId.parse(given.variant).model
    return GONE if model in of.names.own_weights else value


def _weights(of: Redaction, given: Any, value: Any) -> Any:
    return None if value is None or given.model in of.names.own_weights else of.of(value)


def _texts(of: Redaction, _given: Any, value: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(of.names.text, value))


def _fits(of: Redaction, _given: Any, value: dict[str, str]) -> dict[str, str]:
    own = of.names.own_weights
    return {
        of.names.variant(key): GONE if VariantId.parse(key).model in own else digest
        for key, digest in value.items()
    }


def _versions(_of: Redaction, _given: Any, value: dict[str, str]) -> dict[str, str]:
    return {name: one for name, one in value.items() if name == "machine" or _VERSION.fullmatch(one)}


def _accelerators(_of: Redaction, _given: Any, value: dict[str, str]) -> dict[str, str]:
    return {f"gpu-{number}": "GPU" for number, _ in enumerate(value, 1)}


def _variables(of: Redaction, _given: Any, value: dict[str, str] | None) -> dict[str, str] | None:
    return None if value is None else {name: of.names.text(one) for name, one in value.items()}


def _rules(kept: str = "", **others: Rule) -> dict[str, Rule]:
    """Return the rules of a struct: the names of fields that are kept, and the others with what is done."""
    return {**dict.fromkeys(kept.split(), _keep), **others}


FIELDS: dict[type, dict[str, Rule]] = {
    # Identity and id are made anew.
    events.Header: _rules("format version id created identity", folders=_sets, plan=_one, app=_text),
    Plan: _rules(
        "bits method first_and_last class_order largest_image overrides scores score_parameters headline "
        "share id_images ood_images "
        "calibration_images calibration_draws fit_images stop_width chunk_images keep_outputs tf32 seed",
        models=_models,
        id_set=_set,
        ood_sets=_sets,
        calibration_set=_set,
        fit_set=_set,
    ),
    events.PhaseChanged: _rules(phase=_word("phase"), note=_text),
    events.WorkerStarted: _rules(
        "threads resumed_at",
        device=_text,
        versions=_versions,
        accelerators=_accelerators,
        arithmetic=_variables,
    ),
    events.SetReady: _rules(
        "count available expected copies",
        name=_set,
        role=_word("role"),
        label=_of_own_set,
        digest=_of_own_set,
        notes=_notes,
    ),
    events.CalibrationDraw: _rules(
        "seed copies unreadable available", set=_set, images=_images, digest=_of_own_set
    ),
    events.SetsPrepared: _rules("rows", sets=_each, calibrations=_each, fit=_one),
    events.ModelLoaded: _rules(
        "parameters classes size crop mean std",
        model=_model,
        origin=_of_own_weights,
        digest=_of_own_weights,
        interpolation=_text,
        crop_mode=_text,
        weights=_weights,
    ),
    events.WeightsTaken: _rules(
        "is_ema", entry=_text, beside=_texts, prefixes=_texts, mapped=_text, notes=_texts
    ),
    events.AttentionCompared: _rules("images largest deviation changed", model=_model),
    events.FitSeen: _rules("images unreadable"),
    events.BatchSized: _rules("first images", reason=_text),
    events.VariantReady: _rules("seconds classes", variant=_variant, digest=_of_own_weights),
    events.TensorRow: _rules("tensor quantizer bits scales low high clipped sqnr elements bytes"),
    events.BitsTabled: _rules(
        "floats float_bytes packed_bytes float32_bytes float_share", variant=_variant, rows=_each
    ),
    events.VariantFailed: _rules(variant=_variant, reason=_text),
    events.ImageUnreadable: _rules(set=_set, name=_image, reason=_text),
    events.OutputsKept: _rules("bytes", fits=_fits),
    events.ChunkFinished: _rules("first rows seconds digests batch waited"),
    events.Cell: _rules(
        "score n_id n_ood auroc ap_out ap_in fpr95_ood_positive fpr95_id_positive", name=_set, problem=_text
    ),
    events.Measured: _rules("rows top1 top5 nll brier ece ece_adaptive aurc", variant=_variant, cells=_each),
    events.Curve: _rules("fpr tpr", set=_set),
    events.CurvesDrawn: _rules("rows", variant=_variant, curves=_each),
    events.Delta: _rules("value low high relative p p_holm"),
    events.VariantDelta: _rules(
        variant=_variant,
        ap_out=_by_set,
        auroc=_by_set,
        ap_in=_by_set,
        fpr95=_by_set,
        top1=_one,
        nll=_one,
        ap_out_mean=_one,
        auroc_mean=_one,
        ap_in_mean=_one,
        fpr95_mean=_one,
    ),
    events.DeltasMeasured: _rules(
        "rows resamples seed sequential",
        variants=_each,
        by_bits=_by_name,
        by_pretraining=_by_name,
        twins=_by_name,
    ),
    events.DeviceLoad: _rules("use memory memory_total power power_limit temperature"),
    events.Telemetry: _rules("processor memory memory_total worker_memory", devices=_each),
    events.Logged: _rules(level=_word("level"), text=_text),
    events.WorkerDied: _rules("will_restart", reason=_text),
    events.SessionResumed: _rules("rows"),
    events.ScoresAdded: _rules("scores parameters headline digests", versions=_versions),
    events.SessionClosed: _rules("events sha256", outcome=_word("outcome"), reason=_text),
}
