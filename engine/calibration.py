"""From a plan to variants that can be run: load, quantize, make sure of the result, tabulate."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor, nn

from engine import catalog
from engine.errors import EngineError, QuantizeError
from engine.images import order
from engine.images.source import Geometry, ImageSet
from engine.models.loaded import Loaded, load, normalise
from engine.plan import Plan, Variant
from engine.protocol import AnyEvent, CalibrationDraw, VariantFailed, VariantReady
from engine.quantize.bit_table import tabulate
from engine.quantize.sites import Widths
from engine.scores.outputs import Scorer

Emit = Callable[[AnyEvent], None]


class Ready(NamedTuple):
    """A calibrated variant on its device, with its scores."""

    variant: Variant
    model: nn.Module
    source: Loaded
    scorers: dict[str, Scorer] = {}
    needs_features: bool = False


class CalibrationImages:
    """The images that quantizers are calibrated on: other ones for every draw, in seeded order."""

    def __init__(self, plan: Plan, images: ImageSet) -> None:
        self.images = images
        self.draws = [
            order.draw(images.labels, plan.calibration_images, plan.calibration_seed(draw))
            for draw in range(plan.calibration_draws)
        ]

    def read(self, draw: int, geometry: Geometry, device: torch.device) -> Tensor:
        """Return the uint8 images (n, 3, size, size) of one draw."""
        return torch.from_numpy(self.images.read(self.draws[draw], geometry)[0]).to(device)

    def describe(self, plan: Plan) -> tuple[CalibrationDraw, ...]:
        """Return what is recorded of every draw."""
        return tuple(
            CalibrationDraw(
                self.images.name,
                plan.calibration_seed(draw),
                tuple(self.images.name_of(int(i)) for i in chosen),
                self.images.digest(chosen),
            )
            for draw, chosen in enumerate(self.draws)
        )


class Calibration:
    """The models of a plan and how their quantizers are set."""

    def __init__(self, plan: Plan, images: CalibrationImages, device: torch.device, emit: Emit) -> None:
        self.plan, self.images, self.device, self.emit = plan, images, device, emit
        self.models = {name: load(name, device) for name in plan.models}
        self.geometries = {loaded.geometry for loaded in self.models.values()}

    def calibrate(self, variant: Variant, known: dict[str, str]) -> Ready | None:
        """Quantize one variant and say so; one that cannot be is None and is said, too.

        `known` holds digests from before an interruption; raises EngineError if another one results.
        """
        started = time.monotonic()
        source = self.models[variant.model]
        try:
            model = quantize(variant, source, self.images_for(variant, source), self.plan.overrides)
        except QuantizeError as error:
            self.emit(VariantFailed(variant.key, str(error)))
            return None
        digest = state_digest(model)
        if known.get(variant.key, digest) != digest:
            raise EngineError(
                f"{variant.key}: quantizing it again gave other weights than before the interruption; "
                "the finished rows cannot be continued here, start a new session"
            )
        self.emit(VariantReady(variant.key, digest, round(time.monotonic() - started, 3), source.classes))
        return Ready(variant, model, source)

    def tabulate_all(self, variants: list[Ready | None], pool: ThreadPoolExecutor) -> None:
        """Emit the bit table of every quantized variant, activations measured on the calibration images."""

        def tabulate_one(ready: Ready | None) -> None:
            if ready is not None and not ready.variant.bits.is_float:
                self.emit(
                    tabulate(ready.variant.key, ready.model, self.images_for(ready.variant, ready.source))
                )

        list(pool.map(tabulate_one, variants))

    def images_for(self, variant: Variant, source: Loaded) -> Tensor:
        """Return the calibration images of a variant as its model takes them."""
        return normalise(self.images.read(variant.draw, source.geometry, self.device), source)


def quantize(variant: Variant, source: Loaded, images: Tensor, overrides: dict[str, int]) -> nn.Module:
    """Return the model of a variant, calibrated on normalised images if it is quantized at all."""
    if variant.bits.is_float:
        unchanged: nn.Module = source.model
        return unchanged
    entry = catalog.QUANTIZERS[variant.quantizer]
    method = catalog.resolve(entry.target)
    model: nn.Module = method(source.model, Widths(variant.bits, overrides), images, **entry.options)
    return model


def state_digest(model: nn.Module) -> str:
    """Return the SHA-256 of all parameters and buffers, quantizer scales and zero points included."""
    state = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        state.update(name.encode())
        state.update(value.detach().cpu().contiguous().numpy().tobytes())
    return state.hexdigest()
