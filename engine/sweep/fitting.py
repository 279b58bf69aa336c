"""The scores of a variant: those that learn are fitted on what this variant says of the fit set."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine import catalog
from engine.errors import EngineError, ScoreError
from engine.images.image_set import Geometry
from engine.images.sets import HeldOutPool
from engine.plan.plan import Plan
from engine.plan.variants import Column
from engine.protocol.events import FitSeen, Logged, PhaseChanged
from engine.scores import scorers
from engine.scores.outputs import FitSet, Outputs, Scorer
from engine.session.arrays import stored_scores
from engine.session.outputs import OutputWriter
from engine.sweep.batches import Batches, forward, of_each
from engine.sweep.calibration import CalibratedVariant, Emit
from engine.sweep.features import head_of
from engine.sweep.retry import RetryControl
from engine.text import in_bytes

IMAGES_AT_ONCE = 250
FLOAT_BYTES = 4


def needs_features(plan: Plan) -> bool:
    """Tell whether features are looked at: by a score of a plan, or to be kept."""
    return plan.keep_outputs or any("features" in catalog.SCORES[name].needs for name in stored_scores(plan))


class Fitting:
    """Fit the scores of all variants in one pass over the fit set: every image is decoded once."""

    def __init__(
        self,
        plan: Plan,
        learnt: HeldOutPool | None,
        device: torch.device,
        emit: Emit,
        outputs: OutputWriter | None = None,
    ) -> None:
        self.plan, self.learnt, self.device, self.emit = plan, learnt, device, emit
        self.outputs = outputs
        self.warned: set[str] = set()
        self._seen: dict[int, list[Outputs]] = {}
        self._labels = np.zeros(0, np.int64)

    def learn(
        self,
        variants: list[CalibratedVariant | None],
        geometries: list[Geometry],
        batches: Batches,
        patience: RetryControl,
        pool: ThreadPoolExecutor,
    ) -> None:
        """Show the fit set to every variant, if there is one; nothing else of it is kept."""
        if self.learnt is None:
            return
        images, chosen = self.learnt.images, self.learnt.chosen
        bound = sum(
            len(chosen) * (ready.source.classes + ready.source.model.num_features) * FLOAT_BYTES
            for ready in variants
            if ready is not None
        )
        note = f"{len(chosen)} images, at most {in_bytes(bound)} of features and logits"
        patience.emit(PhaseChanged("fitting", note))
        labels = []
        for start in range(0, len(chosen), IMAGES_AT_ONCE):
            part = chosen[start : start + IMAGES_AT_ONCE]
            read = patience.patiently(lambda part=part: images.read(part, geometries))  # type: ignore[misc]
            for at, reason in read.unreadable.items():
                self.emit(Logged("warning", f"fit set: {images.name_of(int(part[at]))} left out: {reason}"))
            kept = [at for at in range(len(part)) if at not in read.unreadable]
            pixels = {g: torch.from_numpy(p[kept]).to(self.device) for g, p in read.pixels.items()}
            labels.append(images.labels[part[kept]])
            self._look(variants, pixels, batches, pool)
        self._labels = np.concatenate(labels)
        if len(self._labels) < 2:
            raise EngineError(f"{images.name}: fewer than two images of the fit set can be read")
        self.emit(FitSeen(len(self._labels), len(chosen) - len(self._labels)))

    def _look(
        self,
        variants: list[CalibratedVariant | None],
        pixels: dict[Geometry, Tensor],
        batches: Batches,
        pool: ThreadPoolExecutor,
    ) -> None:
        def look(size: int) -> list[Outputs | None]:
            def one(ready: CalibratedVariant | None) -> Outputs | None:
                if ready is None:
                    return None
                with torch.inference_mode():
                    given = pixels[ready.source.geometry]
                    return forward(ready.model, ready.source, given, size, features=True)

            return of_each(pool, one, variants)

        for column, seen in enumerate(batches.fitting(look, 0)):
            if seen is not None:
                self._seen.setdefault(column, []).append(seen)

    def scorers(self, column: Column, ready: CalibratedVariant) -> dict[str, Scorer]:
        """Return the scores of a variant by name, fitted on what it was shown."""
        fit = self._fit_set(column, ready)
        if fit is not None and self.outputs is not None:
            self.outputs.keep_fit(column, arrays_of(fit))
        return self.fitted(ready.variant.key, stored_scores(self.plan), fit)

    def fitted(self, key: str, names: Iterable[str], fit: FitSet | None) -> dict[str, Scorer]:
        """Return scores of the variant `key`; one that cannot be fitted is said and gives NaN."""
        found: dict[str, Scorer] = {}
        for name in names:
            try:
                score = scorers.scorer(name, fit, self.plan.score_parameters.get(name))
                found[name] = self._guarded(key, name, score)
            except ScoreError as error:
                self.emit(Logged("warning", f"{key}: {error}"))
                found[name] = _no_value
            if fit is not None:
                self._warn(name, fit)
        return found

    def _guarded(self, key: str, name: str, score: Scorer) -> Scorer:
        """Return a score that has no value, and says so once, where it cannot be computed."""

        def guarded(given: Outputs) -> Tensor:
            try:
                return score(given)
            except ScoreError as error:
                if f"{key} {name}" not in self.warned:
                    self.warned.add(f"{key} {name}")
                    self.emit(Logged("warning", f"{key}: {error}"))
                return _no_value(given)

        return guarded

    def _fit_set(self, column: Column, ready: CalibratedVariant) -> FitSet | None:
        parts = self._seen.pop(column, [])
        if not parts:
            return None
        features = torch.cat([part.wide() for part in parts])
        logits = torch.cat([part.logits for part in parts])
        labels = torch.from_numpy(self._labels).to(self.device)
        with torch.inference_mode():
            return FitSet(Outputs(logits, features), labels, head_of(ready.model))

    def _warn(self, name: str, fit: FitSet) -> None:
        k = self.plan.score_parameters.get(name, {}).get("k")
        for line in scorers.warnings(name, fit.outputs, fit, int(k) if k is not None else None):
            if name not in self.warned:
                self.warned.add(name)
                self.emit(Logged("warning", line))


def arrays_of(fit: FitSet) -> dict[str, NDArray[Any]]:
    """Return a fit set as the arrays of `qood-tui scores`."""
    head = fit.last_layer()
    tensors = {
        "fit_logits": fit.outputs.logits,
        "fit_features": fit.features(),
        "fit_labels": fit.classes(),
        "weight": head.weight,
        "bias": head.bias,
    }
    return {name: tensor.cpu().numpy() for name, tensor in tensors.items()}


def _no_value(given: Outputs) -> Tensor:
    return torch.full((len(given.logits),), torch.nan, dtype=torch.float64)
