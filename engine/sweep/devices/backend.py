"""What a sweep needs to know about a kind of device; each kind has a file here and a line in the catalog."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from abc import ABC, abstractmethod
from functools import cache
from typing import NamedTuple

import psutil
import torch

from engine import catalog


class Accelerator(NamedTuple):
    """A device other than the CPU: `taken` is the share of its memory that other programs hold."""

    device: str  # as torch names it, such as cuda:0
    uuid: str
    name: str
    taken: float


class Backend(ABC):
    """A kind of device: what is here holds for the CPU, a subclass overrides what differs."""

    pins_memory = False  # whether copies to the device are faster from page-locked memory

    def accelerators(self) -> list[Accelerator]:
        """List the devices of this kind that torch can use, in torch's order."""
        return []

    @abstractmethod
    def threads(self, cores: int) -> int:
        """Return how many threads run forward passes at once, given this many cores."""

    @abstractmethod
    def most_images(self, side: int) -> int:
        """Return how many images of `side` x `side` pixels go through a model at once, at most."""

    def first_batch(self, chunk: int, side: int) -> int:
        """Return how many images of a chunk to try at once: it is divided into equal batches."""
        return -(-chunk // -(-chunk // self.most_images(side)))

    def configure(self, *, tf32: bool) -> None:
        """Choose how this process computes; there is nothing to choose here."""
        return

    def use(self, device: torch.device) -> None:
        """Make a device the default of this thread; there is only one here."""
        return

    def scoring_device(self, device: torch.device) -> torch.device:
        """Return where scores of a device's outputs are computed: it must have float64."""
        return device

    def free_memory(self, device: torch.device) -> int:
        """Return how many bytes of memory are free."""
        return int(psutil.virtual_memory().available)

    def release_memory(self) -> None:
        """Give unused memory back to the system."""
        gc.collect()
        with contextlib.suppress(OSError, AttributeError):
            # glibc keeps what large temporary tensors leave behind, which may be more than the models take.
            ctypes.CDLL("libc.so.6").malloc_trim(0)

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Return whether an error means that memory ran out, the device's or the machine's."""
        return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


@cache
def backend(kind: str) -> Backend:
    """Return the backend of a kind of device, by torch's name."""
    made: Backend = catalog.resolve(catalog.DEVICES[kind].target)()
    return made


def backend_of(device: torch.device) -> Backend:
    """Return the backend of a device."""
    return backend(device.type)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that memory ran out, on any kind of device."""
    return any(backend(kind).is_out_of_memory(error) for kind in catalog.DEVICES)
