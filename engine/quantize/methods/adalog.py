"""AdaLog calibration (Wu et al., "AdaLog: Post-Training Quantization for Vision Transformers with
Adaptive Logarithm Quantizer", ECCV 2024): logarithms of a searched base, and a progressive search.

As in the official code, every product is calibrated by the squared error of its output on floating-point
inputs, queries, keys and values have one scale per head, and the inputs behind LayerNorms are first scaled
per channel and folded, with a rounded zero point, and uniform ranges start at the least squared error of
their own tensor. Differences: the official code folds only where weights and activations have the same width,
here always; and the progressive search goes over both ends of the range, not over scale and 16 zero points
around its middle, which one-sided tensors at 8 bits lie outside of. Logarithms start at a range that clips
nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from engine.quantize.grids.base import Quantizer
from engine.quantize.grids.logarithmic import FRACTIONS, AdaptiveLog, ShiftedAdaptiveLog
from engine.quantize.grids.search import best_percentile, least_error
from engine.quantize.grids.uniform import Uniform, affine, channels_first, quantiles
from engine.quantize.layers import freeze, quantized_copy
from engine.quantize.methods.base import QuantizationMethod
from engine.quantize.methods.products import LEFT, Parts, Product, in_turns, least, products
from engine.quantize.methods.repq import behind_layer_norm, fold
from engine.quantize.sites import Role, Site, Widths

ROUNDS = 3  # each searches one operand, then the other
REFINEMENTS = 5  # of the 16 best of a grid of 128, at half the step each time
KEPT = 16
AROUND = tuple((i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j)
HIGH_SHARES = tuple(torch.linspace(0.9, 1, 8).tolist())
LOW_SHARES = tuple(torch.linspace(0.1, 0, 16).tolist())
BASES = tuple(range(10, 138))  # times 1 / 37 of an octave

ToParts = Callable[[Tensor, Tensor], Parts]


class AdaLog(QuantizationMethod, frozen=True):
    """AdaLog, as described at the top of this file."""

    @torch.inference_mode()
    def quantize(self, model: VisionTransformer, widths: Widths, images: Tensor) -> VisionTransformer:
        """Return `model` quantized."""
        quantized = quantized_copy(model, widths, _choose)
        fold_layer_norms(quantized, images)
        for product in products(quantized, images):
            in_turns(product, start, best, ROUNDS)
        return freeze(quantized)


def fold_layer_norms(model: VisionTransformer, images: Tensor) -> None:
    """Fold one scale per channel into every LayerNorm and the weight behind it, as RepQ-ViT does."""
    pairs = {id(layer.input_quantizer): (norm, layer) for norm, layer in behind_layer_norm(model)}
    for product in products(model, images):
        quantizer = product.quantizers[LEFT]
        if id(quantizer) in pairs and isinstance(quantizer, Uniform):
            scale, zero_point = best_percentile(product.operands[LEFT], quantizer.bits, -1)
            quantizer.use({"scale": scale, "zero_point": zero_point})
            fold(*pairs[id(quantizer)], quantizer, rounded_zero_point=True)


def start(product: Product, side: int) -> Parts:
    """Return parameters to start from, (groups,) each.

    While the first operand is searched, the other has its starting parameters. A uniform range that clips
    nothing is far too wide at low widths, and the search in turns does not always find its way from there.
    """
    x, quantizer = product.operands[side], product.quantizers[side]
    if isinstance(quantizer, AdaptiveLog):
        one = x.new_ones(1)
        largest = one if quantizer.shift == 0 else (x.amax() + quantizer.shift).reshape(1)
        return {"scale": largest, "base": one * FRACTIONS}
    assert isinstance(quantizer, Uniform)
    scale, zero_point = least_error(x, quantizer.bits, quantizer.axis)
    return {"scale": scale, "zero_point": zero_point}


def best(product: Product, side: int, exact: Tensor) -> Parts:
    """Return the parameters of one operand with the least squared error of the product's output."""
    x, quantizer = product.operands[side], product.quantizers[side]
    assert isinstance(quantizer, Quantizer)
    if isinstance(quantizer, AdaptiveLog) and quantizer.shift == 0:
        bases = x.new_tensor(BASES)[:, None]
        candidates = {"scale": torch.ones_like(bases), "base": bases}
        return least(candidates, product.errors(side, candidates, exact))
    rows = channels_first(x, quantizer.axis)
    if isinstance(quantizer, AdaptiveLog):
        scales = quantiles(rows + quantizer.shift, HIGH_SHARES)
        bases = x.new_tensor(BASES[:: len(BASES) // 16])[:, None]
        return progressive(product, side, exact, scales, bases, _log_parts)
    high, low = quantiles(rows, HIGH_SHARES), quantiles(rows, LOW_SHARES)
    bits = quantizer.bits

    def parts(high: Tensor, low: Tensor) -> Parts:
        scale, zero_point = affine(torch.minimum(low, high), high, bits)
        return {"scale": scale, "zero_point": zero_point}

    return progressive(product, side, exact, high, low, parts)


def progressive(
    product: Product, side: int, exact: Tensor, first: Tensor, second: Tensor, to_parts: ToParts
) -> Parts:
    """Search two parameters together, group by group: a grid, then around the best (AdaLog, section 3.3).

    `first` and `second` are (values, groups); the grid is their product.
    """
    steps = [values.diff(dim=0).abs().amax(0) / 2 for values in (first, second)]
    one = first.repeat_interleave(len(second), 0)
    other = second.repeat(len(first), 1)
    errors = product.errors(side, to_parts(one, other), exact)
    for _ in range(REFINEMENTS):
        kept = errors.topk(min(KEPT, len(errors)), dim=0, largest=False).indices
        one, other, errors = (values.gather(0, kept) for values in (one, other, errors))
        near_one = torch.cat([one + i * steps[0] for i, _ in AROUND])
        near_other = torch.cat([other + j * steps[1] for _, j in AROUND])
        near = product.errors(side, to_parts(near_one, near_other), exact)
        one, other = torch.cat([one, near_one]), torch.cat([other, near_other])
        errors = torch.cat([errors, near])
        steps = [step / 2 for step in steps]
    return least(to_parts(one, other), errors)


def _log_parts(scale: Tensor, base: Tensor) -> Parts:
    tiny = torch.finfo(scale.dtype).tiny
    return {"scale": scale.clamp(min=tiny), "base": base.round().clamp(BASES[0], BASES[-1])}


def _choose(site: Site) -> Quantizer:
    match site.role:
        case Role.SOFTMAX:
            return AdaptiveLog(site.bits)
        case Role.GELU:
            return ShiftedAdaptiveLog(site.bits)
        case Role.WEIGHT:
            return Uniform(site.bits, axis=0)
        case Role.QUERY | Role.KEY | Role.VALUE:
            return Uniform(site.bits, axis=1)  # one scale per head
        case Role.LAYER_NORM:
            return Uniform(site.bits, axis=-1)
        case _:
            return Uniform(site.bits)
