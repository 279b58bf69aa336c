"""How loaded this machine is, read without torch."""

from __future__ import annotations

from typing import Any

import psutil

from engine.protocol import Telemetry


class Machine:
    """Measure processor, memory and, where there is one, the NVIDIA accelerator."""

    def __init__(self, worker: int) -> None:
        self._worker = worker
        self._accelerator = _first_accelerator()
        psutil.cpu_percent()  # the first call has nothing to compare with

    def measure(self) -> Telemetry:
        """Return the load since the last call."""
        memory = psutil.virtual_memory()
        utilisation, accelerator_memory, power = self._read_accelerator()
        return Telemetry(
            psutil.cpu_percent(),
            memory.total - memory.available,
            memory.total,
            self._worker_memory(),
            utilisation,
            accelerator_memory,
            power,
        )

    def _worker_memory(self) -> int:
        try:
            return int(psutil.Process(self._worker).memory_info().rss)
        except psutil.Error:
            return 0

    def _read_accelerator(self) -> tuple[float | None, int | None, float | None]:
        if self._accelerator is None:
            return None, None, None
        import pynvml

        try:
            return (
                float(pynvml.nvmlDeviceGetUtilizationRates(self._accelerator).gpu),
                int(pynvml.nvmlDeviceGetMemoryInfo(self._accelerator).used),
                pynvml.nvmlDeviceGetPowerUsage(self._accelerator) / 1000,
            )
        except pynvml.NVMLError:
            return None, None, None


def _first_accelerator() -> Any:
    import pynvml

    try:
        pynvml.nvmlInit()
        return pynvml.nvmlDeviceGetHandleByIndex(0)
    except pynvml.NVMLError:
        return None
