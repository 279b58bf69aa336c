"""One process of a sweep on several devices: it loads what was calibrated and scores chunks."""

from __future__ import annotations

import multiprocessing
import threading
from collections import deque
from collections.abc import Callable
from contextlib import closing
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import NamedTuple

from engine.errors import EngineError, QoodError
from engine.images.decoders import Decoders
from engine.images.image_set import ImageSet, Indices
from engine.images.sets import Sets, open_sets
from engine.plan.variants import Column
from engine.protocol.events import AnyEvent, SetsPrepared
from engine.protocol.messages import Job
from engine.sweep.calibration import CalibratedVariant, load_calibrated
from engine.sweep.chunk import AHEAD, ScoredChunk
from engine.sweep.device_runner import DeviceRunner
from engine.sweep.loaded_models import LoadedModels
from engine.sweep.retry import RetryControl
from engine.sweep.setup import Setup
from engine.sweep.workers import Workers, workers
from engine.system import subprocesses

ASKED = AHEAD + 1  # chunks requested of a process at once: one is scored while others are read

Answer = ScoredChunk | AnyEvent | QoodError


class ProcessSetup(NamedTuple):
    """What a process needs before it gets chunks: the parts of the set-up that are plain data."""

    job: Job
    device: str
    cores: int
    prepared: SetsPrepared
    batch: int
    digests: dict[str, str]  # of the variants that were calibrated
    fit: Indices | None  # the images of the fit set
    contents: list[dict[int, str]]  # SHA-256 of files by index, of every evaluated set and the fit set
    class_names: tuple[str, ...]  # see `LoadedModels.class_names`


def process_setup(setup: Setup, device: str, cores: int, digests: dict[str, str]) -> ProcessSetup:
    """Return what a process on a device needs of a set-up."""
    fit = setup.sets.fit.chosen if setup.sets.fit is not None else None
    contents = [one.contents for one in _read_by(setup.sets)]
    names = setup.models.class_names
    return ProcessSetup(setup.job, device, cores, setup.prepared, setup.batch, digests, fit, contents, names)


class DeviceProcess:
    """A process as the worker sees it, and the first rows of the chunks that it has been asked for."""

    def __init__(self, setup: ProcessSetup) -> None:
        # A fresh interpreter: a GPU cannot be used in a copy of a process that has used one.
        context = multiprocessing.get_context("spawn")
        self.line, other = context.Pipe()
        self.process: BaseProcess = context.Process(target=serve, args=(other, setup), daemon=False)
        self.process.start()
        other.close()
        self.device = setup.device
        self.asked: deque[int] = deque()

    def ask(self, first: int, batch: int) -> None:
        """Ask for the chunk that begins at row `first`; do nothing if the process has died."""
        self.asked.append(first)
        try:
            self.line.send((first, batch))
        except OSError:
            return

    def receive(self) -> ScoredChunk | AnyEvent | None:
        """Return what it sent, None if it has died; raise the QoodError that ended it."""
        try:
            answer: Answer = self.line.recv()
        except (EOFError, OSError):
            return None
        if isinstance(answer, QoodError):
            raise answer
        if isinstance(answer, ScoredChunk):
            self.asked.remove(answer.first)
        return answer

    def end(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.join()
        self.line.close()


def serve(line: Connection, setup: ProcessSetup) -> None:
    """Score chunks in a process of its own until the line closes."""
    subprocesses.begin()
    sending = threading.Lock()

    def send(answer: Answer) -> None:
        with sending:
            line.send(answer)

    plan = setup.job.plan
    try:
        with (
            closing(Decoders(setup.cores, plan.most_pixels)) as decoders,
            workers([setup.device], setup.cores, decoders, tf32=plan.tf32) as own,
        ):
            _serve(line, send, setup, own)
    except EOFError:  # the worker is done
        return
    except QoodError as error:
        send(EngineError(str(error)))  # an exception with several arguments cannot be unpickled


def _serve(line: Connection, send: Callable[[Answer], None], setup: ProcessSetup, own: Workers) -> None:
    control = RetryControl(send, lambda: False)
    own_setup = _set_up(setup, own, control)
    runner = DeviceRunner(own_setup, own, control)

    def load(column: Column) -> CalibratedVariant | None:
        variant = setup.job.plan.variants()[column]
        if variant.key not in setup.digests:
            return None
        return load_calibrated(own_setup, variant, setup.digests[variant.key])

    def next_row(must_wait: bool) -> int | None:
        """Return the next chunk that was asked for; raise EOFError if the worker is gone."""
        if not must_wait and not line.poll():
            return None
        first, batch = line.recv()
        runner.batches.size = min(runner.batches.size, batch)
        return int(first)

    for scored in runner.scored(runner.fit(runner.each(load)), next_row):
        send(scored)


def _set_up(setup: ProcessSetup, own: Workers, control: RetryControl) -> Setup:
    """Load models and open sets for this process; the worker has checked them."""
    plan, resources = setup.job.plan, setup.job.resources
    models = LoadedModels(plan, resources, own.device, control.emit)
    sets = control.retrying(lambda: open_sets(plan, resources, own.decoders, setup.class_names))
    for images, contents in zip(_read_by(sets), setup.contents, strict=True):
        images.remember(contents)
    if setup.fit is not None and sets.fit is not None:
        sets = sets._replace(fit=sets.fit._replace(pool=setup.fit))
    return Setup(setup.job, own.device, models, sets, setup.prepared, setup.batch)


def _read_by(sets: Sets) -> list[ImageSet]:
    """Return the sets that a process reads."""
    return [*sets.sets, *([sets.fit.images] if sets.fit is not None else [])]
