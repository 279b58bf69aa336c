"""From a plan to variants that can be run: quantize, or load what was quantized before, and tabulate."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import NamedTuple

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from engine.errors import EngineError, QuantizeError
from engine.images.image_set import Geometry
from engine.images.sets import HeldOutPool
from engine.models.loaded import LoadedModel, normalise
from engine.plan.variants import Variant
from engine.protocol.events import AttentionCompared, BitsTabled, VariantFailed, VariantReady
from engine.quantize.bit_table import tabulate
from engine.quantize.layers import forget_exact, unquantized_copy
from engine.quantize.methods import base as methods
from engine.quantize.sites import Widths
from engine.scores.outputs import Scorer
from engine.sweep.devices.backend import backend_of
from engine.sweep.retry import Emit
from engine.sweep.saved_variants import SavedVariants, key_of
from engine.sweep.setup import Setup


class CalibratedVariant(NamedTuple):
    """A calibrated variant on its device, with its scores and the floating-point model it was made from."""

    variant: Variant
    model: nn.Module
    float_model: LoadedModel
    digest: str
    scorers: Mapping[str, Scorer] = {}


Variants = list[CalibratedVariant | None]  # by column; None for one that could not be calibrated


class Calibration:
    """Calibrate the variants of a sweep on images that are read once, and emit the results."""

    def __init__(self, setup: Setup, emit: Emit) -> None:
        self.setup, self.plan, self.emit = setup, setup.plan, emit
        self.saved = SavedVariants(setup.session)
        self.pixels = [_read(pool, setup.models.geometries) for pool in setup.sets.calibrations]

    def calibrate(self, variant: Variant) -> CalibratedVariant | None:
        """Quantize one variant and tabulate it, or load it as saved; return None if it cannot be quantized.

        Raises EngineError if the finished rows belong to a different variant of that name.
        """
        started = time.monotonic()
        prior, float_model = self.setup.prior, self.setup.models.by_name[variant.model]
        before = prior.digests.get(variant.key)
        required = before if prior.is_binding else None
        table = prior.tables.get(variant.key)
        if variant.key in prior.failed:  # its finished rows have no values
            self.emit(VariantFailed(variant.key, prior.failed[variant.key]))
            return None
        try:
            if variant.bits.is_float:
                model, digest = float_model.model, self.setup.models.digests[variant.model]
                self._compare_attention(variant, float_model)
            elif before is not None and (saved := self._load(variant, before)) is not None:
                model, digest = saved, before
            else:
                model, digest, table = self._quantize(variant, float_model, required)
        except QuantizeError as error:
            if required is not None:
                raise EngineError(
                    f"{variant.key}: it could be quantized before the interruption, but not now: {error}"
                ) from None
            self.emit(VariantFailed(variant.key, str(error)))
            return None
        seconds = round(time.monotonic() - started, 3)
        self.emit(VariantReady(variant.key, digest, seconds, float_model.classes))
        if table is not None and not prior.is_binding:
            self.emit(table)
        return CalibratedVariant(variant, model, float_model, digest)

    def _compare_attention(self, reference: Variant, float_model: LoadedModel) -> None:
        """Emit how far explicit attention, as quantized models compute it, is from fused attention."""
        if all(variant.bits.is_float for variant in self.plan.variants()):
            return
        images = self._images(reference, float_model)
        try:
            copy = unquantized_copy(float_model.model)
        except QuantizeError:  # every variant affected reports it
            return
        with torch.inference_mode():
            fused, explicit = float_model.model(images), copy(images)
        if not fused.isfinite().all() or not explicit.isfinite().all():
            return
        self.emit(
            AttentionCompared(
                reference.model,
                len(images),
                float((fused - explicit).abs().max()),
                float(fused.std()),
                int((fused.argmax(1) != explicit.argmax(1)).sum()),
            )
        )

    def _load(self, variant: Variant, digest: str) -> nn.Module | None:
        """Return a saved variant; None if it or its bit table is missing, so that it is calibrated again."""
        if variant.key not in self.setup.prior.tables:
            return None
        return _load(self.setup, self.saved, variant, digest)

    def _quantize(
        self, variant: Variant, float_model: LoadedModel, required: str | None
    ) -> tuple[nn.Module, str, BitsTabled]:
        """Calibrate a variant, save it, and tabulate its bits on the calibration images."""
        widths = Widths(variant.bits, self.plan.overrides, first_and_last=self.plan.first_and_last or None)
        images = self._images(variant, float_model)
        parameters = self.plan.method_parameters or {}
        model = methods.quantize(variant.method, float_model.model, widths, images, parameters)
        digest = self._save(variant, model, float_model, required)
        table = tabulate(variant.key, model, images)
        forget_exact(model)
        backend_of(images.device).release_memory()
        return model, digest, table

    def _save(
        self, variant: Variant, model: VisionTransformer, float_model: LoadedModel, required: str | None
    ) -> str:
        about: dict[str, object] = {
            "overrides": self.plan.overrides,
            "first_and_last": self.plan.first_and_last or None,
            "method_parameters": self.plan.method_parameters or {},
            "calibration": self.setup.prepared.calibrations[variant.draw].digest,
            "calibration_images": self.plan.calibration_images,
        }
        return self.saved.save(variant, model, float_model, _key(self.setup, variant), about, required)

    def _images(self, variant: Variant, float_model: LoadedModel) -> Tensor:
        device = next(float_model.model.parameters()).device
        return normalise(self.pixels[variant.draw][float_model.geometry].to(device), float_model)


def load_calibrated(setup: Setup, variant: Variant, digest: str) -> CalibratedVariant:
    """Return a variant that another process has calibrated; raise EngineError if it cannot be read back."""
    float_model, saved = setup.models.by_name[variant.model], SavedVariants(setup.session)
    if variant.bits.is_float:
        return CalibratedVariant(variant, float_model.model, float_model, digest)
    model = _load(setup, saved, variant, digest)
    if model is None:
        raise EngineError(f"{variant.key}: its quantized state cannot be read back from {saved.folder.name}")
    return CalibratedVariant(variant, model, float_model, digest)


def _load(setup: Setup, saved: SavedVariants, variant: Variant, digest: str) -> nn.Module | None:
    """Return a quantized variant as it was saved for exactly this plan and these images, else None."""
    return saved.load(variant, setup.models.by_name[variant.model], _key(setup, variant), digest)


def _key(setup: Setup, variant: Variant) -> str:
    draw = setup.prepared.calibrations[variant.draw].digest
    models = setup.models
    return key_of(variant, models.by_name[variant.model], models.digests[variant.model], draw, setup.plan)


def _read(pool: HeldOutPool, geometries: list[Geometry]) -> dict[Geometry, Tensor]:
    """Return uint8 images; raise EngineError for one that could be read when it was drawn."""
    read = pool.images.read(pool.chosen, geometries)
    for at, reason in read.unreadable.items():
        name = pool.images.name_of(int(pool.chosen[at]))
        raise EngineError(f"{pool.images.name}: {name} can no longer be used: {reason}")
    return {geometry: torch.from_numpy(pixels) for geometry, pixels in read.pixels.items()}
