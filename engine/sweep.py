"""The sweep: calibrate every variant, then show all of them the same images, chunk by chunk."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from engine import catalog, resume
from engine.arrays import Arrays, ArrayWriter, layout
from engine.errors import EngineError, QoodError, QuantizeError
from engine.images import demo, order
from engine.images.folder import FolderImages
from engine.images.source import Geometry, ImageSet, Pixels
from engine.measure import table
from engine.models.loaded import Loaded, load, normalise
from engine.plan import Plan, Variant
from engine.protocol import (
    AnyEvent,
    ChunkFinished,
    CurvesDrawn,
    ImageUnreadable,
    Job,
    Logged,
    PhaseChanged,
    SetReady,
    SetsPrepared,
    VariantFailed,
    VariantReady,
)
from engine.quantize.bit_table import tabulate
from engine.quantize.sites import Widths
from engine.scores.logits import negative_log_likelihood, rank_of_label

Emit = Callable[[AnyEvent], None]
Indices = NDArray[np.int64]

FINAL_RESAMPLES, INTERIM_RESAMPLES = 1000, 100
FINAL_POINTS, INTERIM_POINTS = 128, 24
FIRST_CURVE_ROWS = 250
MEASURE_STEP = 1.4  # interim measures each time this many times as many rows are finished


class Cancelled(Exception):
    """The user asked to stop; what is finished is kept."""


class Ready(NamedTuple):
    """A calibrated variant on its device."""

    variant: Variant
    model: nn.Module
    source: Loaded


class Images(NamedTuple):
    """All sets of a sweep and the order in which their images are shown."""

    sets: list[ImageSet]
    which: Indices
    places: Indices  # of each image in its set


def sweep(job: Job, emit: Emit, cancelled: Callable[[], bool], pool: ThreadPoolExecutor) -> None:
    """Run a job to its end; raise Cancelled, or a QoodError in words the user can act on."""
    plan, session = job.plan, Path(job.session)
    device = torch.device(job.device)
    emit(PhaseChanged("images"))
    images = prepare_images(plan, job.folders)
    calibration = demo.load_calibration(plan.calibration_images)
    prepared = describe(plan, images, calibration)
    known = resume.check(session, plan, prepared) if job.first_row else {}
    emit(prepared)
    writer = ArrayWriter(session, plan, len(images.which))
    emit(PhaseChanged("calibrating", f"{len(plan.variants())} variants on {plan.calibration_images} images"))
    variants = calibrate_all(plan, calibration, device, emit, cancelled, pool, known)
    emit(PhaseChanged("sweeping", f"{len(images.which)} images"))
    progress = Progress(plan, Arrays(session, plan), variants, emit)
    for first in range(job.first_row, len(images.which), plan.chunk_images):
        started = time.monotonic()
        chunk = score_chunk(plan, images, first, variants, device, emit, cancelled, pool)
        rows = len(chunk["samples"])
        digests = writer.write(first, chunk)
        emit(ChunkFinished(first, rows, round(time.monotonic() - started, 3), digests))
        progress.measure(first + rows, len(images.which), pool)
    if job.first_row >= len(images.which):  # interrupted between the last chunk and the final measures
        progress.measure(len(images.which), len(images.which), pool)


def prepare_images(plan: Plan, folders: dict[str, str]) -> Images:
    """Load every set and draw the order of the sweep."""
    sets = [open_set(name, folders) for name in (plan.id_set, *plan.ood_sets)]
    sizes = [plan.id_images, *[plan.ood_images] * len(plan.ood_sets)]
    drawn = [
        order.draw(images.labels, min(size, len(images.labels)), plan.seed + i)
        for i, (images, size) in enumerate(zip(sets, sizes, strict=True))
    ]
    which, place = order.interleave([len(part) for part in drawn])
    index = np.array([drawn[s][p] for s, p in zip(which, place, strict=True)], np.int64)
    return Images(sets, which, index)


def open_set(name: str, folders: dict[str, str]) -> ImageSet:
    """Return the set `name`: one of the user's folders or one of the catalog."""
    if name in folders:
        return FolderImages(name, folders[name])
    opened: ImageSet = catalog.resolve(catalog.SETS[name].target)(name)
    return opened


