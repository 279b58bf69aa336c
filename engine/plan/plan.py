"""The Plan: everything about a sweep that affects a number, and whether outputs are kept.

It holds no devices or paths. The terminal, the command line and a TOML file all make the same Plan.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from msgspec import UNSET
from msgspec import UnsetType as Unset

from engine import catalog
from engine.errors import InputError, unknown_name
from engine.plan.bits import Bits
from engine.plan.variants import Variant

IDLE = ("keep_outputs",)  # fields that affect no number: a resumed sweep needs them, the identity does not


def is_identity(identity: str, plan: bytes) -> bool:
    """Return whether an identity belongs to a plan, given as its bytes in a header.

    Older sessions that kept outputs have the hash of these bytes unchanged.
    """
    without_outputs = plan.replace(b'"keep_outputs":true', b'"keep_outputs":false')
    return identity in (hashlib.sha256(data).hexdigest() for data in (without_outputs, plan))


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to sweep. The user's own sets and checkpoints appear by name.

    A field added later is unset by default, and then left out of the JSON: plans that do not use it keep
    their identity.
    """

    models: tuple[str, ...]
    bits: tuple[str, ...] = catalog.BITS
    method: str = msgspec.field(default="repq", name="quantizer")  # called so in journals
    method_parameters: dict[str, bool | int | float | str] | Unset = UNSET  # such as {"share": 0.999}
    first_and_last: int | Unset = UNSET  # bits of patch embedding and head, if not the setting's
    overrides: dict[str, int] = {}  # bits of individual tensors or layers, such as {"head": 8}
    id_set: str = "fractals"
    ood_sets: tuple[str, ...] = catalog.DEMO_OOD
    scores: tuple[str, ...] = ("msp", "maxlogit", "energy")
    score_parameters: dict[str, dict[str, int | float | str]] = {}  # such as {"knn": {"k": 10}}
    headline: str = "msp"
    share: float | None = None  # of every set, instead of the two numbers below
    id_images: int = 1500
    ood_images: int = 500
    calibration_set: str = catalog.DEMO_CALIBRATION
    fit_set: str = catalog.DEMO_FIT
    calibration_images: int = 32
    calibration_draws: int = 1  # of images, on each of which every quantized variant is calibrated
    fit_images: int = 1000  # ID images that fitted scores are fitted on
    stop_width: float | None = None  # points of AUPR-out: stop once every mean's interval is narrower
    chunk_images: int = 125
    keep_outputs: bool = False  # logits and features of every image, so that scores can be added later
    class_order: str | Unset = UNSET  # how class folders are numbered if nothing else gives labels
    largest_image: int | Unset = UNSET  # pixels; a larger one is unreadable
    tf32: bool = False  # float matrix products rounded to 10 bits, on GPUs that support it
    seed: int = 0

    def variants(self) -> list[Variant]:
        """List the variants, model by model, FP32 first: it is the reference of every delta."""
        settings = [Bits.parse(text) for text in self.bits]
        ordered = sorted(dict.fromkeys(settings), key=lambda bits: not bits.is_float)
        return [
            Variant(model, bits, "none" if bits.is_float else self.method, draw)
            for model in self.models
            for bits in ordered
            for draw in range(1 if bits.is_float else self.calibration_draws)
        ]

    @property
    def most_pixels(self) -> int:
        """Return how many pixels an image may have."""
        return self.largest_image or catalog.LARGEST_IMAGE

    @property
    def learns(self) -> bool:
        """Return whether any score is fitted, which takes a fit set."""
        return any(catalog.SCORES[name].fitted for name in self.scores)

    @property
    def needs_fit_set(self) -> bool:
        """Return whether every variant is run on the fit set: for a fitted score, now or later."""
        return self.learns or self.keep_outputs

    def size_of(self, role: str, available: int) -> int:
        """Return how many of a set's images are evaluated."""
        if self.share is not None:
            return max(1, round(self.share * available))
        return min(self.id_images if role == "id" else self.ood_images, available)

    def calibration_seed(self, draw: int) -> int:
        """Return the seed that calibration images are drawn with."""
        return self.seed + draw

    def identity(self) -> str:
        """Return the SHA-256 of what affects a number: the canonical JSON, as if no outputs were kept."""
        without_outputs = msgspec.structs.replace(self, keep_outputs=False)
        return hashlib.sha256(msgspec.json.encode(without_outputs, order="deterministic")).hexdigest()


# Field names in JSON and in code: `method` remains `quantizer` in JSON, so that identities stay the same.
_ENCODED = dict(zip(Plan.__struct_fields__, Plan.__struct_encode_fields__, strict=True))
_FIELDS = {encoded: field for field, encoded in _ENCODED.items()}


def preset(name: str) -> Plan:
    """Return the preset plan `name`, with sets still to be chosen; raise InputError naming the nearest."""
    if name not in catalog.PRESETS:
        raise unknown_name("preset", name, catalog.PRESETS)
    return msgspec.convert(dict(catalog.PRESETS[name].plan), Plan)


def from_mapping(data: dict[str, Any]) -> Plan:
    """Build a Plan from the data of a plan file or journal; raise InputError naming the wrong field."""
    if "quantizer" in data and "method" in data:
        raise InputError("quantizer", data["quantizer"], "this is the old name of method; give only method")
    data = {_FIELDS.get(key, key): value for key, value in data.items()}
    for key in data:
        if key not in Plan.__struct_fields__:
            tables = ("folders", "id", "train", "checkpoints")
            raise unknown_name("plan field", key, (*Plan.__struct_fields__, *tables))
    if "models" not in data:
        raise InputError("models", "nothing", f"choose at least one of {', '.join(catalog.MODELS)}")
    if not catalog.is_made(str(data.get("id_set", "fractals"))):
        data = {"calibration_set": catalog.AUTO, "fit_set": catalog.AUTO, "ood_sets": (), **data}
        if not data.keys() & {"share", "id_images", "ood_images"}:
            data["share"] = 1.0
    try:
        return msgspec.convert({_ENCODED[field]: value for field, value in data.items()}, Plan)
    except msgspec.ValidationError as error:
        reason, _, where = str(error).partition(" - at `$.")
        name = where.split("`")[0].split("[")[0]
        field = _FIELDS.get(name, name) or "models"
        raise InputError(field, data.get(field), reason[0].lower() + reason[1:]) from None


def to_mapping(plan: Plan) -> dict[str, Any]:
    """Return a plan as plain data that `from_mapping` reads."""
    return {_FIELDS[name]: value for name, value in msgspec.to_builtins(plan).items()}
