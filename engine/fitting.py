"""The scores of a variant: those that learn are fitted on what this variant says of the fit set."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from engine import catalog
from engine.arrays import stored_scores
from engine.calibration import Emit, Ready
from engine.errors import ScoreError
from engine.images import order
from engine.images.source import Geometry, ImageSet
from engine.models.features import head_of, outputs
from engine.models.loaded import normalise
from engine.plan import Plan
from engine.protocol import Logged, SetReady
from engine.scores import scorers
from engine.scores.outputs import FitSet, Outputs, Scorer

IMAGES_AT_ONCE = 250


class Fitting:
    """The fit set of a plan, if any of its scores learns, and what is fitted on it."""

    def __init__(self, plan: Plan, images: ImageSet, device: torch.device, emit: Emit) -> None:
        self.plan, self.images, self.device, self.emit = plan, images, device, emit
        self.chosen = order.draw(images.labels, plan.fit_images, plan.seed)
        self.warned: set[str] = set()
        for name, parameters in plan.score_parameters.items():
            scorers.check(name, parameters)

    @property
    def is_needed(self) -> bool:
        """Tell whether a score learns."""
        return any(catalog.SCORES[name].fitted for name in stored_scores(self.plan))

    @property
    def needs_features(self) -> bool:
        """Tell whether a score looks at features."""
        needs = (catalog.SCORES[name].needs for name in stored_scores(self.plan))
        return any("features" in arrays for arrays in needs)

    def describe(self) -> SetReady | None:
        """Return what is recorded of the fit set; None if it is not needed."""
        if not self.is_needed:
            return None
        images = self.images
        return SetReady(images.name, images.role, images.label, len(self.chosen), images.digest(self.chosen))

    def scorers(self, ready: Ready) -> dict[str, Scorer]:
        """Return the scores of a variant by name; one that cannot be fitted is said and gives NaN."""
        fit = self._fit_set(ready) if self.is_needed else None
        found: dict[str, Scorer] = {}
        for name in stored_scores(self.plan):
            try:
                score = scorers.scorer(name, fit, self.plan.score_parameters.get(name))
                found[name] = self._guarded(ready.variant.key, name, score)
            except ScoreError as error:
                self.emit(Logged("warning", f"{ready.variant.key}: {error}"))
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

    def _fit_set(self, ready: Ready) -> FitSet:
        labels = torch.from_numpy(self.images.labels[self.chosen]).to(self.device)
        parts = [
            outputs(ready.model, normalise(self._read(part, ready.source.geometry), ready.source))
            for part in np.array_split(self.chosen, max(1, len(self.chosen) // IMAGES_AT_ONCE))
        ]
        features = torch.cat([part.wide() for part in parts])
        logits = torch.cat([part.logits for part in parts])
        return FitSet(Outputs(logits, features), labels, head_of(ready.model))

    def _read(self, indices: order.Indices, geometry: Geometry) -> Tensor:
        return torch.from_numpy(self.images.read(indices, geometry)[0]).to(self.device)

    def _warn(self, name: str, fit: FitSet) -> None:
        k = self.plan.score_parameters.get(name, {}).get("k")
        for line in scorers.warnings(name, fit.outputs, fit, int(k) if k is not None else None):
            if name not in self.warned:
                self.warned.add(name)
                self.emit(Logged("warning", line))


def _no_value(given: Outputs) -> Tensor:
    return torch.full((len(given.logits),), torch.nan, dtype=torch.float64)