def describe(plan: Plan, images: Images, calibration: ImageSet) -> SetsPrepared:
    """Return the event that says which images take part, by the hash of their contents."""
    ready = tuple(
        SetReady(s.name, s.role, s.label, len(chosen), s.digest(chosen))
        for i, s in enumerate(images.sets)
        for chosen in [images.places[images.which == i]]
    )
    everything = np.arange(plan.calibration_images)
    used = SetReady(
        calibration.name, calibration.role, calibration.label, len(everything), calibration.digest(everything)
    )
    return SetsPrepared(ready, len(images.which), used)


def calibrate_all(
    plan: Plan,
    calibration: ImageSet,
    device: torch.device,
    emit: Emit,
    cancelled: Callable[[], bool],
    pool: ThreadPoolExecutor,
    known: dict[str, str],
) -> list[Ready | None]:
    """Quantize every variant; one that fails is None and is said, the others go on."""
    models = {name: load(name, device) for name in plan.models}
    everything = np.arange(plan.calibration_images)
    pixels = {
        geometry: torch.from_numpy(calibration.read(everything, geometry)[0]).to(device)
        for geometry in {loaded.geometry for loaded in models.values()}
    }

    def calibrate(variant: Variant) -> Ready | None:
        if cancelled():
            raise Cancelled
        started = time.monotonic()
        source = models[variant.model]
        try:
            model = quantize(variant, source, pixels[source.geometry], plan.overrides)
        except QuantizeError as error:
            emit(VariantFailed(variant.key, str(error)))
            return None
        digest = state_digest(model)
        if known.get(variant.key, digest) != digest:
            raise EngineError(
                f"{variant.key}: quantizing it again gave other weights than before the interruption; "
                "the finished rows cannot be continued here, start a new session"
            )
        if not variant.bits.is_float:
            emit(tabulate(variant.key, model, normalise(pixels[source.geometry], source)))
        emit(VariantReady(variant.key, digest, round(time.monotonic() - started, 3), source.classes))
        return Ready(variant, model, source)

    return list(pool.map(calibrate, plan.variants()))


def quantize(variant: Variant, source: Loaded, pixels: Tensor, overrides: dict[str, int]) -> nn.Module:
    """Return the model of a variant, calibrated on uint8 images if it is quantized at all."""
    if variant.bits.is_float:
        unchanged: nn.Module = source.model
        return unchanged
    entry = catalog.QUANTIZERS[variant.quantizer]
    widths = Widths(variant.bits, overrides)
    method = catalog.resolve(entry.target)
    model: nn.Module = method(source.model, widths, normalise(pixels, source), **entry.options)
    return model


def state_digest(model: nn.Module) -> str:
    """Return the SHA-256 of all parameters and buffers, quantizer scales and zero points included."""
    state = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        state.update(name.encode())
        state.update(value.detach().cpu().contiguous().numpy().tobytes())
    return state.hexdigest()


