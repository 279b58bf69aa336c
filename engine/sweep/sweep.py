"""The sweep: images, models, calibration, then chunk by chunk on every device, then measures."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import torch

from engine.images.crops import KeptImages
from engine.images.decoders import Decoders
from engine.images.sets import open_sets, without_copies
from engine.protocol.events import (
    BatchSized,
    ChunkFinished,
    Logged,
    PhaseChanged,
    SetsPrepared,
    WorkerStarted,
)
from engine.protocol.messages import Job
from engine.session import lease
from engine.session.arrays import SET, Arrays, ArrayWriter
from engine.session.layout import OUTPUTS
from engine.session.place import Folder
from engine.sweep import class_names, preflight, resume
from engine.sweep.calibration import Emit, PriorVariants
from engine.sweep.chunk import ScoredChunk
from engine.sweep.device_runner import DeviceRunner
from engine.sweep.executors.multi_device import MultiDevice
from engine.sweep.executors.single_device import SingleDevice
from engine.sweep.progress import Progress
from engine.sweep.retry import Cancelled, RetryControl

__all__ = ["Cancelled", "Workers", "sweep"]


class Workers(NamedTuple):
    """Who computes: devices, threads that a device's variants share, processes that decode."""

    devices: list[str]
    threads: int
    pool: ThreadPoolExecutor
    decoders: Decoders
    worker: WorkerStarted  # as the journal has it


def sweep(job: Job, emit: Emit, cancelled: Callable[[], bool], team: Workers) -> None:
    """Run a job to its end; raise Cancelled, or a QoodError in words the user can act on."""
    plan, session, device = job.plan, Path(job.session), torch.device(team.devices[0])
    patience = RetryControl(emit, cancelled)
    patience.emit(PhaseChanged("images"))
    sets = patience.patiently(lambda: open_sets(plan, job.resources, team.decoders))
    patience.emit(PhaseChanged("models", f"{len(plan.models)} models on {device}"))
    station = DeviceRunner(plan, job.resources, sets, device, patience, team.pool, session)
    if named := class_names.of(station.models):
        sets = patience.patiently(lambda: open_sets(plan, job.resources, team.decoders, named))
        station.take(sets)
    for text in preflight.check(plan, job.resources, session, sets, station.models, device):
        emit(Logged("warning", text))
    patience.emit(PhaseChanged("checking", f"the contents of {sets.rows} images"))
    sets, prepared = patience.patiently(lambda: without_copies(sets, plan))
    station.take(sets)
    described = station.models.describe()
    before = resume.check(session, plan, prepared, described, team.worker, job.first_row)
    emit(prepared)
    for ready in prepared.sets:
        for note in ready.notes:
            emit(Logged("info", f"{ready.name}: {note}"))
    for event in described:
        emit(event)
    for change in before.changes:
        emit(Logged("warning", f"since the interruption {change}: numbers may differ in their last bits"))
    most_classes = max(loaded.classes for loaded in station.models.by_name.values())
    writer = ArrayWriter(session, plan, sets.rows, most_classes, job.first_row)
    if station.outputs is not None and not job.first_row:
        station.outputs.make(sets.rows)
    station.batches.size = before.batch or station.batches.size
    emit(BatchSized(job.first_row, station.batches.size))

    count = f"{len(plan.variants())} variants on {plan.calibration_images} images"
    patience.emit(PhaseChanged("calibrating", count))
    progress = Progress(plan, emit, job.first_row)
    chunks = _chunks(job, station, progress, prepared, before.known, team)
    arrays = Arrays(Folder(session), plan)
    finished = job.first_row
    while not progress.is_enough() and (scored := next(chunks, None)) is not None:
        if 0 < finished == job.first_row:  # what an interruption may have kept from being measured
            progress.measure(arrays, finished, sets.rows, team.pool)
            if progress.is_enough():
                break
        for unreadable in scored.unreadable:
            emit(unreadable)
        if job.owner:
            lease.check_owner(session, job.owner)
        digests = writer.write(scored.first, scored.parts) | ({OUTPUTS: scored.kept} if scored.kept else {})
        rows = len(scored.parts["samples"])
        emit(ChunkFinished(scored.first, rows, scored.seconds, digests, scored.batch, scored.waited))
        finished = scored.first + rows
        if not job.resources.any_accuracy:
            _check_accuracy(arrays, finished, progress, scored)
        if finished < sets.rows:  # the last measures follow below, also for a sweep that only missed them
            progress.measure(arrays, finished, sets.rows, team.pool)
    chunks.close()
    for images in sets.sets:
        if isinstance(images, KeptImages) and images.problem:
            emit(Logged("warning", f"{images.name}: {images.problem}"))
    progress.measure(arrays, finished, sets.rows, team.pool, last=True)


def _chunks(
    job: Job,
    station: DeviceRunner,
    progress: Progress,
    prepared: SetsPrepared,
    known: PriorVariants,
    team: Workers,
) -> Generator[ScoredChunk]:
    firsts = range(job.first_row, station.sets.rows, job.plan.chunk_images)
    session = Path(job.session)
    if len(team.devices) == 1:
        return SingleDevice(station, progress, firsts).scored(session, prepared, known)
    crew = MultiDevice(job, station, progress, firsts)
    return crew.scored(session, prepared, known, team.devices, team.threads)


def _check_accuracy(arrays: Arrays, finished: int, progress: Progress, scored: ScoredChunk) -> None:
    samples = scored.parts["samples"]
    of_id = samples[:, SET] == 0
    hint = preflight.why_wrong(scored.predicted[of_id], samples[of_id, 2])
    preflight.check_accuracy(progress.plan, arrays.first(finished), progress.classes, hint)
