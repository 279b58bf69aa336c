"""Quantizers and bit settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from engine.catalog.named import by_name

BITS = ("FP32", "W8A8", "W6A6", "W4A8", "W8A4", "W4A4")


class Quantizer(msgspec.Struct, frozen=True):
    """A post-training quantization method, with the options that its function is called with.

    `seconds` is roughly what calibrating one micro model costs on one core.
    """

    name: str
    label: str
    target: str
    options: Mapping[str, Any] = {}
    seconds: float = 0.3


_REPQ = "engine.quantize.repq:quantize"
QUANTIZERS: Mapping[str, Quantizer] = by_name(
    Quantizer("minmax", "round to nearest between minimum and maximum", "engine.quantize.plain:minmax"),
    Quantizer("percentile", "both ends clipped at percentile 0.9999", "engine.quantize.plain:percentile"),
    Quantizer("omse", "clipped where the squared error is least", "engine.quantize.plain:omse"),
    Quantizer("repq", "RepQ-ViT as its official code does it", _REPQ),
    Quantizer("repq-rounded", "RepQ-ViT with rounded zero points", _REPQ, {"rounded_zero_point": True}),
    Quantizer("repq-uniform", "RepQ-ViT with a uniform softmax", _REPQ, {"uniform_softmax": True}),
    Quantizer("repq-again", "RepQ-ViT, all scales searched again", _REPQ, {"search_again": True}),
    Quantizer(
        "ptq4vit",
        "PTQ4ViT: twin uniform, scales by the Fisher information",
        "engine.quantize.ptq4vit:quantize",
        seconds=6,
    ),
    Quantizer(
        "adalog", "AdaLog: logarithms of a searched base", "engine.quantize.adalog:quantize", seconds=50
    ),
    Quantizer("erq", "ridge-corrected weights, rounded by halves", "engine.quantize.erq:quantize"),
    Quantizer("qwt", "RepQ-ViT with a linear correction beside each block", "engine.quantize.qwt:quantize"),
)
