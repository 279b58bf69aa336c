"""Telemetry, with a stand-in for NVIDIA's library, which only answers where there is a GPU."""

from __future__ import annotations

import os
import sys
import types

import pytest

from engine.service.telemetry import Machine


class NVMLError(Exception):
    """What NVML raises for a question that a device does not answer."""


def refused(device: str) -> None:
    raise NVMLError("Not Supported")


def library() -> types.ModuleType:
    made = types.ModuleType("pynvml")
    made.__dict__.update(
        NVMLError=NVMLError,
        NVML_TEMPERATURE_GPU=0,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        nvmlDeviceGetUtilizationRates=lambda device: types.SimpleNamespace(gpu=len(device)),
        nvmlDeviceGetMemoryInfo=lambda device: types.SimpleNamespace(used=5_000, total=80_000),
        nvmlDeviceGetPowerUsage=refused,
        nvmlDeviceGetEnforcedPowerLimit=lambda device: 700_000,
        nvmlDeviceGetTemperature=lambda device, sensor: 61,
    )
    return made


def test_each_device_tells_what_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", library())
    machine = Machine(os.getpid())
    assert machine.measure().devices == ()
    machine.watch(("GPU-a", "GPU-bcd"))
    told = machine.measure()
    assert [one.use for one in told.devices] == [5.0, 7.0]
    first = told.devices[0]
    assert (first.memory, first.memory_total, first.power) == (5_000, 80_000, None)
    assert (first.power_limit, first.temperature) == (700.0, 61.0)
    assert 0 < told.worker_memory < told.memory_total
