"""What the set-up screen offers: every group of choices for this machine, as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import msgspec

from engine import catalog
from engine.datasets.disk_set import DiskSet
from engine.plan.plan import Plan
from engine.plan.resources import Resources
from engine.text import short
from qood_tui.setup.cost import available, in_words, outputs_size
from qood_tui.widgets.numbers import Field
from qood_tui.widgets.picks import Option
from qood_tui.words import clean

NEEDS_DATA = "needs photographs: press d to choose their folder"
LAST = "last"
SHARE_STEP = 5


class Offer(NamedTuple):
    """What there is to choose from: the initial plan, paths, and the image sets in the data folder."""

    plan: Plan
    resources: Resources
    found: Mapping[str, DiskSet]
    has_last: bool = False  # a choice made earlier on this machine can be made again

    @property
    def is_real(self) -> bool:
        """Return whether photographs are swept rather than the demo's miniatures."""
        return not catalog.is_made(self.plan.id_set)


def presets(offer: Offer) -> list[Option]:
    """Return the presets, and the last choice if there is one."""
    options = [Option(LAST, "last choice", "the last sweep started here")] if offer.has_last else []
    for name, preset in catalog.PRESETS.items():
        is_real = not catalog.is_made(str(preset.plan.get("id_set", "fractals")))
        why = NEEDS_DATA if is_real and not offer.is_real else ""
        why = "the demo's miniatures: start qood-tui without --data" if offer.is_real and not is_real else why
        options.append(Option(name, name, preset.label, why))
    return options


def models(offer: Offer) -> list[Option]:
    """Return the user's own models, then every family with every pretraining."""
    options = []
    for real in (offer.is_real, not offer.is_real):
        shown = [m for m in catalog.MODELS.values() if (m.trained_on == "imagenet") == real]
        by_place = {(m.family, m.pretraining): m for m in shown}
        for family in dict.fromkeys(m.family for m in shown):
            for pretraining in dict.fromkeys(m.pretraining for m in shown):
                model = by_place.get((family, pretraining))
                if model is None:
                    label = f"{family} {pretraining.replace('ImageNet-', '')}"
                    options.append(
                        Option("", label, why_not=f"no {family} has been published with this pretraining")
                    )
                    continue
                why = "" if real == offer.is_real else NEEDS_DATA
                why = "knows only the classes of fractals" if why and offer.is_real else why
                note = (
                    f"stands for {model.stands_for}" if model.trained_on != "imagenet" else model.stands_for
                )
                options.append(Option(model.name, model.short, note, why))
    own = dict.fromkeys((*offer.resources.checkpoints, *offer.plan.models))
    return [
        *(
            Option(name, clean(name), "your own", "" if offer.is_real else NEEDS_DATA)
            for name in own
            if name not in catalog.MODELS
        ),
        *options,
    ]


def bits(offer: Offer) -> list[Option]:
    """Return the bit settings; FP32 is always swept."""
    every = dict.fromkeys((*catalog.BITS, *offer.plan.bits))
    return [Option(name, name, "the reference for every delta" if name == "FP32" else "") for name in every]


def methods(offer: Offer) -> list[Option]:
    """Return the quantization methods."""
    return [Option(name, name, one.label) for name, one in catalog.METHODS.items()]


def sets(offer: Offer, role: str) -> list[Option]:
    """Return the sets of a role: available ones, then missing ones with the reason."""
    options, missing = [], []
    for one in catalog.SETS.values():
        if one.role != role or one.made == offer.is_real:
            continue
        if one.made or one.name in offer.resources.counts or one.name in offer.found:
            images = available(one.name, offer.resources)
            options.append(Option(one.name, one.name, f"{images:,} images, {one.label}"))
        else:
            missing.append(Option(one.name, one.name, one.label, "not in the data folder"))
    own = {"ood": offer.resources.ood, "id": offer.resources.id, "train": offer.resources.train}[role]
    others = [name for name, one in offer.found.items() if one.role == role and name not in catalog.SETS]
    taken = {option.name for option in (*options, *missing)}
    for name in dict.fromkeys((*own, *others)):
        if name not in taken:
            found = offer.found.get(name)
            images = len(found.members) if found else available(name, offer.resources)
            options.append(Option(name, clean(name), f"{images:,} images, your own"))
    if role == "train" and offer.is_real:
        options.append(Option(catalog.HELD_OUT, catalog.HELD_OUT, "a tenth of the ID set, never evaluated"))
    return [*options, *missing]


def scores(offer: Offer) -> list[Option]:
    """Return the OOD scores with their assumptions."""
    options = []
    for name, score in catalog.SCORES.items():
        fitted = "fitted on the fit set" if score.fitted else ""
        options.append(Option(name, score.label, ", ".join(filter(None, (fitted, score.note)))))
    return options


class Group(NamedTuple):
    """A list of choices on the set-up screen, and the part of the plan that it sets."""

    label: str
    options: Callable[[Offer], list[Option]]
    chosen: Callable[[Plan], tuple[str, ...]]
    changes: Callable[[Plan, tuple[str, ...]], dict[str, Any]]  # of the plan, for the names chosen
    single: bool = False  # exactly one can be chosen
    title: str = ""  # of the list, if longer than the label


def _calibration_changes(plan: Plan, names: tuple[str, ...]) -> dict[str, Any]:
    """Calibrate and fit on another set; a plan that has two different ones keeps them."""
    if not names or names[0] == plan.calibration_set:
        return {}
    return {"calibration_set": names[0], "fit_set": names[0]}


