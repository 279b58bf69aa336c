"""Uniform quantizers everywhere; the methods differ in how they set the range."""

from __future__ import annotations

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from engine.quantize.grids import search
from engine.quantize.grids.uniform import Search, Uniform
from engine.quantize.layers import freeze, quantized_copy
from engine.quantize.sites import Role, Site, Widths


def minmax(model: VisionTransformer, widths: Widths, images: Tensor) -> VisionTransformer:
    """Round to nearest between the smallest and the largest value: the plainest quantizer there is."""
    return calibrated(model, widths, images, search.min_max)


def percentile(
    model: VisionTransformer, widths: Widths, images: Tensor, share: float = 0.9999
) -> VisionTransformer:
    """Clip both ends at a percentile."""
    return calibrated(model, widths, images, search.percentile(share))


def omse(model: VisionTransformer, widths: Widths, images: Tensor) -> VisionTransformer:
    """Clip where the squared error is least."""
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
