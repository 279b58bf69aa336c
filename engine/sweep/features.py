"""The head of a model and what it sees: logits = features W^T + b, up to rounding."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from engine.quantize.layers import QuantizedLayer
from engine.scores.outputs import Head, Outputs


def outputs(model: VisionTransformer, images: Tensor) -> Outputs:
    """Return logits and features of normalised images (n, 3, height, width).

    Features are the head's input as its matrix product sees it, quantized where the head's input is. A
    distilled DeiT has two heads whose mean is the logits: its features are both inputs side by side.
    """
    # No hooks: other threads copy the floating-point model while it runs, and would copy them too.
    tokens = model.forward_features(images)
    layers = heads(model)
    if len(layers) == 1:
        inputs = [model.forward_head(tokens, pre_logits=True)]
    else:
        inputs = [tokens[:, 0], tokens[:, 1]]
    seen = [_quantized(layer, x) for layer, x in zip(layers, inputs, strict=True)]
    logits = [F.linear(x, _weight(layer), layer.bias) for layer, x in zip(layers, seen, strict=True)]
    return Outputs(sum(logits[1:], logits[0]) / len(layers), torch.cat(seen, 1))


def head_of(model: VisionTransformer) -> Head:
    """Return the head as it runs, its weight dequantized."""
    layers = heads(model)
    weights = [_weight(layer) for layer in layers]
    zero = weights[0].new_zeros(len(weights[0]))
    biases = [zero if layer.bias is None else layer.bias for layer in layers]
    return Head(torch.cat(weights, 1) / len(layers), sum(biases, zero) / len(layers))


def sizes_of(model: VisionTransformer) -> tuple[int, int]:
    """Return how many logits and features a floating-point model gives per image."""
    weight = head_of(model).weight
    return len(weight), weight.shape[1]


def heads(model: VisionTransformer) -> list[nn.Linear | QuantizedLayer]:
    """List the last layers of a model: one, or two of a distilled DeiT."""
    second = getattr(model, "head_dist", None)
    return [model.head] if second is None else [model.head, second]


def _weight(layer: nn.Linear | QuantizedLayer) -> Tensor:
    if isinstance(layer, QuantizedLayer) and layer.frozen is not None:
        return layer.frozen
    return layer.weight


def _quantized(layer: nn.Linear | QuantizedLayer, x: Tensor) -> Tensor:
    quantized: Tensor = layer.input_quantizer(x) if isinstance(layer, QuantizedLayer) else x
    return quantized