def _method_changes(plan: Plan, names: tuple[str, ...]) -> dict[str, Any]:
    """Take another method with its default parameters; the plan's own method keeps its parameters."""
    method = "".join(names)
    kept = plan.method_parameters if method == plan.method else msgspec.UNSET
    return {"method": method, "method_parameters": kept}


def _score_changes(plan: Plan, names: tuple[str, ...]) -> dict[str, Any]:
    parameters = {name: value for name, value in plan.score_parameters.items() if name in names}
    return {"scores": names, "score_parameters": parameters}


GROUPS = {
    "presets": Group("Preset", presets, lambda plan: (), lambda plan, names: {}, single=True),
    "models": Group(
        "Models",
        models,
        lambda plan: plan.models,
        lambda plan, names: {"models": names},
        title="Models × pretraining",
    ),
    "method": Group(
        "Method",
        methods,
        lambda plan: (plan.method,),
        _method_changes,
        single=True,
        title="Quantization method",
    ),
    "bits": Group("Bit settings", bits, lambda plan: plan.bits, lambda plan, names: {"bits": names}),
    "id_set": Group(
        "ID set",
        partial(sets, role="id"),
        lambda plan: (plan.id_set,),
        lambda plan, names: {"id_set": "".join(names) or plan.id_set},
        single=True,
    ),
    "calibration_set": Group(
        "Calibration set",
        partial(sets, role="train"),
        lambda plan: (plan.calibration_set,),
        _calibration_changes,
        single=True,
        title="Calibration and fit set",
    ),
    "ood_sets": Group(
        "OOD sets",
        partial(sets, role="ood"),
        lambda plan: plan.ood_sets,
        lambda plan, names: {"ood_sets": names},
    ),
    "scores": Group("Scores", scores, lambda plan: plan.scores, _score_changes, title="Scores, ★ headline"),
}
SIZES = "sizes"  # a list of numbers among the groups
# Columns of a wide terminal, each with its groups from top to bottom; digit keys select groups in this order.
COLUMNS = (
    ("presets", "models", "method"),
    ("bits", "id_set", "calibration_set", SIZES),
    ("ood_sets", "scores"),
)
ORDER = tuple(name for column in COLUMNS for name in column)
KEYS = dict(zip(ORDER, "1234567890", strict=False))  # of groups; any beyond ten have none
LABELS = {name: GROUPS[name].label if name in GROUPS else "Sizes" for name in ORDER}


def with_choices(plan: Plan, chosen: Mapping[str, tuple[str, ...]], headline: str) -> Plan:
    """Return a plan with the names chosen in each group, whether or not it can be swept."""
    changes: dict[str, Any] = {}
    for name, group in GROUPS.items():
        changes |= group.changes(plan, chosen[name])
    scores = changes["scores"]
    changes["headline"] = headline if headline in scores or not scores else scores[0]
    return msgspec.structs.replace(plan, **changes)


def sizes(plan: Plan, resources: Resources) -> list[Field]:
    """Return the numbers of a plan with their limits."""
    there = available(plan.id_set, resources)
    least = min((available(name, resources) for name in plan.ood_sets), default=0)
    if plan.share is not None:
        share = round(plan.share * 100)
        parts = [
            Field("share", "% of each set", share, SHARE_STEP, f"{plan.size_of('id', there):,} ID images")
        ]
    else:
        parts = [
            Field("id_images", "ID images", plan.id_images, 100, _limit(plan.id_images, there)),
            Field("ood_images", "OOD images", plan.ood_images, 50, _limit(plan.ood_images, least)),
        ]
    fit = "for fitted scores" if plan.needs_fit_set else "no selected score is fitted"
    return [
        *parts,
        Field("calibration_images", "calibration", plan.calibration_images, 8, "images to calibrate on"),
        Field(
            "calibration_draws",
            "calibration draws",
            plan.calibration_draws,
            1,
            "each recalibrates every variant",
        ),
        Field("fit_images", "fit images", plan.fit_images, 100, fit),
        Field(
            "stop_width",
            "stop at width",
            int(plan.stop_width or 0),
            1,
            _stop_note(plan),
        ),
        Field("seed", "seed", plan.seed, 1, "for order, calibration set and bootstrap"),
        Field(
            "keep_outputs",
            "keep outputs",
            int(plan.keep_outputs),
            1,
            f"{in_words(outputs_size(plan, resources))} of logits and features, to add scores later",
            ("no", "yes"),
        ),
    ]


def _stop_note(plan: Plan) -> str:
    exactly = f"exactly {short(plan.stop_width, 6)}, " if plan.stop_width and plan.stop_width % 1 else ""
    return f"{exactly}points, once every interval is narrower; 0: never"


def _limit(wanted: int, available: int) -> str:
    return f"of {available:,} per set" if wanted <= available else f"only {available:,} available"


def with_sizes(plan: Plan, numbers: Mapping[str, int]) -> Plan:
    """Return a plan with these numbers."""
    changes: dict[str, int | float | None] = {**numbers}
    if "share" in numbers:  # shown rounded: the plan keeps its own value until it is changed
        is_kept = plan.share is not None and numbers["share"] == round(plan.share * 100)
        changes["share"] = plan.share if is_kept else numbers["share"] / 100
    if "stop_width" in numbers:
        is_kept = plan.stop_width is not None and numbers["stop_width"] == int(plan.stop_width)
        changes["stop_width"] = plan.stop_width if is_kept else numbers["stop_width"] or None
    if "keep_outputs" in numbers:
        changes["keep_outputs"] = bool(numbers["keep_outputs"])
    return msgspec.structs.replace(plan, **changes)
