"""RepQ-ViT (Li et al., ICCV 2023) in the order and with the conventions of its official code."""

from __future__ import annotations

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from engine.quantize.grids.logarithmic import LogSqrt2
from engine.quantize.grids.search import best_percentile
from engine.quantize.grids.uniform import Uniform
from engine.quantize.layers import QuantizedLayer, freeze, quantized_copy, quantizers
from engine.quantize.methods.base import QuantizationMethod
from engine.quantize.sites import Role, Site, Widths


class RepQ(QuantizationMethod, frozen=True):
    """RepQ-ViT; its parameters are ablations, all off in the official code.

    `rounded_zero_point` rounds the common zero points, `uniform_softmax` has no log-sqrt2 quantizer,
    `search_again` searches every scale again in pass 2.
    """

    rounded_zero_point: bool = False
    uniform_softmax: bool = False
    search_again: bool = False

    @torch.inference_mode()
    def quantize(self, model: VisionTransformer, widths: Widths, images: Tensor) -> VisionTransformer:
        """Return `model` quantized.

        Pass 1 sets every scale, channel by channel behind the LayerNorms, each layer on the output of its
        already quantized predecessors. The LayerNorms then absorb the channel scales, and pass 2 searches
        the weights of the layers behind them again. All other scales stay as pass 1 set them.
        """
        quantized = first_pass(model, widths, images, uniform_softmax=self.uniform_softmax)
        folded = reparameterize(quantized, rounded_zero_point=self.rounded_zero_point)
        if folded and self.search_again:
            _reset_all(quantized)
            quantized(images)
        # Pass 2 needs no forward pass: only weights are searched again, and each only looks at itself.
        return freeze(quantized)


@torch.inference_mode()
def first_pass(
    model: VisionTransformer,
    widths: Widths,
    images: Tensor,
    *,
    uniform_softmax: bool = False,
    only_activations: bool = False,
) -> VisionTransformer:
    """Return `model` with channel-wise scales behind its LayerNorms, calibrated on `images`.

    With `only_activations` every weight is left in floating point, whatever its width.
    """

    def choose(site: Site) -> nn.Module:
        if only_activations and site.role is Role.WEIGHT:
            return nn.Identity()
        if site.role is Role.SOFTMAX and not uniform_softmax:
            return LogSqrt2(site.bits)
        axis = {Role.WEIGHT: 0, Role.LAYER_NORM: -1}.get(site.role)
        return Uniform(site.bits, best_percentile, axis)

    quantized = quantized_copy(model, widths, choose)
    quantized(images)
    return quantized


@torch.inference_mode()
def reparameterize(model: VisionTransformer, *, rounded_zero_point: bool = False) -> bool:
    """Fold channel scales into LayerNorms and the weights behind them; return whether there were any."""
    changed = False
    for norm, layer in behind_layer_norm(model):
        if isinstance(layer.input_quantizer, Uniform):
            fold(norm, layer, layer.input_quantizer, rounded_zero_point)
            changed = True
    return changed


def fold(norm: nn.LayerNorm, layer: QuantizedLayer, quantizer: Uniform, rounded_zero_point: bool) -> None:
    """Turn channel-wise scales into one (RepQ-ViT, equations 8 to 12); in FP32 the function stays the same.

    The common zero point is the mean of the channels' and, unless asked, not rounded.
    """
    assert quantizer.scale is not None and quantizer.zero_point is not None
    scale, zero_point = quantizer.scale, quantizer.zero_point
    common_scale, common_zero = scale.mean().reshape(1), zero_point.mean().reshape(1)
    if rounded_zero_point:
        common_zero = common_zero.round()
    ratio = scale / common_scale
    shift = -zero_point * scale / ratio + common_zero * common_scale
    norm.weight.div_(ratio)
    norm.bias.div_(ratio).sub_(shift)
    layer.weight.mul_(ratio)
    moved = layer.weight @ shift
    layer.bias = nn.Parameter(moved if layer.bias is None else layer.bias + moved, requires_grad=False)
    quantizer.fix(common_scale, common_zero)
    if isinstance(layer.weight_quantizer, Uniform):
        layer.weight_quantizer.reset()


def behind_layer_norm(model: VisionTransformer) -> list[tuple[nn.LayerNorm, QuantizedLayer]]:
    """List the LayerNorms of the blocks with the quantized layers that read them."""
    pairs = []
    for block in model.blocks:
        pairs += [(block.norm1, block.attn.qkv), (block.norm2, block.mlp.fc1)]
    return pairs


def _reset_all(model: VisionTransformer) -> None:
    for _, quantizer in quantizers(model):
        quantizer.reset()
