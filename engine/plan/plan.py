"""The Plan: everything about a sweep that moves a number, and whether outputs are kept.

Devices and paths are not in it. The terminal, the command line and a TOML file all make the same Plan.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec
from msgspec import UNSET
from msgspec import UnsetType as Unset

from engine import catalog
from engine.errors import InputError, unknown_name
from engine.plan.resources import Resources

FLOAT = 32
_BITS = re.compile(r"W(\d{1,2})A(\d{1,2})", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
MOST_NAMES = 200
LEAST_PIXELS = 1024
MOST_DRAWS = 100
MOST_VARIANTS = 2000
IDLE = ("keep_outputs",)  # fields that move no number; a resumed sweep must know them, the identity not


def is_identity(identity: str, plan: bytes) -> bool:
    """Return whether an identity is of a plan, given by its bytes in a header.

    Older sessions that kept outputs have the hash of all of these bytes.
    """
    alike = plan.replace(b'"keep_outputs":true', b'"keep_outputs":false')
    return identity in (hashlib.sha256(one).hexdigest() for one in (alike, plan))


class Bits(msgspec.Struct, frozen=True):
    """Weight and activation width in bits; 32 stands for floating point."""

    weight: int = FLOAT
    activation: int = FLOAT

    def __str__(self) -> str:
        return "FP32" if self.is_float else f"W{self.weight}A{self.activation}"

    @property
    def is_float(self) -> bool:
        """Tell whether nothing is quantized."""
        return self.weight == FLOAT and self.activation == FLOAT

    @classmethod
    def parse(cls, text: str) -> Bits:
        """Read `FP32`, `W4A8` and the like; raise InputError naming the field `bits`."""
        if text.upper() == "FP32":
            return cls()
        found = _BITS.fullmatch(text)
        widths = [int(width) for width in found.groups()] if found else []
        if not widths or any(not 2 <= width <= 8 and width != FLOAT for width in widths):
            near = unknown_name("bits", text, catalog.BITS).right
            raise InputError("bits", text, f"{near} (any WxAy from 2 to 8 bits, or 32 for floating point)")
        return cls(*widths)


class Variant(msgspec.Struct, frozen=True):
    """One model at one bit setting: a column of every score array."""

    model: str
    bits: Bits
    quantizer: str
    draw: int = 0  # which draw of calibration images, from 0

    @property
    def key(self) -> str:
        """Return the name of the variant: `vit-wide W4A4`, and `vit-wide W4A4 #2` for a second draw."""
        name = f"{self.model} {self.bits}"
        return f"{name} #{self.draw + 1}" if self.draw else name

    @property
    def stem(self) -> str:
        """Return the key as part of a file's name: `vit-wide_W4A4`, and `vit-wide_W4A4_2`."""
        return self.key.replace(" ", "_").replace("#", "")

    @property
    def baseline(self) -> str:
        """Return the key of the FP32 variant of the same model."""
        return f"{self.model} FP32"


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to sweep. The user's own sets and checkpoints take part by their names.

    A field that came later is unset where nobody gives it, and left out of the JSON: so a plan without it
    has the identity that it always had.
    """

    models: tuple[str, ...]
    bits: tuple[str, ...] = catalog.BITS
    quantizer: str = "repq"
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
            Variant(model, bits, "none" if bits.is_float else self.quantizer, draw)
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


def preset(name: str) -> Plan:
    """Return the preset plan `name`, its sets still to be chosen; raise InputError naming the nearest."""
    if name not in catalog.PRESETS:
        raise unknown_name("preset", name, catalog.PRESETS)
    return msgspec.convert(dict(catalog.PRESETS[name].plan), Plan)


def from_mapping(data: dict[str, Any]) -> Plan:
    """Build a Plan from plain data; raise InputError naming the field that is wrong."""
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
        return msgspec.convert(data, Plan)
    except msgspec.ValidationError as error:
        reason, _, where = str(error).partition(" - at `$.")
        field = where.split("`")[0].split("[")[0] or "models"
        raise InputError(field, data.get(field), reason[0].lower() + reason[1:]) from None


def validated(plan: Plan, resources: Resources | None = None) -> Plan:
    """Return `plan`, its bit settings as they are written here, FP32 first.

    Raises InputError unless every name is known and every size makes sense.
    """
    there = resources or Resources()
    for name in plan.models:
        if name not in catalog.MODELS and name not in there.checkpoints and not catalog.is_timm_name(name):
            raise unknown_name("models", name, [*catalog.MODELS, *there.checkpoints])
    settings = sorted(map(Bits.parse, plan.bits), key=lambda bits: not bits.is_float)
    plan = msgspec.structs.replace(plan, bits=tuple(map(str, settings)))
    _check_names("models", plan.models, plan.models)
    _check_names("quantizer", (plan.quantizer,), catalog.QUANTIZERS)
    own = {"id": there.id, "ood": there.ood, "train": there.train}
    sets = {role: [*(s.name for s in catalog.SETS.values() if s.role == role), *own[role]] for role in own}
    _check_names("id_set", (plan.id_set,), sets["id"])
    _check_names("ood_sets", plan.ood_sets, sets["ood"])
    for field in ("calibration_set", "fit_set"):
        _check_names(field, (getattr(plan, field),), [*sets["train"], catalog.HELD_OUT])
    _check_names("scores", plan.scores, catalog.SCORES)
    _check_names("headline", (plan.headline,), plan.scores)
    for name in plan.score_parameters:
        _check_names("score_parameters", (name,), plan.scores)
    check_shape(plan)
    _check_demo(plan)
    _check_sizes(plan)
    if plan.first_and_last is not UNSET:
        check_width("first_and_last", plan.first_and_last, plan.first_and_last)
    for pattern, width in plan.overrides.items():
        check_width("overrides", width, f"{pattern} = {width}")
    return plan


def check_width(field: str, width: int, given: object) -> None:
    """Raise InputError naming the field if a tensor cannot have `width` bits."""
    if not 2 <= width <= 8 and width != FLOAT:
        raise InputError(field, given, "give 2 to 8 bits, or 32 for floating point")


def _check_sizes(plan: Plan) -> None:
    """Raise InputError naming a size that makes no sense."""
    if (
        plan.calibration_set == catalog.DEMO_CALIBRATION
        and plan.calibration_images > catalog.CALIBRATION_IMAGES
    ):
        most = f"the calibration pool holds {catalog.CALIBRATION_IMAGES} images"
        raise InputError("calibration_images", plan.calibration_images, most)
    if plan.fit_set == catalog.DEMO_FIT and plan.fit_images > catalog.FIT_IMAGES:
        raise InputError("fit_images", plan.fit_images, f"the fit pool holds {catalog.FIT_IMAGES} images")
    if plan.stop_width is not None and not 0 < plan.stop_width <= 100:
        raise InputError("stop_width", plan.stop_width, "give a width above 0 and up to 100 points")
    if plan.share is not None and not 0 < plan.share <= 1:
        raise InputError("share", plan.share, "give a share of every set, above 0 and up to 1")
    limits = {"id_images": 20, "ood_images": 20, "calibration_images": 1, "fit_images": 2, "chunk_images": 1}
    for field, least in limits.items():
        if getattr(plan, field) < least:
            raise InputError(field, getattr(plan, field), f"give {least} or more")
    if plan.most_pixels < LEAST_PIXELS:
        right = f"give {LEAST_PIXELS:,} pixels or more"
        raise InputError("largest_image", plan.largest_image, right)
    if plan.class_order and plan.class_order not in catalog.CLASS_ORDERS:
        raise unknown_name("class_order", plan.class_order, catalog.CLASS_ORDERS)
    if not 0 <= plan.seed < 2**32:
        raise InputError("seed", plan.seed, "give a whole number from 0 to 4294967295")


def _check_demo(plan: Plan) -> None:
    """Raise InputError where the demo's miniatures, of 32 by 32 pixels, are mixed with anything real."""
    real = [name for name in plan.models if name not in catalog.DEMO_MODELS]
    sets = (plan.id_set, plan.calibration_set, plan.fit_set)
    made = [name for name in (*sets, *plan.ood_sets) if catalog.is_made(name)]
    if real and made:
        field = "id_set" if made[0] == plan.id_set else "ood_sets"
        right = f"{real[0]} takes photographs: name an ID set and OOD sets of your own, with --data or --id"
        raise InputError(field, made[0], right)
    if not real and not all(catalog.is_made(name) for name in sets):
        raise InputError("id_set", plan.id_set, f"{plan.models[0]} knows the classes of fractals alone")


