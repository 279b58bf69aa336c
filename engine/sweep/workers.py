"""What computes in a process: threads on one device, and processes that decode images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import torch

from engine.images.decoders import Decoders
from engine.sweep import threads
from engine.sweep.devices.backend import backend_of


class Workers(NamedTuple):
    """What a process computes with.

    `devices` are those of the whole sweep, by torch's names; this process computes on the first, and each
    has `cores` of the machine.
    """

    devices: Sequence[str]
    cores: int
    passes: ThreadPoolExecutor  # runs forward passes and calibrates
    measuring: ThreadPoolExecutor
    decoders: Decoders

    @property
    def device(self) -> torch.device:
        """Return the device that this process computes on."""
        return torch.device(self.devices[0])

    @property
    def threads(self) -> int:
        """Return how many threads run forward passes."""
        return backend_of(self.device).threads(self.cores)


@contextmanager
def workers(devices: Sequence[str], cores: int, decoders: Decoders, *, tf32: bool) -> Iterator[Workers]:
    """Set up the first device for this process, and end its threads afterwards."""
    device = torch.device(devices[0])
    backend = backend_of(device)
    backend.configure(tf32=tf32)
    threads.compute_on(device)
    try:
        with threads.pool(backend.threads(cores), device) as passes, threads.pool(cores) as measuring:
            yield Workers(devices, cores, passes, measuring, decoders)
    finally:
        backend.release_memory()
