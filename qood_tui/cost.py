"""What a choice costs: variants, images and a rough time."""

from __future__ import annotations

import os
from functools import cache

import msgspec

from engine import catalog, journal, sessions
from engine.datasets.walk import images_below
from engine.errors import QoodError
from engine.plan import Plan
from engine.protocol import SessionClosed, SessionResumed
from engine.resources import Resources

# Seconds a variant and image on two CPU cores, of a micro model and of a ViT-S.
DEFAULT_PACE, DEFAULT_REAL_PACE = 0.0006, 0.065
START_SECONDS = 10.0
SESSIONS_ASKED = 5


class Cost(msgspec.Struct, frozen=True):
    """What a plan costs; `seconds` is rough."""

    variants: int
    images: int
    seconds: float


def estimate(plan: Plan, resources: Resources, pace: float | None) -> Cost:
    """Count variants and images and estimate the time from the pace of earlier sessions."""
    images = plan.size_of("id", _available(plan.id_set, resources))
    images += sum(plan.size_of("ood", _available(name, resources)) for name in plan.ood_sets)
    variants = plan.variants()
    quantized = sum(not variant.bits.is_float for variant in variants)
    calibrating = quantized * catalog.QUANTIZERS[plan.quantizer].seconds / (os.cpu_count() or 1)
    default = DEFAULT_PACE if catalog.is_made(plan.id_set) else DEFAULT_REAL_PACE
    sweeping = len(variants) * images * (pace or default)
    return Cost(len(variants), images, START_SECONDS + calibrating + sweeping)


def _available(name: str, resources: Resources) -> int:
    """Return how many images a set has: those of a folder, else what is published."""
    if name in resources.counts:
        return resources.counts[name]
    return catalog.SETS[name].available if name in catalog.SETS else _count(resources.ood.get(name, ""))


@cache
def _count(folder: str) -> int:
    return len(images_below(folder).files)


def measured_pace(is_real: bool = False) -> float | None:
    """Return the seconds a variant and image of the newest finished session like this on this machine."""
    for folder in sessions.folders()[:SESSIONS_ASKED]:
        if folder.parent == sessions.recorded_folder():
            continue
        try:
            header, entries, _ = journal.read(folder)
        except QoodError:
            continue
        rows = journal.finished_rows(entries)
        events = [entry.event for entry in entries]
        if catalog.is_made(header.plan.id_set) == is_real:
            continue
        whole = not any(isinstance(event, SessionResumed) for event in events)
        if rows and whole and isinstance(events[-1], SessionClosed) and events[-1].outcome == "finished":
            seconds = max(entries[-1].t - START_SECONDS, 0.0)
            return seconds / (rows * len(header.plan.variants()))
    return None
