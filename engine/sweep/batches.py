"""How many images go through a model at once: as many as memory holds, the same after a resume."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

import torch
from torch import Tensor

from engine.models.loaded import LoadedModel, normalise
from engine.protocol.events import AnyEvent, BatchSized
from engine.scores.outputs import Outputs
from engine.sweep.devices import release_memory
from engine.sweep.features import outputs

ON_GPU = 256
ON_CPU_PIXELS = 16 * 224 * 224  # more at once are no faster there

T = TypeVar("T")
Item = TypeVar("Item")


def first_size(device: torch.device, chunk: int, size: int) -> int:
    """Return how many images of `size` pixels a side to try at once: equal parts of a chunk."""
    most = ON_GPU if device.type != "cpu" else max(1, ON_CPU_PIXELS // size**2)
    return -(-chunk // -(-chunk // most))


class Batches:
    """The number of images at once; halved where memory runs out, which is journaled."""

    def __init__(self, size: int, emit: Callable[[AnyEvent], None]) -> None:
        self.size, self._emit = size, emit
        self._halving = threading.Lock()

    def fitting(self, work: Callable[[int], T], first: int) -> T:
        """Return `work(size)`, done again with half the images where memory ran out.

        `first` is the row from which a smaller size holds. Raises what `work` does if one image is too much.
        """
        while True:
            size = self.size
            try:
                return work(size)
            except RuntimeError as error:
                if size == 1 or not is_out_of_memory(error):
                    raise
            release_memory()
            self._halve(size, first)

    def _halve(self, size: int, first: int) -> None:
        """Halve a size that was too large, unless another thread has already gone below it."""
        with self._halving:
            if self.size == size:
                self.size = -(-size // 2)
                reason = f"{size} images at once took more memory than there is"
                self._emit(BatchSized(first, self.size, reason))


def of_each(pool: ThreadPoolExecutor, work: Callable[[Item], T], items: Iterable[Item]) -> list[T]:
    """Return `work` of each item, several at a time.

    What one raises is raised once all have ended: none may still write when the work is done again.
    """
    futures = [pool.submit(work, item) for item in items]
    wait(futures)
    return [future.result() for future in futures]


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that memory ran out, on a GPU or off it."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def forward(
    model: torch.nn.Module, source: LoadedModel, pixels: Tensor, size: int, *, features: bool
) -> Outputs:
    """Return what a model says of uint8 images, `size` at once.

    Every batch is full, the last one filled up with images that are thrown away: what is computed of an
    image must not depend on how many others there are.
    """
    parts = []
    for start in range(0, len(pixels), size):
        part = pixels[start : start + size]
        count = len(part)
        if count < size:
            part = torch.cat([part, part.new_zeros(size - count, *part.shape[1:])])
        given = normalise(part, source)
        seen = outputs(model, given) if features else Outputs(model(given))
        parts.append(
            Outputs(seen.logits[:count], seen.features[:count] if seen.features is not None else None)
        )
    logits = torch.cat([part.logits for part in parts])
    return Outputs(
        logits, torch.cat([p.features for p in parts if p.features is not None]) if features else None
    )
