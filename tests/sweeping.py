"""Sweep in this process, so that a test can cut it off at any event as kill -9 would."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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
from engine.sweep.sweep import Workers, sweep
from engine.sweep.worker import started


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
        with a_team(job, DecodersHere(1, job.plan.most_pixels)) as team:
            emit(team.worker)
            sweep(job, emit, lambda: False, team)
    except Killed:
        writer.abandon()
        return "killed"
    except QoodError as error:
        writer.close("failed", str(error))
        return str(error)
    writer.close("finished")
    return "finished"


@contextmanager
def a_team(job: Job, decoders: Decoders) -> Iterator[Workers]:
    """Give what a worker gathers for a job on the CPU: one thread per variant, two variants at once."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(2, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield Workers(["cpu"], 2, pool, decoders, started(job, "cpu", 2, {}))
    finally:
        torch.set_num_threads(threads)
