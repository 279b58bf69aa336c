"""The sweep: set up, calibrate, then chunk by chunk until all images are seen, with measures on the way."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from engine.images.crops import KeptImages
from engine.protocol.events import ChunkFinished, Logged, PhaseChanged, WorkerStarted
from engine.protocol.messages import Job
from engine.session import lease
from engine.session.arrays import SET, Arrays, ArrayWriter
from engine.session.layout import OUTPUTS
from engine.session.place import Folder
from engine.sweep import preflight
from engine.sweep.chunk import ScoredChunk
from engine.sweep.executors.registry import executor
from engine.sweep.progress import Progress
from engine.sweep.retry import RetryControl
from engine.sweep.setup import Setup, set_up
from engine.sweep.workers import Workers
from engine.text import counted


def sweep(job: Job, started: WorkerStarted, workers: Workers, control: RetryControl) -> None:
    """Run a job to its end; raise Cancelled, or a QoodError in words the user can act on.

    `started` describes this process in the journal.
    """
    control.emit(started)
    setup = set_up(job, started, workers, control)
    plan, rows, finished = setup.plan, setup.sets.rows, job.first_row
    writer = ArrayWriter(setup.session, plan, rows, setup.models.most_classes, finished)
    if (outputs := setup.output_writer()) is not None and not finished:
        outputs.make(rows)
    arrays = Arrays(Folder(setup.session), plan)
    progress = Progress(plan, control.emit, finished)
    count = f"{counted(len(plan.variants()), 'variant')} on {plan.calibration_images} images"
    control.emit(PhaseChanged("calibrating", count))
    with closing(executor(setup, workers, control)) as running:
        progress.classes = running.prepare(progress.preview)
        if 0 < finished < rows:  # an interruption may have prevented this
            progress.measure(arrays, finished, rows, workers.measuring)
        with closing(running.chunks()) as chunks:
            while not progress.is_enough() and (scored := next(chunks, None)) is not None:
                finished = _commit(job, writer, scored, control)
                if not job.resources.any_accuracy:
                    _check_accuracy(arrays, finished, progress, scored)
                if finished < rows:  # the last measures follow below, even if only they were missing
                    progress.measure(arrays, finished, rows, workers.measuring)
    _report_problems(setup, control)
    progress.measure(arrays, finished, rows, workers.measuring, last=True)


def _commit(job: Job, writer: ArrayWriter, scored: ScoredChunk, control: RetryControl) -> int:
    """Write a chunk's rows to disk, then report it; return how many rows are finished."""
    for unreadable in scored.unreadable:
        control.emit(unreadable)
    if job.owner:
        lease.check_owner(Path(job.session), job.owner)
    digests = writer.write(scored.first, scored.parts) | ({OUTPUTS: scored.kept} if scored.kept else {})
    rows = len(scored.parts["samples"])
    control.emit(ChunkFinished(scored.first, rows, scored.seconds, digests, scored.batch, scored.waited))
    return scored.first + rows


def _check_accuracy(arrays: Arrays, finished: int, progress: Progress, scored: ScoredChunk) -> None:
    """Raise InputError if a model in floating point only guesses."""
    samples = scored.parts["samples"]
    is_id = samples[:, SET] == 0
    hint = preflight.why_wrong(scored.predicted[is_id], samples[is_id, 2])
    preflight.check_accuracy(progress.plan, arrays.first(finished), progress.classes, hint)


def _report_problems(setup: Setup, control: RetryControl) -> None:
    """Warn where prepared images could not be kept for the next run."""
    for images in setup.sets.sets:
        if isinstance(images, KeptImages) and images.problem:
            control.emit(Logged("warning", f"{images.name}: {images.problem}"))
