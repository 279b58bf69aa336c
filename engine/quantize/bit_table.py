"""The bit table: every tensor of a quantized model with its width, range and error, and its true size."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from engine.protocol.events import BitsTabled, TensorRow
from engine.quantize.formats.bitstream import packed_size
from engine.quantize.layers import QuantizedLayer, float_tensors, is_coded, quantized_layers, quantizers

FLOAT_BYTES = 4  # also of scales and zero points: RepQ-ViT's may be fractional


@torch.inference_mode()
def tabulate(variant: str, model: nn.Module, images: Tensor) -> BitsTabled:
    """Measure every quantizer of a calibrated model on images (n, 3, height, width), normalised.

    A weight's figures are exact; an activation's are those of one forward pass of the quantized model.
    The signal-to-quantization-noise ratio is 10 log10(sum x^2 / sum (x - x^)^2) in dB.
    """
    layers = dict(quantized_layers(model))
    watched = {name: q for name, q in quantizers(model) if not name.endswith(".weight")}
    seen: dict[str, _Sums] = {name: _Sums() for name in watched}
    hooks = [q.register_forward_hook(seen[name].add) for name, q in watched.items()]
    model(images)
    for hook in hooks:
        hook.remove()
    rows = []
    for name, quantizer in quantizers(model):
        if name in seen:
            rows.append(_row(name, quantizer, seen[name], stored=0))
            continue
        weight = layers[name.removesuffix(".weight")].weight
        sums = _Sums()
        sums.add(quantizer, (weight,), quantizer(weight))
        rows.append(_row(name, quantizer, sums, stored=packed_size(weight.numel(), quantizer.code_bits)))
    floats = float_tensors(model)
    left = sum(value.numel() * value.element_size() for value in floats.values())
    # What a method adds is in fp16; the model's own parameters are float32.
    own = sum(value.numel() for value in floats.values() if value.dtype is torch.float32)
    whole = FLOAT_BYTES * (own + sum(r.elements for r in rows if r.tensor.endswith(".weight")))
    return BitsTabled(
        variant,
        tuple(rows),
        tuple(sorted([*floats, *float_activations(model)])),
        left,
        left + sum(r.bytes for r in rows),
        whole,
        _short(float_share(model)),
    )


def float_share(model: nn.Module) -> float:
    """Return the share of the weights of linear layers and convolutions that stays in floating point.

    What a method adds in fp16 does not count. 0 where no weight is quantized, as in W32A8.
    """
    coded = sum(layer.weight.numel() for _, layer in quantized_layers(model) if is_coded(layer))
    kinds = (nn.Linear, nn.Conv2d, QuantizedLayer)
    own = [module.weight for module in model.modules() if isinstance(module, kinds)]
    whole = sum(weight.numel() for weight in own if weight.dtype is torch.float32)
    return (whole - coded) / whole if coded else 0.0


def float_activations(model: nn.Module) -> list[str]:
    """List the operands of matrix products, other than weights, that stay in floating point."""
    places = [n.removesuffix("_quantizer") for n, m in model.named_modules() if isinstance(m, nn.Identity)]
    operands = ("input", *(f"attn.{operand}" for operand in ("query", "key", "value", "softmax")))
    return [name for name in places if name.endswith(operands)]


class _Sums:
    """Sums over everything that went through one quantizer."""

    def __init__(self) -> None:
        self.signal = self.noise = 0.0
        self.clipped = self.elements = 0

    def add(self, quantizer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """Add one tensor and its quantized counterpart."""
        x = inputs[0]
        self.signal += float(x.double().square().sum())
        self.noise += float((x - output).double().square().sum())
        self.clipped += int(quantizer.clipped(x).sum())
        self.elements += x.numel()


def _row(name: str, quantizer: Any, sums: _Sums, stored: int) -> TensorRow:
    low, high = quantizer.range()
    ratio = 10 * math.log10(sums.signal / sums.noise) if sums.noise and sums.signal else None
    return TensorRow(
        name,
        quantizer.label,
        quantizer.bits,
        quantizer.scale.numel(),
        _short(low),
        _short(high),
        _short(sums.clipped / max(sums.elements, 1)),
        None if ratio is None else round(ratio, 2),
        sums.elements,
        stored + sum(FLOAT_BYTES * part.numel() for part in quantizer.parameters_set().values()),
    )


def _short(value: float) -> float:
    return float(f"{value:.4g}")
