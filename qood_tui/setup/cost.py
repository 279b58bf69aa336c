"""What a plan costs: variants, images, rough time, memory and disk."""

from __future__ import annotations

import os
from functools import cache

import msgspec

from engine import catalog
from engine.datasets.discover import ood_set
from engine.errors import InputError, QoodError
from engine.plan.plan import Plan
from engine.plan.resources import Resources
from engine.protocol.events import BitsTabled, ChunkFinished, Entry, SessionClosed, Telemetry
from engine.session import store
from engine.session.arrays import layout
from engine.session.outputs import bytes_of
from engine.session.session import Session
from engine.text import in_bytes

START_SECONDS = 10.0
SESSIONS_READ = 5
WORKER_BYTES = 500e6  # of a worker without models


class Pace(msgspec.Struct, frozen=True):
    """What a variant costs: seconds per image, bytes of memory and on disk; `is_measured` on this machine."""

    seconds: float
    memory: float
    packed: float
    is_measured: bool = False


# On two CPU cores, for a demo model and for a ViT-S with 22 million weights.
DEFAULT, DEFAULT_REAL = Pace(0.0003, 1.4e7, 3e5), Pace(0.065, 9e7, 2.2e7)


class Cost(msgspec.Struct, frozen=True):
    """What a plan costs; seconds and bytes are rough."""

    variants: int
    images: int
    seconds: float
    memory: float
    disk: float
    kept: float  # of the disk, for logits and features


def estimate(plan: Plan, resources: Resources, pace: Pace | None) -> Cost:
    """Count variants and images and estimate the rest from the pace of earlier sessions."""
    images = images_of(plan, resources)
    variants = plan.variants()
    quantized = sum(not variant.bits.is_float for variant in variants)
    calibrating = quantized * catalog.METHODS[plan.method].seconds / (os.cpu_count() or 1)
    usual = pace or (DEFAULT if catalog.is_made(plan.id_set) else DEFAULT_REAL)
    sweeping = len(variants) * images * usual.seconds
    row = sum(dtype.itemsize * columns for dtype, columns in layout(plan).values())
    kept = outputs_size(plan, resources)[0] if plan.keep_outputs else 0
    return Cost(
        len(variants),
        images,
        START_SECONDS + calibrating + sweeping,
        WORKER_BYTES + len(variants) * usual.memory,
        row * images + quantized * usual.packed + kept,
        kept,
    )


def images_of(plan: Plan, resources: Resources) -> int:
    """Return how many images are evaluated."""
    images = plan.size_of("id", available(plan.id_set, resources))
    return images + sum(plan.size_of("ood", available(name, resources)) for name in plan.ood_sets)


def outputs_size(plan: Plan, resources: Resources) -> tuple[int, bool]:
    """Return how many bytes the kept outputs of a plan take, and whether that is exact."""
    images, named = images_of(plan, resources), resources.checkpoints
    built = {name: named[name].model or name if name in named else name for name in plan.models}
    each = {
        name: bytes_of(*catalog.outputs_of(build), images, plan.fit_images) for name, build in built.items()
    }
    is_exact = all(name in catalog.MODELS for name in plan.models)
    return sum(each[variant.model] for variant in plan.variants()), is_exact


def in_words(size: tuple[int, bool]) -> str:
    """Return the size of outputs as shown."""
    count, is_exact = size
    return f"{'' if is_exact else 'about '}{in_bytes(count)}"


def available(name: str, resources: Resources) -> int:
    """Return how many images a set has: in its folder if known, otherwise as published."""
    if name in resources.counts:
        return resources.counts[name]
    return catalog.SETS[name].available if name in catalog.SETS else _count(resources.ood.get(name, ""))


@cache
def _count(folder: str) -> int:
    try:
        return len(ood_set("", folder).members) if folder else 0
    except InputError:
        return 0


def measured_pace(is_real: bool = False) -> Pace | None:
    """Return the pace of the newest finished session of this kind on this machine.

    A variant's memory is the least of the last sessions, as some also kept other things.
    """
    paces: list[Pace] = []
    for folder in store.folders()[:SESSIONS_READ]:
        if folder.parent == store.recorded_folder():
            continue
        try:
            session = Session.at(folder)
            ran_through = session.is_closed and session.state == "finished" and not session.resumptions
        except QoodError:
            continue
        plan = session.header.plan
        if catalog.is_made(plan.id_set) != is_real and ran_through:
            pace = _pace(_until_closed(session.entries), session.rows, len(plan.variants()))
            paces += [pace] if pace else []
    least = min((pace.memory for pace in paces), default=0.0)
    return msgspec.structs.replace(paces[0], memory=least) if paces else None


def _until_closed(entries: list[Entry]) -> list[Entry]:
    """Return the entries of a sweep without scores added later."""
    closed = next((at for at, entry in enumerate(entries) if isinstance(entry.event, SessionClosed)), -1)
    return entries[: closed + 1]


def _pace(entries: list[Entry], rows: int, variants: int) -> Pace | None:
    """Return what each variant took: its share of the chunks, and of the final measuring."""
    chunks = [entry for entry in entries if isinstance(entry.event, ChunkFinished)]
    if not rows or not chunks:
        return None
    sweeping = sum(e.event.seconds for e in chunks if isinstance(e.event, ChunkFinished))
    measuring = entries[-1].t - chunks[-1].t
    peak = max((e.event.worker_memory for e in entries if isinstance(e.event, Telemetry)), default=0)
    packed = [e.event.packed_bytes for e in entries if isinstance(e.event, BitsTabled)]
    return Pace(
        (sweeping + measuring) / (rows * variants),
        max(peak - WORKER_BYTES, 0.0) / variants,
        sum(packed) / len(packed) if packed else DEFAULT.packed,
        is_measured=True,
    )
