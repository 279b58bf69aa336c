"""Quantized counterparts of the layers of a vision transformer, and their placement in a timm model."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Attention, Block, VisionTransformer
from torch import Tensor, nn

from engine.errors import QuantizeError
from engine.plan import FLOAT, Bits
from engine.quantize.quantizer import LogSqrt2, Search, Uniform

PATCH_INPUT_BITS = 8  # the image itself is never cut to fewer bits


class QuantizedLayer(nn.Module):
    """A linear or patch convolution whose input and weight pass through quantizers.

    Weights are per output channel. Once `freeze` is called the quantized weight is kept, not redone.
    """

    def __init__(
        self, layer: nn.Linear | nn.Conv2d, weight_bits: int, input_bits: int, search: Search
    ) -> None:
        super().__init__()
        self.weight = layer.weight
        self.bias = layer.bias
        self.stride = layer.stride if isinstance(layer, nn.Conv2d) else None
        self.input_quantizer = uniform(input_bits, search)
        self.weight_quantizer = uniform(weight_bits, search, axis=0)
        self.frozen: Tensor | None
        self.register_buffer("frozen", None)

    def freeze(self) -> None:
        """Keep the quantized weight from now on."""
        self.frozen = self.weight_quantizer(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output for (batch, ..., in) or, for patches, (batch, 3, height, width)."""
        x = self.input_quantizer(x)
        weight = self.weight_quantizer(self.weight) if self.frozen is None else self.frozen
        if self.stride is not None:
            return F.conv2d(x, weight, self.bias, self.stride)
        return F.linear(x, weight, self.bias)


class QuantizedAttention(nn.Module):
    """Multi-head self-attention whose four matrix operands pass through quantizers.

    Queries and keys are quantized before the 1 / sqrt(d) scaling, all heads with one scale.
    """

    def __init__(self, attention: Attention, bits: Bits, search: Search, log_softmax: bool) -> None:
        super().__init__()
        self.heads, self.head_width, self.scale = attention.num_heads, attention.head_dim, attention.scale
        self.qkv = QuantizedLayer(attention.qkv, bits.weight, bits.activation, search)
        self.proj = QuantizedLayer(attention.proj, bits.weight, bits.activation, search)
        self.query_quantizer = uniform(bits.activation, search)
        self.key_quantizer = uniform(bits.activation, search)
        self.value_quantizer = uniform(bits.activation, search)
        is_log = log_softmax and bits.activation != FLOAT
        self.softmax_quantizer = LogSqrt2(bits.activation) if is_log else uniform(bits.activation, search)

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """Return the attended tokens (batch, tokens, width); a mask is refused."""
        if attn_mask is not None or is_causal:
            raise QuantizeError("masked attention cannot be quantized")
        batch, tokens, _ = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, self.head_width).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)
        query = self.query_quantizer(query)
        key = self.key_quantizer(key.transpose(-2, -1))
        attention = (query @ key * self.scale).softmax(-1)
        attention = self.softmax_quantizer(attention)
        mixed = attention @ self.value_quantizer(value)
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, tokens, -1))
        return out


def quantized_copy(
    model: VisionTransformer, bits: Bits, search: Search, *, log_softmax: bool
) -> VisionTransformer:
    """Return a copy of `model` with quantized layers in place; raise QuantizeError if it cannot be faithful.

    Left in floating point: biases, LayerNorm, softmax and GELU arithmetic, residual sums, LayerScale,
    class and position embeddings.
    """
    check_architecture(model)
    model = copy.deepcopy(model).eval().requires_grad_(False)
    projection = model.patch_embed.proj
    patch_bits = FLOAT if bits.activation == FLOAT else PATCH_INPUT_BITS
    model.patch_embed.proj = QuantizedLayer(projection, bits.weight, patch_bits, search)
    for block in model.blocks:
        block.attn = QuantizedAttention(block.attn, bits, search, log_softmax)
        block.mlp.fc1 = QuantizedLayer(block.mlp.fc1, bits.weight, bits.activation, search)
        block.mlp.fc2 = QuantizedLayer(block.mlp.fc2, bits.weight, bits.activation, search)
    model.head = QuantizedLayer(model.head, bits.weight, bits.activation, search)
    return model


def quantized_layers(model: nn.Module) -> Iterator[QuantizedLayer]:
    """Yield every quantized layer of a model."""
    return (module for module in model.modules() if isinstance(module, QuantizedLayer))


@torch.inference_mode()
def freeze(model: VisionTransformer) -> VisionTransformer:
    """Keep all quantized weights of a calibrated model and return it."""
    for layer in quantized_layers(model):
        layer.freeze()
    return model


def check_architecture(model: nn.Module) -> None:
    """Raise QuantizeError with the reason if `model` is not a plain timm VisionTransformer."""
    if not isinstance(model, VisionTransformer):
        raise QuantizeError(f"{type(model).__name__} is not a timm VisionTransformer")
    if not isinstance(model.patch_embed.proj, nn.Conv2d) or not isinstance(model.head, nn.Linear):
        raise QuantizeError("a patch convolution and a linear head are needed")
    if model.attn_pool is not None:
        raise QuantizeError("attention pooling cannot be quantized faithfully")
    for i, block in enumerate(model.blocks):
        if type(block) is not Block or type(block.attn) is not Attention:
            raise QuantizeError(f"block {i} is a {type(block).__name__} with {type(block.attn).__name__}")
        extra = [name for name in ("q_norm", "k_norm", "norm") if not _is_identity(block.attn, name)]
        if extra or getattr(block.attn, "gate", None) is not None or not _is_identity(block.mlp, "norm"):
            raise QuantizeError(f"block {i} has normalised or gated attention, which no method here covers")
        if not isinstance(block.norm1, nn.LayerNorm) or not isinstance(block.norm2, nn.LayerNorm):
            raise QuantizeError(f"block {i} has {type(block.norm1).__name__} where a LayerNorm is needed")


def uniform(bits: int, search: Search, axis: int | None = None) -> nn.Module:
    """Return a uniform quantizer, or the identity for floating point."""
    return nn.Identity() if bits == FLOAT else Uniform(bits, search, axis)


def _is_identity(module: nn.Module, name: str) -> bool:
    return isinstance(getattr(module, name, nn.Identity()), nn.Identity)
