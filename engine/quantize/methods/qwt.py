"""QwT (Fu et al., "Quantization without Tears", CVPR 2025): a linear correction beside every block."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from engine.quantize.layers import quantizers
from engine.quantize.methods.base import QuantizationMethod
from engine.quantize.methods.repq import RepQ
from engine.quantize.sites import Widths


class CompensatedBlock(Block):  # type: ignore[misc]
    """A block that adds `x W + b` to its output, a least-squares fit of what quantization took from it."""

    attribute = "compensation"

    @staticmethod
    def attach(block: nn.Module, tensors: Mapping[str, Tensor]) -> None:
        """Give a block its correction; raise ValueError if it does not fit the block."""
        weight, bias = tensors["weight"], tensors["bias"]
        width = len(block.norm1.weight) if isinstance(block, Block) else 0
        if weight.shape != (width, width) or bias.shape != (width,):
            raise ValueError(f"a correction of {tuple(weight.shape)} does not fit {type(block).__name__}")
        compensate(block, weight, bias)

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """Return the quantized block's output (batch, tokens, width), corrected."""
        out: Tensor = super().forward(x, attn_mask=attn_mask, is_causal=is_causal)
        return out + F.linear(x, self.compensation.weight.float(), self.compensation.bias.float())


class QwT(QuantizationMethod, frozen=True):
    """QwT on top of RepQ-ViT."""

    extras = (CompensatedBlock,)

    @torch.inference_mode()
    def quantize(self, model: VisionTransformer, widths: Widths, images: Tensor) -> VisionTransformer:
        """Return `model` quantized by RepQ-ViT and corrected, block by block, on the same images.

        For each block in order, X is its input in the corrected quantized network and Y what the
        floating-point block would add to the quantized one; the correction is the least-squares solution
        of X W + b = Y in float64, rounded to fp16, and kept if it explains anything (R^2 > 0).
        """
        quantized = RepQ().quantize(model, widths, images)
        inputs = block_inputs(quantized, images)
        for exact, block in zip(model.blocks, quantized.blocks, strict=True):
            output = block(inputs)
            missing = exact(inputs) - output
            weight, bias, explained = fit(inputs.flatten(0, 1), missing.flatten(0, 1))
            # Without a quantizer in the block, what is missing is rounding noise.
            if explained > 0 and any(quantizers(block)):
                compensate(block, weight, bias)
                output = block(inputs)
            inputs = output
        return quantized


def fit(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, float]:
    """Return W (out, in), b (out,) in fp16, and R^2 of the least-squares fit of y (n, out) by x (n, in)."""
    ones = torch.ones(len(x), 1, dtype=torch.float64, device=x.device)
    design = torch.cat([x.double(), ones], 1)
    # Fewer tokens than dimensions, or equal channels: the pseudo-inverse gives the smallest solution.
    solution = torch.linalg.pinv(design) @ y.double()
    solution = solution.half()
    left = (y - design @ solution.double()).square().sum()
    whole = (y - y.mean(0)).double().square().sum()
    explained = 1 - float(left / whole) if float(whole) > 0 else 0.0
    return solution[:-1].T.contiguous(), solution[-1].contiguous(), explained


def compensate(block: nn.Module, weight: Tensor, bias: Tensor) -> None:
    """Turn a block into a CompensatedBlock with the given correction; its other parts keep their names."""
    linear = nn.Linear(weight.shape[1], weight.shape[0], dtype=weight.dtype)
    linear.weight = nn.Parameter(weight, requires_grad=False)
    linear.bias = nn.Parameter(bias, requires_grad=False)
    block.__class__ = CompensatedBlock
    block.compensation = linear


def block_inputs(model: VisionTransformer, images: Tensor) -> Tensor:
    """Return what the first block of a model sees: (batch, tokens, width)."""
    x: Tensor = model.patch_embed(images)
    x = model._pos_embed(x)
    x = model.patch_drop(x)
    x = model.norm_pre(x)
    return x
