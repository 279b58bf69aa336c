"""From a plan to variants that can be run: load, quantize or load what was quantized, tabulate."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from engine.errors import EngineError, QuantizeError
from engine.images.image_set import Geometry
from engine.images.sets import HeldOutPool, Sets
from engine.models.loaded import LoadedModel, count_parameters, load, normalise
from engine.plan.plan import Plan
from engine.plan.resources import Resources
from engine.plan.variants import Variant
from engine.protocol.events import (
    AnyEvent,
    AttentionCompared,
    BitsTabled,
    Logged,
    ModelLoaded,
    SetsPrepared,
    VariantFailed,
    VariantReady,
)
from engine.quantize.bit_table import tabulate
from engine.quantize.layers import forget_exact, unquantized_copy
from engine.quantize.methods import base as methods
from engine.quantize.sites import Widths
from engine.scores.outputs import Scorer
from engine.sweep.devices import release_memory
from engine.sweep.saved_variants import SavedVariants, key_of

Emit = Callable[[AnyEvent], None]


class CalibratedVariant(NamedTuple):
    """A calibrated variant on its device, with its scores."""

    variant: Variant
    model: nn.Module
    source: LoadedModel
    digest: str
    scorers: Mapping[str, Scorer] = {}


class PriorVariants(NamedTuple):
    """What a journal says of variants from before: their digests, bit tables, and why some failed.

    It is binding where rows are finished: they are of exactly these variants.
    """

    digests: Mapping[str, str] = {}
    tables: Mapping[str, BitsTabled] = {}
    failed: Mapping[str, str] = {}
    is_binding: bool = False


class Models:
    """The models of a plan on a device, in floating point."""

    def __init__(self, plan: Plan, resources: Resources, device: torch.device, emit: Emit) -> None:
        def tell(text: str) -> None:
            emit(Logged("info", text))

        self.by_name = {name: load(name, device, resources, tell) for name in plan.models}
        self.digests = {name: state_digest(loaded.model) for name, loaded in self.by_name.items()}
        self.geometries = sorted({loaded.geometry for loaded in self.by_name.values()})

    def describe(self) -> list[ModelLoaded]:
        """Return the events that say what the models are."""
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


class Calibration:
    """How the quantizers of a plan are set, on images that are read once."""

    def __init__(
        self, plan: Plan, models: Models, sets: Sets, prepared: SetsPrepared, states: SavedVariants
    ) -> None:
        self.plan, self.models, self.prepared, self.states = plan, models, prepared, states
        self.pixels = [_read(one, models.geometries) for one in sets.calibrations]

    def calibrate(self, variant: Variant, known: PriorVariants, emit: Emit) -> CalibratedVariant | None:
        """Quantize one variant and tabulate it, or load it as it was; one that cannot be is None.

        What is done is said. Raises EngineError if finished rows are of another variant of that name.
        """
        started = time.monotonic()
        source = self.models.by_name[variant.model]
        before = known.digests.get(variant.key)
        required = before if known.is_binding else None
        table = known.tables.get(variant.key)
        if variant.key in known.failed:  # its finished rows have no values
            emit(VariantFailed(variant.key, known.failed[variant.key]))
            return None
        try:
            if variant.bits.is_float:
                model, digest = source.model, self.models.digests[variant.model]
                self._compare_attention(variant, source, emit)
            elif (loaded := self._load(variant, known)) is not None and before is not None:
                model, digest = loaded, before
            else:
                model, digest, table = self._quantize(variant, source, required)
        except QuantizeError as error:
            if required is not None:
                raise EngineError(
                    f"{variant.key}: it could be quantized before the interruption: {error}"
                ) from None
            emit(VariantFailed(variant.key, str(error)))
            return None
        emit(VariantReady(variant.key, digest, round(time.monotonic() - started, 3), source.classes))
        if table is not None and not known.is_binding:
            emit(table)
        return CalibratedVariant(variant, model, source, digest)

    def _compare_attention(self, reference: Variant, source: LoadedModel, emit: Emit) -> None:
        """Say what the explicit product of quantized attention changes where nothing is quantized."""
        if all(variant.bits.is_float for variant in self.plan.variants()):
            return
        images = self._images(reference, source)
        try:
            copy = unquantized_copy(source.model)
        except QuantizeError:  # said of every variant that it concerns
            return
        with torch.inference_mode():
            fused, explicit = source.model(images), copy(images)
        if not fused.isfinite().all() or not explicit.isfinite().all():
            return
        emit(
            AttentionCompared(
                reference.model,
                len(images),
                float((fused - explicit).abs().max()),
                float(fused.std()),
                int((fused.argmax(1) != explicit.argmax(1)).sum()),
            )
        )

    def _load(self, variant: Variant, known: PriorVariants) -> nn.Module | None:
        """Return a variant as it was saved; one whose bit table is not there is calibrated again for it."""
        digest = known.digests.get(variant.key)
        if digest is None or variant.key not in known.tables:
            return None
        return load_saved(self.plan, self.models, self.prepared, self.states, variant, digest)

    def _quantize(
        self, variant: Variant, source: LoadedModel, required: str | None
    ) -> tuple[nn.Module, str, BitsTabled]:
        """Calibrate a variant, save it, and tabulate its bits on the calibration images."""
        widths = Widths(variant.bits, self.plan.overrides, first_and_last=self.plan.first_and_last or None)
        images = self._images(variant, source)
        parameters = self.plan.method_parameters or {}
        model = methods.quantize(variant.method, source.model, widths, images, parameters)
        digest = self._save(variant, model, source, required)
        table = tabulate(variant.key, model, images)
        forget_exact(model)
        release_memory()
        return model, digest, table

    def _save(
        self, variant: Variant, model: VisionTransformer, source: LoadedModel, required: str | None
    ) -> str:
        about: dict[str, object] = {
            "overrides": self.plan.overrides,
            "first_and_last": self.plan.first_and_last or None,
            "method_parameters": self.plan.method_parameters or {},
            "calibration": self.prepared.calibrations[variant.draw].digest,
            "calibration_images": self.plan.calibration_images,
        }
        key = _key(self.plan, self.models, self.prepared, variant)
        return self.states.save(variant, model, source, key, about, required)

    def _images(self, variant: Variant, source: LoadedModel) -> Tensor:
        device = next(source.model.parameters()).device
        return normalise(self.pixels[variant.draw][source.geometry].to(device), source)


def load_saved(
    plan: Plan,
    models: Models,
    prepared: SetsPrepared,
    states: SavedVariants,
    variant: Variant,
    digest: str | None,
) -> nn.Module | None:
    """Return a quantized variant as it was saved for exactly this plan and these images, else None."""
    key = _key(plan, models, prepared, variant)
    return states.load(variant, models.by_name[variant.model], key, digest)


def _key(plan: Plan, models: Models, prepared: SetsPrepared, variant: Variant) -> str:
    draw = prepared.calibrations[variant.draw].digest
    source = models.by_name[variant.model]
    return key_of(variant, source, models.digests[variant.model], draw, plan)


def _read(learnt: HeldOutPool, geometries: list[Geometry]) -> dict[Geometry, Tensor]:
    """Return uint8 images; raise EngineError for one that could be read when it was drawn."""
    read = learnt.images.read(learnt.chosen, geometries)
    for at, reason in read.unreadable.items():
        name = learnt.images.name_of(int(learnt.chosen[at]))
        raise EngineError(f"{learnt.images.name}: {name} is no longer the image it was: {reason}")
    return {geometry: torch.from_numpy(pixels) for geometry, pixels in read.pixels.items()}


def state_digest(model: nn.Module) -> str:
    """Return the SHA-256 of all parameters and buffers."""
    state = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        state.update(name.encode())
        state.update(value.detach().cpu().contiguous().numpy().tobytes())
    return state.hexdigest()
