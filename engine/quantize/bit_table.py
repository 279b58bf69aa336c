"""The bit table: every tensor of a quantized model with its width, range and error, and its true size."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from engine.protocol import BitsTabled, TensorRow
from engine.quantize.bitstream import packed_size
from engine.quantize.layers import QuantizedLayer, quantized_layers, quantizers

SCALE_BYTES, ZERO_POINT_BYTES = 4, 4  # float32: RepQ-ViT's zero points may be fractional
FLOAT_BYTES = 4


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
        rows.append(_row(name, quantizer, sums, stored=packed_size(weight.numel(), quantizer.bits)))
    floats = float_tensors(model)
    left = sum(value.numel() for value in floats.values()) * FLOAT_BYTES
    whole = left + sum(FLOAT_BYTES * r.elements for r in rows if r.tensor.endswith(".weight"))
    return BitsTabled(
        variant, tuple(rows), tuple(sorted(floats)), left, left + sum(r.bytes for r in rows), whole
    )


def float_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return the parameters that stay in floating point, by name."""
    coded = {f"{name}.weight" for name, layer in quantized_layers(model) if is_coded(layer)}
    return {name: value for name, value in model.named_parameters() if name not in coded}


def is_coded(layer: QuantizedLayer) -> bool:
    """Tell whether the weight of a layer is quantized."""
    return not isinstance(layer.weight_quantizer, nn.Identity)


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
    scales = quantizer.scale.numel()
    parameters = sum(
        getattr(quantizer, part).numel() * size
        for part, size in (("scale", SCALE_BYTES), ("zero_point", ZERO_POINT_BYTES))
        if getattr(quantizer, part, None) is not None
    )
    low, high = quantizer.range()
    ratio = 10 * math.log10(sums.signal / sums.noise) if sums.noise and sums.signal else None
    return TensorRow(
        name,
        quantizer.label,
        quantizer.bits,
        scales,
        _short(low),
        _short(high),
        _short(sums.clipped / max(sums.elements, 1)),
        None if ratio is None else round(ratio, 2),
        sums.elements,
        stored + parameters,
    )


def _short(value: float) -> float:
    return float(f"{value:.4g}")