def score_chunk(
    plan: Plan,
    images: Images,
    first: int,
    variants: list[Ready | None],
    device: torch.device,
    emit: Emit,
    cancelled: Callable[[], bool],
    pool: ThreadPoolExecutor,
) -> dict[str, NDArray[Any]]:
    """Read one chunk once for every geometry and return its part of every array."""
    which = images.which[first : first + plan.chunk_images]
    index = images.places[first : first + plan.chunk_images]
    labels = np.array([images.sets[s].labels[i] for s, i in zip(which, index, strict=True)], np.int64)
    readable = np.ones(len(which), np.int64)
    pixels: dict[Geometry, Tensor] = {}
    for geometry in {ready.source.geometry for ready in variants if ready}:
        read, unreadable = read_chunk(images.sets, which, index, geometry)
        pixels[geometry] = torch.from_numpy(read).to(device)
        for position, reason in unreadable.items():
            if readable[position]:
                of = images.sets[which[position]]
                emit(ImageUnreadable(of.name, of.name_of(int(index[position])), reason))
            readable[position] = 0
    chunk = {
        name: np.full((len(which), columns), np.nan if dtype.kind == "f" else -1, dtype)
        for name, (dtype, columns) in layout(plan).items()
    }
    chunk["samples"][:] = np.stack([which, index, labels, readable], 1)
    at_label = torch.from_numpy(labels).to(device)

    def score(column: int) -> None:
        ready = variants[column]
        if ready is None:
            return
        if cancelled():
            raise Cancelled
        with torch.inference_mode():
            logits = ready.model(normalise(pixels[ready.source.geometry], ready.source))
            chunk["nll"][:, column] = negative_log_likelihood(logits, at_label).cpu().numpy()
            chunk["rank"][:, column] = rank_of_label(logits, at_label).cpu().numpy()
            for name in plan.scores:
                chunk[name][:, column] = catalog.resolve(catalog.SCORES[name].target)(logits).cpu().numpy()

    list(pool.map(score, range(len(variants))))
    return chunk


def read_chunk(
    sets: list[ImageSet], which: Indices, index: Indices, geometry: Geometry
) -> tuple[Pixels, dict[int, str]]:
    """Read images of several sets into the rows of one chunk; also say which could not be read."""
    pixels = np.empty((len(which), 3, geometry.size, geometry.size), np.uint8)
    unreadable: dict[int, str] = {}
    for position, images in enumerate(sets):
        rows = np.flatnonzero(which == position)
        pixels[rows], failed = images.read(index[rows], geometry)
        unreadable.update({int(rows[at]): reason for at, reason in failed.items()})
    return pixels, unreadable


class Progress:
    """Emit measures as rows accumulate: tables often, curves and intervals at doubling counts."""

    def __init__(self, plan: Plan, arrays: Arrays, variants: list[Ready | None], emit: Emit) -> None:
        self.plan, self.arrays, self.emit = plan, arrays, emit
        self.classes = [ready.source.classes if ready else 0 for ready in variants]
        self.alive = [i for i, ready in enumerate(variants) if ready]
        self.next_table, self.next_curve = 1, FIRST_CURVE_ROWS
        self.diverged: set[str] = set()

    def measure(self, finished: int, total: int, pool: ThreadPoolExecutor) -> None:
        """Emit what is due after `finished` of `total` rows."""
        done = finished == total
        rows = self.arrays.first(finished)
        if done:
            self.emit(PhaseChanged("measuring", f"{FINAL_RESAMPLES} bootstrap resamples"))
        if done or finished >= self.next_table:
            self.next_table = max(int(finished * MEASURE_STEP), finished + 1)
            self._tables(rows, done)
        if done or finished >= self.next_curve:
            self.next_curve = 2 * finished
            self._curves(rows, FINAL_POINTS if done else INTERIM_POINTS)
            resamples = FINAL_RESAMPLES if done else INTERIM_RESAMPLES
            self.emit(table.measure_deltas(rows, resamples, self.plan.seed, pool))

    def _tables(self, rows: Any, done: bool) -> None:
        names = self.plan.scores if done else (self.plan.headline,)
        for i in self.alive:
            measured = table.measure_variant(rows, i, names, self.classes[i])
            self.emit(measured)
            problem = next((cell.problem for cell in measured.cells if "NaN" in cell.problem), "")
            if problem and measured.variant not in self.diverged:
                self.diverged.add(measured.variant)
                self.emit(Logged("warning", f"{measured.variant} diverges: {problem}"))

    def _curves(self, rows: Any, points: int) -> None:
        keys = [variant.key for variant in self.plan.variants()]
        sets = range(1, 1 + len(self.plan.ood_sets))
        for i in self.alive:
            drawn = [table.draw_curve(rows, i, self.plan.headline, s, points) for s in sets]
            self.emit(CurvesDrawn(rows.count, keys[i], tuple(curve for curve in drawn if curve)))


__all__ = ["Cancelled", "QoodError", "sweep"]
