"""The sweep: calibrate every variant, then show all of them the same images, chunk by chunk."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from engine import resume
from engine.arrays import Arrays, ArrayWriter
from engine.calibration import Calibration, CalibrationImages, Emit, Ready
from engine.chunk import Chunk, describe, prepare_images
from engine.fitting import Fitting
from engine.images import demo
from engine.progress import Progress
from engine.protocol import ChunkFinished, Job, PhaseChanged


class Cancelled(Exception):
    """The user asked to stop; what is finished is kept."""


def sweep(job: Job, emit: Emit, cancelled: Callable[[], bool], pool: ThreadPoolExecutor) -> None:
    """Run a job to its end; raise Cancelled, or a QoodError in words the user can act on."""
    plan, session, device = job.plan, Path(job.session), torch.device(job.device)
    emit(PhaseChanged("images"))
    images = prepare_images(plan, job.folders)
    total = len(images.which)
    calibration_images = CalibrationImages(plan, demo.load_calibration())
    fitting = Fitting(plan, demo.load_fit(), device, emit)
    prepared = describe(plan, images, calibration_images, fitting.describe())
    known = resume.check(session, plan, prepared) if job.first_row else {}
    emit(prepared)
    writer = ArrayWriter(session, plan, total)
    progress = Progress(plan, emit, job.first_row)

    emit(PhaseChanged("calibrating", f"{len(plan.variants())} variants on {plan.calibration_images} images"))
    calibration = Calibration(plan, calibration_images, device, emit)
    chunk = Chunk(plan, images, job.first_row, calibration.geometries, device)

    def begin(column: int) -> Ready | None:
        """Calibrate a variant and let it score the first chunk, so that its curve is there at once."""
        stop_if(cancelled)
        ready = calibration.calibrate(plan.variants()[column], known)
        if ready is None:
            return None
        with torch.inference_mode():
            ready = ready._replace(scorers=fitting.scorers(ready), needs_features=fitting.needs_features)
        if len(chunk):
            chunk.score(column, ready)
            if not job.first_row:
                progress.preview(chunk, column, ready)
        return ready

    started = time.monotonic()
    variants = list(pool.map(begin, range(len(plan.variants()))))
    emit(PhaseChanged("sweeping", f"{total} images"))
    arrays = Arrays(session, plan)
    finished = job.first_row
    if 0 < finished < total:
        progress.measure(arrays, finished, total, variants, pool)
    while len(chunk) and not progress.is_enough():
        for event in chunk.unreadable:
            emit(event)
        digests = writer.write(chunk.first, chunk.parts)
        emit(ChunkFinished(chunk.first, len(chunk), round(time.monotonic() - started, 3), digests))
        finished = chunk.first + len(chunk)
        if finished < total:  # the last measures follow below, also for a sweep that was only missing them
            progress.measure(arrays, finished, total, variants, pool)
        if chunk.first == job.first_row:
            calibration.tabulate_all(variants, pool)
        if progress.is_enough():
            break
        started = time.monotonic()
        chunk = Chunk(plan, images, finished, calibration.geometries, device)
        score_all(chunk, variants, cancelled, pool)
    progress.measure(arrays, finished, total, variants, pool, last=True)


def score_all(
    chunk: Chunk, variants: list[Ready | None], cancelled: Callable[[], bool], pool: ThreadPoolExecutor
) -> None:
    """Let every variant score a chunk."""

    def score(column: int) -> None:
        ready = variants[column]
        if ready is not None and len(chunk):
            stop_if(cancelled)
            chunk.score(column, ready)

    list(pool.map(score, range(len(variants))))


def stop_if(cancelled: Callable[[], bool]) -> None:
    """Raise Cancelled if the user asked to stop."""
    if cancelled():
        raise Cancelled
