"""Threads that compute, each on one core: what one computes does not depend on how many there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

import torch

from engine.sweep.devices.backend import backend_of

T = TypeVar("T")
Item = TypeVar("Item")
CPU = torch.device("cpu")


def compute_on(device: torch.device) -> None:
    """Let this thread compute on a device, and on one core where that is the CPU."""
    torch.set_num_threads(1)
    backend_of(device).use(device)


def pool(threads: int, device: torch.device = CPU) -> ThreadPoolExecutor:
    """Return a pool of threads that compute on a device."""
    return ThreadPoolExecutor(threads, initializer=compute_on, initargs=(device,))


def all_of(futures: Sequence[Future[T]]) -> list[T]:
    """Return the results in order.

    An exception is raised once all have ended: none may still be writing when the work is repeated.
    """
    wait(futures)
    return [future.result() for future in futures]


def each(threads: ThreadPoolExecutor, work: Callable[[Item], T], items: Iterable[Item]) -> list[T]:
    """Return `work` of each item in order, several at a time; raises as `all_of` does."""
    return all_of([threads.submit(work, item) for item in items])
