"""Validation of plans: the user's own, and those from strangers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET

from engine import catalog
from engine.errors import InputError, unknown_name
from engine.plan.bits import Bits, check_width
from engine.plan.plan import Plan
from engine.plan.resources import Resources

MOST_NAMES = 200
MOST_DRAWS = 100
MOST_VARIANTS = 2000
LEAST_PIXELS = 1024
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")


def validated(plan: Plan, resources: Resources | None = None) -> Plan:
    """Return `plan` with its bit settings in canonical form, FP32 first.

    Raises InputError unless every name is known and every size makes sense.
    """
    resources = resources or Resources()
    for name in plan.models:
        if (
            name not in catalog.MODELS
            and name not in resources.checkpoints
            and not catalog.is_timm_name(name)
        ):
            raise unknown_name("models", name, [*catalog.MODELS, *resources.checkpoints])
    settings = sorted(map(Bits.parse, plan.bits), key=lambda bits: not bits.is_float)
    plan = msgspec.structs.replace(plan, bits=tuple(map(str, settings)))
    _check_names("models", plan.models, plan.models)
    _check_names("method", (plan.method,), catalog.METHODS)
    own = {"id": resources.id, "ood": resources.ood, "train": resources.train}
    sets = {role: [*(s.name for s in catalog.SETS.values() if s.role == role), *own[role]] for role in own}
    _check_names("id_set", (plan.id_set,), sets["id"])
    _check_names("ood_sets", plan.ood_sets, sets["ood"])
    for field in ("calibration_set", "fit_set"):
        _check_names(field, (getattr(plan, field),), [*sets["train"], catalog.HELD_OUT])
    _check_names("scores", plan.scores, catalog.SCORES)
    _check_names("headline", (plan.headline,), plan.scores)
    for name, parameters in plan.score_parameters.items():
        _check_names("score_parameters", (name,), plan.scores)
        _check_finite("score_parameters", parameters)
    if plan.method_parameters is not UNSET:
        _check_finite("method_parameters", plan.method_parameters)
        plan = msgspec.structs.replace(plan, method_parameters=plan.method_parameters or UNSET)
    check_shape(plan)
    _check_demo(plan)
    _check_sizes(plan)
    if plan.first_and_last is not UNSET:
        check_width("first_and_last", plan.first_and_last, plan.first_and_last)
    for pattern, width in plan.overrides.items():
        check_width("overrides", width, f"{pattern} = {width}")
    return plan


def _check_finite(field: str, parameters: Mapping[str, object]) -> None:
    """Raise InputError naming a parameter that JSON cannot express; the engine checks its type."""
    for name, value in parameters.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(field, f"{name} = {value}", "a finite number is needed")


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
    """Raise InputError if the demo's miniatures, of 32 by 32 pixels, are mixed with anything real."""
    real = [name for name in plan.models if name not in catalog.DEMO_MODELS]
    sets = (plan.id_set, plan.calibration_set, plan.fit_set)
    made = [name for name in (*sets, *plan.ood_sets) if catalog.is_made(name)]
    if real and made:
        field = "id_set" if made[0] == plan.id_set else "ood_sets"
        right = f"{real[0]} takes photographs: give your own ID and OOD sets with --data or --id"
        raise InputError(field, made[0], right)
    if not real and not all(catalog.is_made(name) for name in sets):
        raise InputError("id_set", plan.id_set, f"{plan.models[0]} knows only the classes of fractals")


def check_shape(plan: Plan) -> None:
    """Raise InputError if a stranger's plan cannot be shown; its names need not be in the catalog."""
    for field in ("models", "bits", "ood_sets", "scores"):
        names = getattr(plan, field)
        if not 1 <= len(names) <= MOST_NAMES or len(set(names)) < len(names):
            raise InputError(field, f"{len(names)} names", f"1 to {MOST_NAMES} different names are needed")
    sets = (plan.id_set, *plan.ood_sets, plan.calibration_set, plan.fit_set)
    for name in (*plan.models, *sets, *plan.scores, plan.method):
        if not _NAME.fullmatch(name):
            raise InputError("name", name[:40], "letters, digits and . _ + - are needed")
    if taken := {"samples", "rank", "nll", "brier", "outputs"} & set(plan.scores):
        raise InputError("scores", sorted(taken)[0], "every session has an array of this name")
    if not 1 <= plan.calibration_draws <= MOST_DRAWS:
        raise InputError("calibration_draws", plan.calibration_draws, f"give 1 to {MOST_DRAWS}")
    most = len(plan.models) * len(plan.bits) * plan.calibration_draws
    if most > MOST_VARIANTS:
        raise InputError("models", f"{most:,} variants", f"at most {MOST_VARIANTS:,} are possible")
    if Bits() not in map(Bits.parse, plan.bits):
        raise InputError("bits", list(plan.bits), "FP32 is needed too; every delta refers to it")
    if plan.headline not in plan.scores:
        raise InputError("headline", plan.headline, "one of the scores is needed")


def _check_names(field: str, names: tuple[str, ...], choices: Any) -> None:
    if not names:
        raise InputError(field, [], f"choose at least one of {', '.join(choices)}")
    for name in names:
        if name not in choices:
            raise unknown_name(field, name, choices)
    if len(set(names)) < len(names):
        raise InputError(field, list(names), "name each only once")
