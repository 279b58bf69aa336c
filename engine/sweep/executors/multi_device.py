"""A sweep on several devices: one process each, which gets chunk after chunk.

Quantizers are calibrated once, by the worker, and loaded by every process from the disk.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import torch

from engine.errors import EngineError, QoodError
from engine.images.decoders import Decoders
from engine.images.image_set import ImageSet, Indices
from engine.images.sets import Sets, open_sets
from engine.plan.variants import Column, Variant
from engine.protocol.events import AnyEvent, BatchSized, Logged, PhaseChanged, SetsPrepared
from engine.protocol.messages import Job
from engine.sweep import class_names
from engine.sweep.calibration import CalibratedVariant, Calibration, Models, PriorVariants, load_saved
from engine.sweep.chunk import AHEAD, ScoredChunk
from engine.sweep.device_runner import DeviceRunner, Variants
from engine.sweep.devices import release_memory
from engine.sweep.progress import Progress
from engine.sweep.retry import RetryControl
from engine.sweep.saved_variants import SavedVariants
from engine.system import subprocesses

ASK_SECONDS = 0.5  # between looks at whether the user asked to stop


class WorkerSetup(NamedTuple):
    """What a process of the crew is to do before chunks come."""

    job: Job
    prepared: SetsPrepared
    digests: dict[str, str]  # of the variants that are alive
    fit: Indices | None
    contents: list[dict[int, str]]  # SHA-256 of files by index, of every evaluated set and the fit set
    device: str
    threads: int
    size: int
    class_names: tuple[str, ...] = ()  # see `class_names.of`


class DeviceProcess:
    """One process of the crew and what it has been asked for."""

    def __init__(self, order: WorkerSetup) -> None:
        # A fresh interpreter: a GPU cannot be used in a copy of a process that has used one.
        context = multiprocessing.get_context("spawn")
        self.line, other = context.Pipe()
        self.process: BaseProcess = context.Process(target=serve, args=(other, order), daemon=False)
        self.process.start()
        other.close()
        self.device = order.device
        self.asked: deque[int] = deque()

    def ask(self, first: int, size: int) -> None:
        """Ask for the chunk from row `first` on; one that has died does not hear it."""
        self.asked.append(first)
        try:
            self.line.send((first, size))
        except OSError:
            return

    def end(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.join()
        self.line.close()


class MultiDevice:
    """Score chunks in one process a device; yield them in the order of their rows."""

    def __init__(self, job: Job, station: DeviceRunner, progress: Progress, firsts: Sequence[int]) -> None:
        self.job, self.station, self.progress, self.firsts = job, station, progress, firsts
        self.patience = station.patience
        self._said: set[str] = set()

    def scored(
        self, session: Path, prepared: SetsPrepared, known: PriorVariants, devices: list[str], threads: int
    ) -> Generator[ScoredChunk]:
        """Calibrate every variant here, then yield the chunks that the crew scores."""
        order = self._calibrated(session, prepared, known, threads)
        note = f"{self.station.sets.rows} images on {len(devices)} devices"
        self.patience.emit(PhaseChanged("sweeping", note))
        members = [DeviceProcess(order._replace(device=device)) for device in devices]
        try:
            yield from self._in_order(members, order.size)
        finally:
            for member in members:
                member.end()

    def _calibrated(
        self, session: Path, prepared: SetsPrepared, known: PriorVariants, threads: int
    ) -> WorkerSetup:
        """Calibrate on the first device, and leave its memory to the process that will use it."""
        station = self.station
        calibration = self.patience.patiently(
            lambda: Calibration(station.plan, station.models, station.sets, prepared, SavedVariants(session))
        )
        plan, emit = station.plan, self.patience.emit

        def calibrate(column: Column) -> CalibratedVariant | None:
            return calibration.calibrate(plan.variants()[column], known, emit)

        variants = station.each(calibrate)
        self.progress.know(variants)
        digests = {ready.variant.key: ready.digest for ready in variants if ready is not None}
        named = class_names.of(station.models)
        station.models.by_name.clear()
        del variants
        release_memory()
        fit = station.sets.fit.chosen if station.sets.fit is not None else None
        contents = [one.contents for one in _all(station.sets)]
        return WorkerSetup(
            self.job, prepared, digests, fit, contents, "", threads, station.batches.size, named
        )

    def _in_order(self, members: list[DeviceProcess], size: int) -> Generator[ScoredChunk]:
        waiting = deque(self.firsts)
        done: dict[int, ScoredChunk] = {}
        for _ in range(AHEAD):
            for member in members:
                if waiting:
                    member.ask(waiting.popleft(), size)
        for due in self.firsts:
            while due not in done:
                self.patience.stop_if_asked()
                for member in self._heard(members):
                    message = self._receive(member)
                    if message is None:
                        members.remove(member)
                        waiting.extendleft(reversed(member.asked))
                        self._lost(member, members)
                        for other in members:
                            if waiting:
                                other.ask(waiting.popleft(), size)
                    elif isinstance(message, ScoredChunk):
                        member.asked.remove(message.first)
                        done[message.first] = message
                        size = min(size, message.batch)
                        if waiting:
                            member.ask(waiting.popleft(), size)
                    else:
                        self._say(message)
            yield done.pop(due)

    def _heard(self, members: list[DeviceProcess]) -> list[DeviceProcess]:
        lines = wait([member.line for member in members], ASK_SECONDS)
        return [member for member in members if member.line in lines]

    def _receive(self, member: DeviceProcess) -> ScoredChunk | AnyEvent | None:
        try:
            message = member.line.recv()
        except (EOFError, OSError):
            return None
        if isinstance(message, QoodError):
            raise message
        found: ScoredChunk | AnyEvent = message
        return found

    def _lost(self, member: DeviceProcess, left: list[DeviceProcess]) -> None:
        """Go on without a process that died, as long as there is another."""
        member.end()
        text = f"the process on {member.device} ended unexpectedly (status {member.process.exitcode})"
        if not left:
            raise EngineError(f"{text}, and it was the last one; what is finished is kept")
        self.patience.emit(Logged("warning", f"{text}; the others take over its images"))

    def _say(self, event: AnyEvent) -> None:
        """Pass on what a process says, once where several say it."""
        key = repr(event)
        if isinstance(event, PhaseChanged | BatchSized) or key not in self._said:
            self._said.add(key)
            self.patience.emit(event)


def _all(sets: Sets) -> list[ImageSet]:
    """Return the sets that a process of the crew reads."""
    return [*sets.sets, *([sets.fit.images] if sets.fit is not None else [])]


def serve(line: Connection, order: WorkerSetup) -> None:
    """Score chunks in a process of its own until the line closes."""
    subprocesses.begin()
    sending = threading.Lock()

    def emit(event: AnyEvent) -> None:
        with sending:
            line.send(event)

    torch.set_num_threads(1)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = order.job.plan.tf32
    decoders = Decoders(order.threads, order.job.plan.most_pixels)
    try:
        with ThreadPoolExecutor(
            1 if order.device != "cpu" else order.threads, initializer=torch.set_num_threads, initargs=(1,)
        ) as pool:
            station, variants = _open(order, emit, decoders, pool)
            _serve(line, sending, station, variants)
    except QoodError as error:
        with sending:
            line.send(EngineError(str(error)))  # one of several arguments would not arrive whole
    finally:
        decoders.close()


def _open(
    order: WorkerSetup, emit: Any, decoders: Decoders, pool: ThreadPoolExecutor
) -> tuple[DeviceRunner, Variants]:
    job, plan = order.job, order.job.plan
    patience = RetryControl(emit, lambda: False)
    sets = patience.patiently(lambda: open_sets(plan, job.resources, decoders, order.class_names))
    for images, contents in zip(_all(sets), order.contents, strict=True):
        images.remember(contents)
    if order.fit is not None and sets.fit is not None:
        sets = sets._replace(fit=sets.fit._replace(pool=order.fit))
    station = DeviceRunner(
        plan, job.resources, sets, torch.device(order.device), patience, pool, Path(job.session)
    )
    station.batches.size = order.size
    states = SavedVariants(Path(job.session))

    def load(column: Column) -> CalibratedVariant | None:
        variant = plan.variants()[column]
        if variant.key not in order.digests:
            return None
        return _loaded(variant, station.models, order, states)

    return station, station.fit(station.each(load))


def _loaded(variant: Variant, models: Models, order: WorkerSetup, states: SavedVariants) -> CalibratedVariant:
    source, digest = models.by_name[variant.model], order.digests[variant.key]
    if variant.bits.is_float:
        return CalibratedVariant(variant, source.model, source, digest)
    model = load_saved(order.job.plan, models, order.prepared, states, variant, digest)
    if model is None:
        raise EngineError(f"{variant.key}: its quantized state cannot be read back from {states.folder.name}")
    return CalibratedVariant(variant, model, source, digest)


def _serve(line: Connection, sending: threading.Lock, station: DeviceRunner, variants: Variants) -> None:
    while True:
        while len(station.ahead) < AHEAD and (not len(station.ahead) or line.poll()):
            try:
                first, size = line.recv()
            except EOFError:
                return
            station.batches.size = min(station.batches.size, size)
            station.ahead.ask(first)
        scored = station.next_scored(variants)
        with sending:
            line.send(scored)
