"""Uniform quantizers everywhere; the methods differ in how they set the range."""

from __future__ import annotations

from typing import Annotated

import torch
from msgspec import Meta
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from engine.quantize.grids import search
from engine.quantize.grids.uniform import Search, Uniform
from engine.quantize.layers import freeze, quantized_copy
from engine.quantize.methods.base import QuantizationMethod
from engine.quantize.sites import Role, Site, Widths


class MinMax(QuantizationMethod, frozen=True):
    """The range from the smallest to the largest value: the plainest method there is."""

    def quantize(self, model: VisionTransformer, widths: Widths, images: Tensor) -> VisionTransformer:
        """Return `model` quantized."""
        return calibrated(model, widths, images, search.min_max)


class Percentile(QuantizationMethod, frozen=True):
    """Both ends clipped at a percentile."""

    share: Annotated[float, Meta(gt=0.5, le=1)] = 0.9999

    def quantize(self, model: VisionTransformer, widths: Widths, images: Tensor) -> VisionTransformer:
        """Return `model` quantized."""
        return calibrated(model, widths, images, search.percentile(self.share))


class OMSE(QuantizationMethod, frozen=True):
    """Both ends clipped for the least squared error."""

    def quantize(self, model: VisionTransformer, widths: Widths, images: Tensor) -> VisionTransformer:
        """Return `model` quantized."""
        return calibrated(model, widths, images, search.least_error)


@torch.inference_mode()
def calibrated(model: VisionTransformer, widths: Widths, images: Tensor, by: Search) -> VisionTransformer:
    """Return `model` quantized, its ranges taken from `images` (n, 3, height, width), normalised.

    Weights have one scale per output channel, activations one per tensor. Layers are calibrated in
    order, each on the output of its already quantized predecessors.
    """

    def choose(site: Site) -> nn.Module:
        return Uniform(site.bits, by, axis=0 if site.role is Role.WEIGHT else None)

    quantized = quantized_copy(model, widths, choose)
    quantized(images)
    return freeze(quantized)
