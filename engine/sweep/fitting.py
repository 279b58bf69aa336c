"""The scores of a variant: those that learn are fitted on its own outputs for the fit set."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from engine import catalog
from engine.errors import ScoreError
from engine.plan.plan import Plan
from engine.protocol.events import Logged
from engine.scores import scorers
from engine.scores.outputs import FitSet, Outputs, Scorer
from engine.session.arrays import stored_scores
from engine.sweep.retry import Emit


def needs_features(plan: Plan) -> bool:
    """Return whether a plan needs features, for a score or to keep them."""
    return plan.keep_outputs or any("features" in catalog.SCORES[name].needs for name in stored_scores(plan))


class Fitting:
    """Fit the scores of variants; a warning about a score is emitted once."""

    def __init__(self, plan: Plan, emit: Emit) -> None:
        self.plan, self.emit = plan, emit
        self._warned: set[str] = set()

    def fitted(self, key: str, names: Iterable[str], fit: FitSet | None) -> dict[str, Scorer]:
        """Return scores of the variant `key` by name; one that cannot be fitted is reported and gives NaN."""
        fitted: dict[str, Scorer] = {}
        for name in names:
            try:
                score = scorers.scorer(name, fit, self.plan.score_parameters.get(name))
                fitted[name] = self._guarded(key, name, score)
            except ScoreError as error:
                self.emit(Logged("warning", f"{key}: {error}"))
                fitted[name] = _no_value
            if fit is not None:
                self._warn(name, fit)
        return fitted

    def _guarded(self, key: str, name: str, score: Scorer) -> Scorer:
        """Return a score that gives NaN where it cannot be computed, which is reported once."""

        def guarded(outputs: Outputs) -> Tensor:
            try:
                return score(outputs)
            except ScoreError as error:
                if f"{key} {name}" not in self._warned:
                    self._warned.add(f"{key} {name}")
                    self.emit(Logged("warning", f"{key}: {error}"))
                return _no_value(outputs)

        return guarded

    def _warn(self, name: str, fit: FitSet) -> None:
        k = self.plan.score_parameters.get(name, {}).get("k")
        for line in scorers.warnings(name, fit.outputs, fit, int(k) if k is not None else None):
            if name not in self._warned:
                self._warned.add(name)
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


def _no_value(outputs: Outputs) -> Tensor:
    return torch.full((len(outputs.logits),), torch.nan, dtype=torch.float64)
