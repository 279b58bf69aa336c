"""Sweep in this process, so that a test can cut it off at any event as kill -9 would."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import torch

from engine.errors import QoodError
from engine.images.decoders import Decoded, Decoders, Given, decode_files
from engine.images.source import Geometry
from engine.protocol import AnyEvent, ChunkFinished, Job, SessionResumed
from engine.resources import Resources
from engine.sweep import Team, sweep
from engine.worker import started
from engine.writer import Writer


class Killed(BaseException):
    """The process is gone: nothing that follows is written."""


class DecodersHere(Decoders):
    """Decode in this process: no other one has to start, and what a test patches is patched here too."""

    def _submit(self, root: Path, files: list[Given], geometries: list[Geometry]) -> Future[Decoded]:
        future: Future[Decoded] = Future()
        try:
            future.set_result(decode_files(root, files, geometries))
        except Exception as error:
            future.set_exception(error)
        return future


def run_until(session: Path, resources: Resources, last_event: int | None = None) -> str:
    """Sweep a session, or resume it, and return the outcome; `killed` after so many events of this attempt.

    The journal is written as the daemon does: what a refused resume leaves is a closed session.
    """
    writer = Writer(session)
    if writer.has_events:
        writer.append(SessionResumed(writer.finished_rows))
    count = 0

    def emit(event: AnyEvent) -> None:
        nonlocal count
        if last_event is not None and count >= last_event:
            raise Killed
        count += 1
        if isinstance(event, ChunkFinished):
            writer.finished_rows += event.rows
        writer.append(event)

    job = Job(str(session), writer.plan, resources, writer.finished_rows, writer.owner)
    try:
        with _team(job) as team:
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
def _team(job: Job) -> Iterator[Team]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with ThreadPoolExecutor(2, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield Team(["cpu"], 2, pool, DecodersHere(1), started(job, "cpu", 2, {}))
    torch.set_num_threads(threads)
