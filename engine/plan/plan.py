"""The Plan: everything about a sweep that moves a number, and whether outputs are kept.

Devices and paths are not in it. The terminal, the command line and a TOML file all make the same Plan.
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

IDLE = ("keep_outputs",)  # fields that move no number; a resumed sweep must know them, the identity not


def is_identity(identity: str, plan: bytes) -> bool:
    """Return whether an identity is of a plan, given by its bytes in a header.

    Older sessions that kept outputs have the hash of all of these bytes.
    """
    alike = plan.replace(b'"keep_outputs":true', b'"keep_outputs":false')
    return identity in (hashlib.sha256(one).hexdigest() for one in (alike, plan))


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to sweep. The user's own sets and checkpoints take part by their names.

    A field that came later is unset where nobody gives it, and left out of the JSON: so a plan without it
    has the identity that it always had.
    """

    models: tuple[str, ...]
    bits: tuple[str, ...] = catalog.BITS
    method: str = msgspec.field(default="repq", name="quantizer")  # its name in journals of every format
    method_parameters: dict[str, bool | int | float | str] | Unset = UNSET  # such as {"share": 0.999}
    first_and_last: int | Unset = UNSET  # bits of patch embedding and head, where they are not the setting's
    overrides: dict[str, int] = {}  # bits of single tensors or layers, such as {"head": 8}
    id_set: str = "fractals"
    ood_sets: tuple[str, ...] = catalog.DEMO_OOD
    scores: tuple[str, ...] = ("msp", "maxlogit", "energy")
    score_parameters: dict[str, dict[str, int | float | str]] = {}  # such as {"knn": {"k": 10}}
    headline: str = "msp"
    share: float | None = None  # of every set alike, in place of the two numbers below
    id_images: int = 1500
    ood_images: int = 500
    calibration_set: str = catalog.DEMO_CALIBRATION
    fit_set: str = catalog.DEMO_FIT
    calibration_images: int = 32
    calibration_draws: int = 1  # every quantized variant is calibrated on so many draws of images
    fit_images: int = 1000  # ID images that scores learn from, where a score does
    stop_width: float | None = None  # points of AUPR-out: stop once every mean's interval is narrower
    chunk_images: int = 125
    keep_outputs: bool = False  # logits and features of every image, from which scores can be added later
    class_order: str | Unset = UNSET  # of folders of classes, where nothing else tells their labels
    largest_image: int | Unset = UNSET  # pixels; a larger one is unreadable
    tf32: bool = False  # matrix products of floats rounded to 10 bits, on GPUs that can
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
        """Tell whether a score is fitted, and so a fit set is needed."""
        return any(catalog.SCORES[name].fitted for name in self.scores)

    @property
    def needs_fit_set(self) -> bool:
        """Tell whether every variant looks at the fit set: for a score that learns, now or later."""
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
        """Return the SHA-256 of what moves a number: of the canonical JSON, as if no outputs were kept."""
        alike = msgspec.structs.replace(self, keep_outputs=False)
        return hashlib.sha256(msgspec.json.encode(alike, order="deterministic")).hexdigest()


# Names in JSON, which stay so that identities do, and in code: `method` is `quantizer` there.
_ENCODED = dict(zip(Plan.__struct_fields__, Plan.__struct_encode_fields__, strict=True))
_FIELDS = {encoded: field for field, encoded in _ENCODED.items()}


def preset(name: str) -> Plan:
    """Return the preset plan `name`, its sets still to be chosen; raise InputError naming the nearest."""
    if name not in catalog.PRESETS:
        raise unknown_name("preset", name, catalog.PRESETS)
    return msgspec.convert(dict(catalog.PRESETS[name].plan), Plan)


def from_mapping(data: dict[str, Any]) -> Plan:
    """Build a Plan from the data of a plan file or a journal; raise InputError naming the wrong field."""
    if "quantizer" in data and "method" in data:
        raise InputError("quantizer", data["quantizer"], "it is the former name of method; give only method")
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
