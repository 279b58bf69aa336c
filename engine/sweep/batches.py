"""Forward passes: how many images go through a model at once, and which thread runs which batch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

import torch
from torch import Tensor

from engine.images.image_set import Geometry
from engine.models.loaded import normalise
from engine.plan.variants import Column
from engine.protocol.events import BatchSized
from engine.scores.outputs import Outputs
from engine.sweep.calibration import CalibratedVariant
from engine.sweep.devices.backend import Backend, backend_of
from engine.sweep.features import outputs
from engine.sweep.retry import Emit, RetryControl
from engine.sweep.threads import all_of

T = TypeVar("T")


class Batches:
    """The number of images per batch; halved when memory runs out, which is journaled."""

    def __init__(self, size: int, backend: Backend, emit: Emit) -> None:
        self.size, self.backend, self._emit = size, backend, emit
        self._halving = threading.Lock()

    def fitting(self, work: Callable[[int], T], first: int) -> T:
        """Return `work(size)`, repeated with half the batch size whenever memory runs out.

        `first` is the row from which a smaller size applies. Raises what `work` raises if a single image is
        too much.
        """
        while True:
            size = self.size
            try:
                return work(size)
            except RuntimeError as error:
                if size == 1 or not self.backend.is_out_of_memory(error):
                    raise
            self.backend.release_memory()
            self._halve(size, first)

    def _halve(self, size: int, first: int) -> None:
        """Halve a size that was too large, unless another thread has already gone below it."""
        with self._halving:
            if self.size == size:
                self.size = -(-size // 2)
                reason = f"a batch of {size} images does not fit in memory"
                self._emit(BatchSized(first, self.size, reason))


class Attempt:
    """Work that threads start at the current batch size, and repeat if that turns out too large.

    `begin` hands the work for a batch size to threads; `first` is its first row.
    """

    def __init__(self, batches: Batches, begin: Callable[[int], Sequence[Future[None]]], first: int) -> None:
        self._batches, self._begin, self._first = batches, begin, first
        self._size = batches.size
        self._futures = begin(self._size)

    @property
    def pending(self) -> list[Future[None]]:
        """List the work that has not ended."""
        return [future for future in self._futures if not future.done()]

    def finish(self) -> int:
        """Wait until all work is done at one batch size, and return that."""

        def work(size: int) -> int:
            if size != self._size:
                wait(self._futures)  # none may still be writing
                self._size, self._futures = size, self._begin(size)
            all_of(self._futures)
            return size

        return self._batches.fitting(work, self._first)

    def cancel(self) -> None:
        """Start none of the remaining work."""
        for future in self._futures:
            future.cancel()


class Passes:
    """The forward passes of one variant over uint8 images, one batch of them at a time.

    Every batch is full, the last one padded with images whose outputs are discarded: the outputs of an
    image must not depend on how many others there are, nor on the thread.
    """

    def __init__(
        self, variant: CalibratedVariant, pixels: Mapping[Geometry, Tensor], size: int, *, features: bool
    ) -> None:
        self.model, self.float_model = variant.model, variant.float_model
        self.size, self.features = size, features
        self.pixels = pixels[variant.float_model.geometry]
        self.count = -(-len(self.pixels) // size)
        self._parts: dict[int, Outputs] = {}
        self._counting = threading.Lock()

    def run(self, number: int) -> Outputs | None:
        """Run one batch; return the outputs of all images if it was the last one left."""
        with torch.inference_mode():
            part = self._forward(self.pixels[number * self.size : (number + 1) * self.size])
            with self._counting:
                self._parts[number] = part
                is_last = len(self._parts) == self.count
            return self._joined() if is_last else None

    def run_all(self) -> Outputs:
        """Run all batches on this thread."""
        *_, outputs = map(self.run, range(self.count))
        assert outputs is not None, "the last batch completes them"
        return outputs

    def _forward(self, images: Tensor) -> Outputs:
        count = len(images)
        if count < self.size:
            images = torch.cat([images, images.new_zeros(self.size - count, *images.shape[1:])])
        normalised = normalise(images, self.float_model)
        batch = outputs(self.model, normalised) if self.features else Outputs(self.model(normalised))
        return Outputs(batch.logits[:count], batch.features[:count] if batch.features is not None else None)

    def _joined(self) -> Outputs:
        """Return the outputs of all images, where scores are computed, and keep none."""
        parts = [self._parts[number] for number in range(self.count)]
        self._parts.clear()
        device = backend_of(self.pixels.device).scoring_device(self.pixels.device)
        logits = torch.cat([part.logits for part in parts]).to(device)
        features = [part.features for part in parts if part.features is not None]
        return Outputs(logits, torch.cat(features).to(device) if self.features else None)


def submit(
    threads: ThreadPoolExecutor,
    passes: Mapping[Column, Passes],
    finish: Callable[[Column, Outputs], None],
    batches: Batches,
    control: RetryControl,
) -> list[Future[None]]:
    """Hand every batch of every variant, by column, to the threads.

    The thread that runs the last batch of a variant calls `finish` with its column and outputs.
    """

    def run(column: Column, number: int) -> None:
        control.stop_if_asked()
        if passes[column].size != batches.size:  # halved meanwhile: everything is repeated
            return
        try:
            if (outputs := passes[column].run(number)) is not None:
                finish(column, outputs)
        except RuntimeError as error:
            if batches.backend.is_out_of_memory(error):
                error.__traceback__ = None  # its frames hold tensors, and a failed future holds them
            raise

    return [
        threads.submit(run, column, number) for column, one in passes.items() for number in range(one.count)
    ]
