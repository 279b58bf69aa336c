"""What a choice costs: variants, images and a rough time."""

from __future__ import annotations

import os
from functools import cache

import msgspec

from engine import catalog, journal, sessions
from engine.errors import QoodError
from engine.folders import find_images
from engine.plan import Plan
from engine.protocol import SessionClosed, SessionResumed

DEFAULT_PACE = 0.0006  # seconds a variant and image, on two CPU cores
START_SECONDS = 10.0
SESSIONS_ASKED = 5


class Cost(msgspec.Struct, frozen=True):
    """What a plan costs; `seconds` is rough."""

    variants: int
    images: int
    seconds: float


def estimate(plan: Plan, folders: dict[str, str], pace: float | None) -> Cost:
    """Count variants and images and estimate the time from the pace of earlier sessions."""
    images = min(plan.id_images, catalog.SETS[plan.id_set].available)
    for name in plan.ood_sets:
        there = _count(folders[name], name) if name in folders else catalog.SETS[name].available
        images += min(plan.ood_images, there)
    variants = plan.variants()
    quantized = sum(not variant.bits.is_float for variant in variants)
    calibrating = quantized * catalog.QUANTIZERS[plan.quantizer].seconds / (os.cpu_count() or 1)
    sweeping = len(variants) * images * (pace or DEFAULT_PACE)
    return Cost(len(variants), images, START_SECONDS + calibrating + sweeping)


@cache
def _count(folder: str, name: str) -> int:
    return len(find_images(folder, name))


def measured_pace() -> float | None:
    """Return the seconds a variant and image of the newest finished session on this machine."""
    for folder in sessions.folders()[:SESSIONS_ASKED]:
        if folder.parent == sessions.recorded_folder():
            continue
        try:
            header, entries, _ = journal.read(folder)
        except QoodError:
            continue
        rows = journal.finished_rows(entries)
        events = [entry.event for entry in entries]
        whole = not any(isinstance(event, SessionResumed) for event in events)
        if rows and whole and isinstance(events[-1], SessionClosed) and events[-1].outcome == "finished":
            seconds = max(entries[-1].t - START_SECONDS, 0.0)
            return seconds / (rows * len(header.plan.variants()))
    return None
