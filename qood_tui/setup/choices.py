"""What the set-up screen offers: every group of options for what this machine has, as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

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

NEEDS_DATA = "needs photographs: d points at their folder"
LAST = "last"
SHARE_STEP = 5


class Offer(NamedTuple):
    """What there is to choose from: the plan that was begun with, paths, and the sets below the root."""

    plan: Plan
    resources: Resources
    found: Mapping[str, DiskSet]

    @property
    def is_real(self) -> bool:
        """Tell whether photographs are swept, and not the demo's miniatures."""
        return not catalog.is_made(self.plan.id_set)


def presets(offer: Offer, *, has_last: bool) -> list[Option]:
    """Return the presets, and the last choice where one is remembered."""
    options = [Option(LAST, "last choice", "as the last sweep was started here")] if has_last else []
    for name, preset in catalog.PRESETS.items():
        is_real = not catalog.is_made(str(preset.plan.get("id_set", "fractals")))
        why = NEEDS_DATA if is_real and not offer.is_real else ""
        why = "the demo's miniatures: start without --data" if offer.is_real and not is_real else why
        options.append(Option(name, name, preset.label, why))
    return options


def models(offer: Offer) -> list[Option]:
    """Return every family with every pretraining, then the user's own models."""
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
                        Option("", label, why_not=f"no {family} was published with this pretraining")
                    )
                    continue
                why = "" if real == offer.is_real else NEEDS_DATA
                why = "knows the classes of fractals alone" if why and offer.is_real else why
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
    """Return the bit settings; FP32 is always needed."""
    every = dict.fromkeys((*catalog.BITS, *offer.plan.bits))
    return [Option(name, name, "the reference of every delta" if name == "FP32" else "") for name in every]


def methods() -> list[Option]:
    """Return the quantization methods."""
    return [Option(name, name, one.label) for name, one in catalog.METHODS.items()]


def sets(offer: Offer, role: str) -> list[Option]:
    """Return the sets of a role: those that are there, then those that are not, with the reason."""
    options, missing = [], []
    for one in catalog.SETS.values():
        if one.role != role or one.made == offer.is_real:
            continue
        if one.made or one.name in offer.resources.counts or one.name in offer.found:
            images = available(one.name, offer.resources)
            options.append(Option(one.name, one.name, f"{images:,} images, {one.label}"))
        else:
            missing.append(Option(one.name, one.name, one.label, "not below the folder of image sets"))
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


def scores() -> list[Option]:
    """Return the OOD scores, with what they assume."""
    options = []
    for name, score in catalog.SCORES.items():
        learns = "learns from the fit set" if score.fitted else ""
        options.append(Option(name, score.label, ", ".join(filter(None, (learns, score.note)))))
    return options


def sizes(plan: Plan, resources: Resources) -> list[Field]:
    """Return the numbers of a plan, with what limits them."""
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
    fit = "for scores that learn" if plan.needs_fit_set else "no chosen score learns"
    return [
        *parts,
        Field("calibration_images", "calibration", plan.calibration_images, 8, "images quantizers see"),
        Field(
            "calibration_draws",
            "draws of it",
            plan.calibration_draws,
            1,
            "each calibrates every variant anew",
        ),
        Field("fit_images", "fit images", plan.fit_images, 100, fit),
        Field(
            "stop_width",
            "stop at width",
            int(plan.stop_width or 0),
            1,
            _stop_note(plan),
        ),
        Field("seed", "seed", plan.seed, 1, "of order, calibration set and bootstrap"),
        Field(
            "keep_outputs",
            "keep outputs",
            int(plan.keep_outputs),
            1,
            f"{in_words(outputs_size(plan, resources))} of logits and features: scores can be added later",
            ("no", "yes"),
        ),
    ]


def _stop_note(plan: Plan) -> str:
    exactly = f"exactly {short(plan.stop_width, 6)}, " if plan.stop_width and plan.stop_width % 1 else ""
    return f"{exactly}points of the widest interval, 0 never"


def _limit(wanted: int, there: int) -> str:
    return f"of {there:,} a set" if wanted <= there else f"only {there:,} are there"


def with_sizes(plan: Plan, numbers: Mapping[str, int]) -> Plan:
    """Return a plan with the numbers that were set."""
    changes: dict[str, int | float | None] = {**numbers}
    if "share" in numbers:  # what is shown is rounded: the plan's own value stays until it is changed
        is_kept = plan.share is not None and numbers["share"] == round(plan.share * 100)
        changes["share"] = plan.share if is_kept else numbers["share"] / 100
    if "stop_width" in numbers:
        is_kept = plan.stop_width is not None and numbers["stop_width"] == int(plan.stop_width)
        changes["stop_width"] = plan.stop_width if is_kept else numbers["stop_width"] or None
    if "keep_outputs" in numbers:
        changes["keep_outputs"] = bool(numbers["keep_outputs"])
    return msgspec.structs.replace(plan, **changes)
