"""The executors, by the devices that they run on."""

from __future__ import annotations

from engine.sweep.executors.base import Executor
from engine.sweep.executors.multi_device import MultiDevice
from engine.sweep.executors.single_device import SingleDevice
from engine.sweep.retry import RetryControl
from engine.sweep.setup import Setup
from engine.sweep.workers import Workers

EXECUTORS: tuple[type[Executor], ...] = (SingleDevice, MultiDevice)


def executor(setup: Setup, workers: Workers, control: RetryControl) -> Executor:
    """Return the first executor that can run on the devices."""
    chosen = next(one for one in EXECUTORS if one.can_run(workers.devices))
    return chosen(setup, workers, control)
