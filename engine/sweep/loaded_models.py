"""The models of a plan, in floating point on a device."""

from __future__ import annotations

import hashlib

import torch
from torch import nn

from engine.models.loaded import LoadedModel, count_parameters, load
from engine.plan.plan import Plan
from engine.plan.resources import Resources
from engine.protocol.events import Logged, ModelLoaded
from engine.sweep.features import sizes_of
from engine.sweep.retry import Emit


class LoadedModels:
    """Load every model of a plan; `digests` are the SHA-256 of their weights."""

    def __init__(self, plan: Plan, resources: Resources, device: torch.device, emit: Emit) -> None:
        def log(text: str) -> None:
            emit(Logged("info", text))

        self.by_name: dict[str, LoadedModel] = {
            name: load(name, device, resources, log) for name in plan.models
        }
        self.digests = {name: state_digest(loaded.model) for name, loaded in self.by_name.items()}
        self.geometries = sorted({loaded.geometry for loaded in self.by_name.values()})

    @property
    def class_names(self) -> tuple[str, ...]:
        """Return the class names from the first model file that has any; empty if none has."""
        return next((one.class_names for one in self.by_name.values() if one.class_names), ())

    @property
    def largest_side(self) -> int:
        """Return the side of the largest input images, in pixels."""
        return max(geometry.size for geometry in self.geometries)

    @property
    def most_classes(self) -> int:
        """Return the number of classes of the model that has the most."""
        return max(loaded.classes for loaded in self.by_name.values())

    @property
    def sizes(self) -> dict[str, tuple[int, int]]:
        """Return the numbers of logits and features of each model."""
        return {name: sizes_of(loaded.model) for name, loaded in self.by_name.items()}

    def describe(self) -> list[ModelLoaded]:
        """Return the events that describe the models."""
        return [
            ModelLoaded(
                name,
                loaded.origin,
                self.digests[name],
                count_parameters(loaded.model),
                loaded.classes,
                *loaded.geometry,
                loaded.mean,
                loaded.std,
                loaded.weights,
            )
            for name, loaded in self.by_name.items()
        ]

    def release(self) -> None:
        """Release the models, so that others can use their memory."""
        self.by_name.clear()


def state_digest(model: nn.Module) -> str:
    """Return the SHA-256 of all parameters and buffers."""
    state = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        state.update(name.encode())
        state.update(value.detach().cpu().contiguous().numpy().tobytes())
    return state.hexdigest()
