"""What runs a sweep: on one device, on several, or elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from engine.plan.variants import Column
from engine.sweep.chunk import ScoredChunk
from engine.sweep.retry import RetryControl
from engine.sweep.setup import Setup
from engine.sweep.workers import Workers

# Takes arrays of the first rows as soon as a variant has scored them, its column and number of classes.
Preview = Callable[[dict[str, NDArray[Any]], Column, int], None]


class Executor(Protocol):
    """Calibrate the variants of a sweep, then score its chunks in order.

    Whatever executes a sweep, the numbers are the same to the bit on devices of one kind.
    """

    def __init__(self, setup: Setup, workers: Workers, control: RetryControl) -> None: ...

    @staticmethod
    def can_run(devices: Sequence[str]) -> bool:
        """Return whether this executor can use these devices, by torch's names."""
        ...

    def prepare(self, preview: Preview) -> dict[str, int]:
        """Calibrate every variant; return the number of classes of each that can be scored, by its key.

        `preview` may be called with the first chunk, from several threads. Raises a QoodError, or Cancelled.
        """
        ...

    def chunks(self) -> Generator[ScoredChunk]:
        """Yield every chunk of `setup.firsts` in that order; raise a QoodError, or Cancelled."""
        ...

    def close(self) -> None:
        """End whatever is still running."""
        ...