def check_shape(plan: Plan) -> None:
    """Raise InputError if a plan from a stranger could not be shown; its names need not be in the catalog."""
    for field in ("models", "bits", "ood_sets", "scores"):
        names = getattr(plan, field)
        if not 1 <= len(names) <= MOST_NAMES or len(set(names)) < len(names):
            raise InputError(field, f"{len(names)} names", f"1 to {MOST_NAMES} different names are needed")
    sets = (plan.id_set, *plan.ood_sets, plan.calibration_set, plan.fit_set)
    for name in (*plan.models, *sets, *plan.scores, plan.quantizer):
        if not _NAME.fullmatch(name):
            raise InputError("name", name[:40], "letters, digits and . _ + - are needed")
    if taken := {"samples", "rank", "nll", "brier", "outputs"} & set(plan.scores):
        raise InputError("scores", sorted(taken)[0], "an array of every session has this name")
    if not 1 <= plan.calibration_draws <= MOST_DRAWS:
        raise InputError("calibration_draws", plan.calibration_draws, f"give 1 to {MOST_DRAWS}")
    most = len(plan.models) * len(plan.bits) * plan.calibration_draws
    if most > MOST_VARIANTS:
        raise InputError("models", f"{most:,} variants", f"at most {MOST_VARIANTS:,} are possible")
    if Bits() not in map(Bits.parse, plan.bits):
        raise InputError("bits", list(plan.bits), "FP32 is needed too, every delta refers to it")
    if plan.headline not in plan.scores:
        raise InputError("headline", plan.headline, "one of the scores is needed")


def _check_names(field: str, given: tuple[str, ...], known: Any) -> None:
    if not given:
        raise InputError(field, [], f"choose at least one of {', '.join(known)}")
    for name in given:
        if name not in known:
            raise unknown_name(field, name, known)
    if len(set(given)) < len(given):
        raise InputError(field, list(given), "name each only once")
