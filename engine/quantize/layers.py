"""Quantized counterparts of the layers of a vision transformer, and their placement in a timm model."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Attention, Block, VisionTransformer
from torch import Tensor, nn

from engine.errors import QuantizeError
from engine.plan.bits import FLOAT, Bits
from engine.quantize.grids.base import Quantizer
from engine.quantize.sites import Role, Site, Widths

MUCH = 0.05  # of the weights in floating point whatever the bits: above this there is a warning
Choose = Callable[[Site], nn.Module]


class QuantizedLayer(nn.Module):
    """A linear or patch convolution whose input and weight pass through quantizers.

    Once `freeze` is called the quantized weight is kept, not recomputed at every forward pass.
    """

    def __init__(
        self, layer: nn.Linear | nn.Conv2d, input_quantizer: nn.Module, weight_quantizer: nn.Module
    ) -> None:
        super().__init__()
        self.weight = layer.weight
        self.bias = layer.bias
        self.stride = layer.stride if isinstance(layer, nn.Conv2d) else None
        self.input_quantizer = input_quantizer
        self.weight_quantizer = weight_quantizer
        self.frozen: Tensor | None
        self.register_buffer("frozen", None, persistent=False)

    def freeze(self) -> None:
        """Keep the quantized weight from now on."""
        self.frozen = self.weight_quantizer(self.weight)

    def forget_exact(self) -> None:
        """Discard the weight as it was before quantization, which takes as much memory again."""
        if self.frozen is not None:
            self.weight = nn.Parameter(self.frozen, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output for (batch, ..., in) or, for patches, (batch, 3, height, width)."""
        x = self.input_quantizer(x)
        return self.multiply(x, self.weight_quantizer(self.weight) if self.frozen is None else self.frozen)

    def multiply(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return the layer's output for this input and weight."""
        if self.stride is not None:
            return F.conv2d(x, weight, self.bias, self.stride)
        return F.linear(x, weight, self.bias)


class MatrixProduct(nn.Module):
    """A product of two activations; a module, so that its output can be watched."""

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Return left @ right."""
        return left @ right


class QuantizedAttention(nn.Module):
    """Multi-head self-attention whose four matrix operands pass through quantizers.

    Queries and keys are quantized before the 1 / sqrt(d) scaling.
    """

    def __init__(self, attention: Attention, qkv: QuantizedLayer, proj: QuantizedLayer) -> None:
        super().__init__()
        self.heads, self.head_width, self.scale = attention.num_heads, attention.head_dim, attention.scale
        self.qkv, self.proj = qkv, proj
        self.query_quantizer: nn.Module = nn.Identity()
        self.key_quantizer: nn.Module = nn.Identity()
        self.value_quantizer: nn.Module = nn.Identity()
        self.softmax_quantizer: nn.Module = nn.Identity()
        self.query_key, self.softmax_value = MatrixProduct(), MatrixProduct()

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        """Return the attended tokens (batch, tokens, width); a mask is refused."""
        if attn_mask is not None or is_causal:
            raise QuantizeError("masked attention cannot be quantized")
        batch, tokens, _ = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, self.head_width).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)
        query = self.query_quantizer(query)
        key = self.key_quantizer(key.transpose(-2, -1))
        attention = (self.query_key(query, key) * self.scale).softmax(-1)
        attention = self.softmax_quantizer(attention)
        mixed = self.softmax_value(attention, self.value_quantizer(value))
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, tokens, -1))
        return out


def unquantized_copy(model: VisionTransformer) -> VisionTransformer:
    """Return a copy of `model` that computes as quantized models do, with nothing quantized."""
    return quantized_copy(model, Widths(Bits(), {}), lambda site: nn.Identity())


def quantized_copy(model: VisionTransformer, widths: Widths, choose: Choose) -> VisionTransformer:
    """Return a copy of `model` with the quantizers that `choose` gives for each tensor.

    Left in floating point: biases, LayerNorm, softmax and GELU arithmetic, residual sums, LayerScale,
    class and position embeddings. Raises QuantizeError if the copy could not be faithful.
    """
    check_architecture(model)
    model = copy.deepcopy(model).eval().requires_grad_(False)
    names: list[str] = []

    def quantizer(name: str, role: Role) -> nn.Module:
        site = widths.site(name, role)
        names.append(name)
        return nn.Identity() if site.bits == FLOAT else choose(site)

    def layer(name: str, module: nn.Module, role: Role) -> QuantizedLayer:
        if not isinstance(module, nn.Linear | nn.Conv2d):
            raise QuantizeError(f"{name} is a {type(module).__name__}, not a linear layer")
        return QuantizedLayer(
            module, quantizer(f"{name}.input", role), quantizer(f"{name}.weight", Role.WEIGHT)
        )

    projection = layer("patch_embed.proj", model.patch_embed.proj, Role.PATCH_INPUT)
    model.patch_embed.proj = projection
    for i, block in enumerate(model.blocks):
        at = f"blocks.{i}"
        attention = QuantizedAttention(
            block.attn,
            layer(f"{at}.attn.qkv", block.attn.qkv, Role.LAYER_NORM),
            layer(f"{at}.attn.proj", block.attn.proj, Role.INPUT),
        )
        attention.query_quantizer = quantizer(f"{at}.attn.query", Role.QUERY)
        attention.key_quantizer = quantizer(f"{at}.attn.key", Role.KEY)
        attention.value_quantizer = quantizer(f"{at}.attn.value", Role.VALUE)
        attention.softmax_quantizer = quantizer(f"{at}.attn.softmax", Role.SOFTMAX)
        block.attn = attention
        block.mlp.fc1 = layer(f"{at}.mlp.fc1", block.mlp.fc1, Role.LAYER_NORM)
        block.mlp.fc2 = layer(f"{at}.mlp.fc2", block.mlp.fc2, Role.GELU)
    model.head = layer("head", model.head, Role.INPUT)
    if getattr(model, "head_dist", None) is not None:
        model.head_dist = layer("head_dist", model.head_dist, Role.INPUT)
    widths.check_used(names)
    return model


def quantized_layers(model: nn.Module) -> Iterator[tuple[str, QuantizedLayer]]:
    """Yield every quantized layer of a model with its name."""
    return ((n, m) for n, m in model.named_modules() if isinstance(m, QuantizedLayer))


def is_coded(layer: QuantizedLayer) -> bool:
    """Return whether the weight of a layer is quantized."""
    return not isinstance(layer.weight_quantizer, nn.Identity)


def float_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the parameters that stay in floating point, by name."""
    coded = {f"{name}.weight" for name, layer in quantized_layers(model) if is_coded(layer)}
    return {name: value for name, value in model.named_parameters() if name not in coded}


def quantizers(model: nn.Module) -> Iterator[tuple[str, Quantizer]]:
    """Yield every quantizer of a model with the name of its tensor."""
    for name, module in model.named_modules():
        if isinstance(module, Quantizer):
            yield name.removesuffix("_quantizer"), module


def without_quantizers(model: VisionTransformer) -> VisionTransformer:
    """Return a copy of a quantized model that computes in floating point, in the same places."""
    exact = copy.deepcopy(model)
    for name, _ in quantizers(model):
        exact.set_submodule(f"{name}_quantizer", nn.Identity())
    return exact


@torch.inference_mode()
def freeze(model: VisionTransformer) -> VisionTransformer:
    """Keep all quantized weights of a calibrated model and return it."""
    for _, layer in quantized_layers(model):
        layer.freeze()
    return model


def forget_exact(model: nn.Module) -> None:
    """Discard the exact weights of a frozen model; its outputs stay the same."""
    for _, layer in quantized_layers(model):
        layer.forget_exact()


def share_beyond(model: VisionTransformer) -> float:
    """Return the share of the weights of linear layers and convolutions that no method here quantizes.

    It is 0 in a plain vision transformer; in a hybrid it is that of the stem.
    """
    covered = [model.patch_embed.proj, model.head, getattr(model, "head_dist", None)]
    for block in model.blocks:
        covered += [block.attn.qkv, block.attn.proj, block.mlp.fc1, block.mlp.fc2]
    kinds = nn.Linear | nn.Conv2d
    whole = sum(module.weight.numel() for module in model.modules() if isinstance(module, kinds))
    return float(1 - sum(layer.weight.numel() for layer in covered if layer is not None) / whole)


def warning_of(model: VisionTransformer) -> str:
    """Return a warning that much of a model stays in floating point whatever its bits, or an empty text."""
    share = share_beyond(model)
    if share <= MUCH:
        return ""
    return (
        f"{share:.1%} of its weights, those before the patch projection, stay in floating point at every bit "
        "setting: its losses and sizes are not those of a fully quantized model"
    )


def check_architecture(model: nn.Module) -> None:
    """Raise QuantizeError with the reason if `model` is not a plain timm VisionTransformer."""
    if not isinstance(model, VisionTransformer):
        raise QuantizeError(f"{type(model).__name__} is not a timm VisionTransformer")
    if not isinstance(getattr(model.patch_embed, "proj", None), nn.Conv2d) or not isinstance(
        model.head, nn.Linear
    ):
        raise QuantizeError("a patch convolution and a linear head are needed")
    if model.attn_pool is not None:
        raise QuantizeError("attention pooling cannot be quantized faithfully")
    for i, block in enumerate(model.blocks):
        if type(block) is not Block:
            kind = type(block).__name__
            raise QuantizeError(f"block {i} is a {kind}, and only attention followed by an MLP is covered")
        if type(block.attn) is not Attention:
            raise QuantizeError(f"block {i} has {type(block.attn).__name__}, which no method here covers")
        extra = [name for name in ("q_norm", "k_norm", "norm") if not _is_identity(block.attn, name)]
        if extra or getattr(block.attn, "gate", None) is not None or not _is_identity(block.mlp, "norm"):
            raise QuantizeError(f"block {i} has normalised or gated attention, which no method here covers")
        if not isinstance(block.norm1, nn.LayerNorm) or not isinstance(block.norm2, nn.LayerNorm):
            raise QuantizeError(f"block {i} has {type(block.norm1).__name__} where a LayerNorm is needed")
        if not hasattr(block.mlp, "fc1") or not hasattr(block.mlp, "fc2"):
            raise QuantizeError(f"block {i} has a {type(block.mlp).__name__}, not two linear layers")


def _is_identity(module: nn.Module, name: str) -> bool:
    return isinstance(getattr(module, name, nn.Identity()), nn.Identity)
