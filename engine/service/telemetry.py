"""How loaded this machine is, read without torch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import psutil

from engine.protocol.events import DeviceLoad, Telemetry


class Machine:
    """Measure processor, memory and, where there are some, NVIDIA accelerators."""

    def __init__(self, worker: int) -> None:
        self._worker = worker
        self._accelerators: list[Any] = []
        psutil.cpu_percent()  # the first call has nothing to compare with

    def watch(self, uuids: tuple[str, ...]) -> None:
        """Measure the accelerators of these UUIDs from now on: torch and NVML count them differently."""
        self._accelerators = [handle for uuid in uuids if (handle := _accelerator(uuid)) is not None]

    def measure(self) -> Telemetry:
        """Return the load since the last call."""
        memory = psutil.virtual_memory()
        return Telemetry(
            psutil.cpu_percent(),
            memory.total - memory.available,
            memory.total,
            self._worker_memory(),
            tuple(map(_load, self._accelerators)),
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


def _load(device: Any) -> DeviceLoad:
    """Return the load of a device; many report everything but their power."""
    import pynvml

    def asked(question: Callable[[], float]) -> float | None:
        try:
            return question()
        except (pynvml.NVMLError, AttributeError):
            return None

    def whole(value: float | None) -> int | None:
        return None if value is None else int(value)

    watts = 1 / 1000
    return DeviceLoad(
        asked(lambda: float(pynvml.nvmlDeviceGetUtilizationRates(device).gpu)),
        whole(asked(lambda: pynvml.nvmlDeviceGetMemoryInfo(device).used)),
        whole(asked(lambda: pynvml.nvmlDeviceGetMemoryInfo(device).total)),
        asked(lambda: pynvml.nvmlDeviceGetPowerUsage(device) * watts),
        asked(lambda: pynvml.nvmlDeviceGetEnforcedPowerLimit(device) * watts),
        asked(lambda: float(pynvml.nvmlDeviceGetTemperature(device, pynvml.NVML_TEMPERATURE_GPU))),
    )


def _accelerator(uuid: str) -> Any:
    import pynvml

    try:
        pynvml.nvmlInit()
        return pynvml.nvmlDeviceGetHandleByUUID(uuid)
    except pynvml.NVMLError:
        return None
