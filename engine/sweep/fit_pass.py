"""One pass over the fit set, for scores that learn: the outputs of every variant for its images."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from engine.errors import EngineError
from engine.images.image_set import Geometry
from engine.images.sets import HeldOutPool
from engine.plan.variants import Column
from engine.protocol.events import FitSeen, Logged, PhaseChanged
from engine.scores.outputs import FitSet, Head, Outputs
from engine.sweep.batches import Attempt, Batches, Passes, submit
from engine.sweep.calibration import CalibratedVariant, Variants
from engine.sweep.features import head_of
from engine.sweep.retry import RetryControl
from engine.text import in_bytes

IMAGES_AT_ONCE = 250
FLOAT_BYTES = 4


class FitPass:
    """Run all variants over the fit set at once, so that every image is decoded only once."""

    def __init__(
        self, pool: HeldOutPool, device: torch.device, batches: Batches, control: RetryControl
    ) -> None:
        self.pool, self.device, self.batches, self.control = pool, device, batches, control
        self._outputs: dict[Column, list[Outputs]] = {}  # by column
        self._labels = np.zeros(0, np.int64)

    def run(self, variants: Variants, geometries: list[Geometry], threads: ThreadPoolExecutor) -> None:
        """Run every variant over the fit set and keep its outputs and the labels."""
        images, chosen, emit = self.pool.images, self.pool.chosen, self.control.emit
        models = [variant.float_model for variant in variants if variant is not None]
        most = sum(len(chosen) * (one.classes + one.model.num_features) * FLOAT_BYTES for one in models)
        note = f"{len(chosen)} images, at most {in_bytes(most)} of features and logits"
        emit(PhaseChanged("fitting", note))
        labels = []
        for start in range(0, len(chosen), IMAGES_AT_ONCE):
            part = chosen[start : start + IMAGES_AT_ONCE]
            read = self.control.retrying(lambda part=part: images.read(part, geometries))  # type: ignore[misc]
            for at, reason in read.unreadable.items():
                emit(Logged("warning", f"fit set: {images.name_of(int(part[at]))} left out: {reason}"))
            kept = [at for at in range(len(part)) if at not in read.unreadable]
            pixels = {g: torch.from_numpy(p[kept]).to(self.device) for g, p in read.pixels.items()}
            labels.append(images.labels[part[kept]])
            self._show(variants, pixels, threads)
        self._labels = np.concatenate(labels)
        if len(self._labels) < 2:
            raise EngineError(f"{images.name}: fewer than two images of the fit set can be read")
        emit(FitSeen(len(self._labels), len(chosen) - len(self._labels)))

    def fit_set(self, column: Column, variant: CalibratedVariant) -> FitSet:
        """Return what the scores of a variant are fitted on, and drop it here."""
        parts = self._outputs.pop(column)
        features = torch.cat([part.wide() for part in parts])
        logits = torch.cat([part.logits for part in parts])
        labels = torch.from_numpy(self._labels).to(logits.device)
        with torch.inference_mode():
            head = Head(*(tensor.to(logits.device) for tensor in head_of(variant.model)))
            return FitSet(Outputs(logits, features), labels, head)

    def _show(self, variants: Variants, pixels: dict[Geometry, Tensor], threads: ThreadPoolExecutor) -> None:
        """Run every variant over some images, batch by batch on all threads."""
        shown: dict[Column, Outputs] = {}

        def attempt(size: int) -> list[Future[None]]:
            passes = {
                column: Passes(variant, pixels, size, features=True)
                for column, variant in enumerate(variants)
                if variant is not None
            }
            return submit(threads, passes, shown.__setitem__, self.batches, self.control)

        Attempt(self.batches, attempt, 0).finish()
        for column, outputs in shown.items():
            self._outputs.setdefault(column, []).append(outputs)
