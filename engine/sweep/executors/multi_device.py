"""A sweep on several devices: one process each, which is sent chunk after chunk.

Quantizers are calibrated once, by the worker, and loaded from the disk by every process.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from multiprocessing.connection import wait

from engine.errors import EngineError
from engine.protocol.events import AnyEvent, BatchSized, Logged, PhaseChanged
from engine.sweep import threads
from engine.sweep.calibration import CalibratedVariant, Calibration
from engine.sweep.chunk import ScoredChunk
from engine.sweep.devices.backend import backend_of
from engine.sweep.executors.base import Preview
from engine.sweep.executors.device_process import ASKED, DeviceProcess, process_setup
from engine.sweep.retry import RetryControl
from engine.sweep.setup import Setup
from engine.sweep.workers import Workers

ASK_SECONDS = 0.5  # between checks whether the user asked to stop


class MultiDevice:
    """Score chunks in one process per device; yield them in the order of their rows."""

    def __init__(self, setup: Setup, workers: Workers, control: RetryControl) -> None:
        self.setup, self.workers, self.control = setup, workers, control
        self.processes: list[DeviceProcess] = []
        self._waiting = deque(setup.firsts)
        self._batch = setup.batch
        self._emitted: set[str] = set()

    @staticmethod
    def can_run(devices: Sequence[str]) -> bool:
        """Return whether there are several devices."""
        return len(devices) > 1

    def prepare(self, preview: Preview) -> dict[str, int]:
        """Calibrate every variant on the first device, then start the processes.

        The first device's memory is left to the process that will use it.
        """
        calibrated = self._calibrated()
        digests = {one.variant.key: one.digest for one in calibrated}
        classes = {one.variant.key: one.float_model.classes for one in calibrated}
        devices, cores = self.workers.devices, self.workers.cores
        setups = [process_setup(self.setup, device, cores, digests) for device in devices]
        calibrated.clear()
        self.setup.models.release()
        backend_of(self.setup.device).release_memory()
        note = f"{self.setup.sets.rows} images on {len(devices)} devices"
        self.control.emit(PhaseChanged("sweeping", note))
        self.processes = [DeviceProcess(setup) for setup in setups]
        return classes

    def chunks(self) -> Generator[ScoredChunk]:
        """Yield the chunks in order, whichever process scores them."""
        scored: dict[int, ScoredChunk] = {}
        for _ in range(ASKED):
            self._ask_each()
        for first in self.setup.firsts:
            while first not in scored:
                self.control.stop_if_asked()
                for chunk in self._received():
                    scored[chunk.first] = chunk
            yield scored.pop(first)

    def close(self) -> None:
        """End the processes."""
        for process in self.processes:
            process.end()
        self.processes = []

    def _calibrated(self) -> list[CalibratedVariant]:
        calibration = self.control.retrying(lambda: Calibration(self.setup, self.control.emit))
        calibrate = self.control.stoppable(calibration.calibrate)
        calibrated = threads.each(self.workers.passes, calibrate, self.setup.plan.variants())
        return [variant for variant in calibrated if variant is not None]

    def _received(self) -> Iterator[ScoredChunk]:
        """Yield the chunks that have arrived; pass events on, and replace chunks of a process that died."""
        lines = wait([process.line for process in self.processes], ASK_SECONDS)
        for process in [one for one in self.processes if one.line in lines]:
            match process.receive():
                case None:
                    self._lose(process)
                case ScoredChunk() as chunk:
                    self._batch = min(self._batch, chunk.batch)
                    self._ask(process)
                    yield chunk
                case event:
                    self._pass_on(event)

    def _ask(self, process: DeviceProcess) -> None:
        if self._waiting:
            process.ask(self._waiting.popleft(), self._batch)

    def _ask_each(self) -> None:
        for process in self.processes:
            self._ask(process)

    def _lose(self, process: DeviceProcess) -> None:
        """Continue without a process that died, as long as there is another."""
        process.end()
        self.processes.remove(process)
        self._waiting.extendleft(reversed(process.asked))
        text = f"the process on {process.device} ended unexpectedly (status {process.process.exitcode})"
        if not self.processes:
            raise EngineError(f"{text}, and it was the last one; what is finished is kept")
        self.control.emit(Logged("warning", f"{text}; the others take over its images"))
        self._ask_each()

    def _pass_on(self, event: AnyEvent) -> None:
        """Emit an event of a process, only once if several send it."""
        key = repr(event)
        if isinstance(event, PhaseChanged | BatchSized) or key not in self._emitted:
            self._emitted.add(key)
            self.control.emit(event)
