"""Sweep in this process, so that a test can cut it off at any event as kill -9 would."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import torch

from engine.datasets.sources.base import Source
from engine.errors import QoodError
from engine.images.decoders import Decoded, Decoders, Wanted, decode_members
from engine.images.image_set import Geometry
from engine.plan.resources import Resources
from engine.protocol.events import AnyEvent, ChunkFinished, SessionResumed
from engine.protocol.messages import Job
from engine.session.writer import Writer
from engine.sweep.retry import Emit, RetryControl
from engine.sweep.sweep import sweep
from engine.sweep.worker import started
from engine.sweep.workers import Workers, workers


class Killed(BaseException):
    """The process is gone: nothing that follows is written."""


class DecodersHere(Decoders):
    """Decode in this process: no other one has to start, and what a test patches is patched here too."""

    def _submit(self, source: Source, wanted: list[Wanted], geometries: list[Geometry]) -> Future[Decoded]:
        future: Future[Decoded] = Future()
        try:
            future.set_result(decode_members(source, wanted, geometries, self.largest))
        except Exception as error:
            future.set_exception(error)
        return future


Stop = Callable[[list[AnyEvent]], bool]


def run_until(session: Path, resources: Resources, stop: Stop | None = None) -> str:
    """Sweep a session, or resume it, and return the outcome, or why it failed.

    It is `killed` after the event at which `stop` of all events of this attempt says so. The journal is
    written as the daemon does: what a refused resume leaves is a closed session.
    """
    writer = Writer(session)
    if writer.has_events:
        writer.append(SessionResumed(writer.finished_rows))
    said: list[AnyEvent] = []
    is_killed = False
    lock = threading.Lock()  # variants are calibrated in several threads

    def emit(event: AnyEvent) -> None:
        nonlocal is_killed
        with lock:
            if is_killed:
                raise Killed
            said.append(event)
            append(event)
            is_killed = stop is not None and stop(said)
            if is_killed:
                raise Killed

    def append(event: AnyEvent) -> None:
        if isinstance(event, ChunkFinished):
            writer.finished_rows += event.rows
        writer.append(event)

    job = Job(str(session), writer.plan, resources, writer.finished_rows, writer.owner)
    try:
        sweep_here(job, DecodersHere(1, job.plan.most_pixels), emit)
    except Killed:
        writer.abandon()
        return "killed"
    except QoodError as error:
        writer.close("failed", str(error))
        return str(error)
    writer.close("finished")
    return "finished"


def sweep_here(
    job: Job, decoders: Decoders, emit: Emit, is_cancelled: Callable[[], bool] = lambda: False
) -> None:
    """Sweep in this process on two threads, as the worker does; raises as `sweep` does."""
    with workers_here(decoders) as own:
        sweep(job, started(job, own, {}), own, RetryControl(emit, is_cancelled))


@contextmanager
def workers_here(decoders: Decoders, *devices: str) -> Iterator[Workers]:
    """Give what the worker gathers for a job: two cores for each device, one CPU if none is named."""
    threads = torch.get_num_threads()
    try:
        with workers(devices or ("cpu",), 2, decoders, tf32=False) as own:
            yield own
    finally:
        torch.set_num_threads(threads)
