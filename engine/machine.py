"""How loaded this machine is, read without torch."""

from __future__ import annotations

import contextlib
from typing import Any

import psutil

from engine.protocol import Telemetry


class Machine:
    """Measure processor, memory and, where there are some, NVIDIA accelerators."""

    def __init__(self, worker: int) -> None:
        self._worker = worker
        self._accelerators: list[Any] = []
        psutil.cpu_percent()  # the first call has nothing to compare with

    def look_at(self, uuids: tuple[str, ...]) -> None:
        """Measure the accelerators of these UUIDs from now on: torch and NVML count them differently."""
        self._accelerators = [handle for uuid in uuids if (handle := _accelerator(uuid)) is not None]

    def measure(self) -> Telemetry:
        """Return the load since the last call: of all accelerators the mean use, and sums."""
        memory = psutil.virtual_memory()
        return Telemetry(
            psutil.cpu_percent(),
            memory.total - memory.available,
            memory.total,
            self._worker_memory(),
            *self._read_accelerators(),
        )

    def _worker_memory(self) -> int:
        """Return the memory of the worker and of the processes that it started."""
        try:
            worker = psutil.Process(self._worker)
            processes = [worker, *worker.children(recursive=True)]
        except psutil.Error:
            return 0
        total = 0
        for process in processes:
            with contextlib.suppress(psutil.Error):
                total += int(process.memory_info().rss)
        return total

    def _read_accelerators(self) -> tuple[float | None, int | None, float | None]:
        if not self._accelerators:
            return None, None, None
        import pynvml

        try:
            use = [float(pynvml.nvmlDeviceGetUtilizationRates(one).gpu) for one in self._accelerators]
            memory = [int(pynvml.nvmlDeviceGetMemoryInfo(one).used) for one in self._accelerators]
            power = [pynvml.nvmlDeviceGetPowerUsage(one) / 1000 for one in self._accelerators]
        except pynvml.NVMLError:
            return None, None, None
        return sum(use) / len(use), sum(memory), sum(power)


def _accelerator(uuid: str) -> Any:
    import pynvml

    try:
        pynvml.nvmlInit()
        return pynvml.nvmlDeviceGetHandleByUUID(uuid)
    except pynvml.NVMLError:
        return None
