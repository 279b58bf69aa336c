"""Quantization methods and bit settings."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points

import msgspec

from engine.catalog.named import by_name

BITS = ("FP32", "W8A8", "W6A6", "W4A8", "W8A4", "W4A4")


class Method(msgspec.Struct, frozen=True):
    """A post-training quantization method, with any parameters that differ from its defaults.

    `target` is a QuantizationMethod. `published` says how the method's published numbers treat the first and
    the last layer, `departures` how it differs from its official code. In a sweep every method treats these
    layers as the plan says: without `first_and_last` they have the bit setting. `seconds` is roughly what
    calibrating one micro model takes on one core. `package` is the name and version of the package of a
    third-party method.
    """

    name: str
    label: str
    target: str
    parameters: Mapping[str, bool | int | float | str] = {}
    seconds: float = 0.3
    published: str = ""
    departures: tuple[str, ...] = ()
    package: Mapping[str, str] = {}


_IMAGE_AT_8 = "patch embedding and head at the bit setting, the image at 8 bits"
_IMAGE_FLOAT = "patch embedding and head at the bit setting, the image in floating point"
_REPQ = "engine.quantize.methods.repq:RepQ"
_PTQ4VIT = "engine.quantize.methods.ptq4vit:PTQ4ViT"
_OF_PTQ4VIT = (
    "scales are judged by the Fisher information, where the code's Hessian is rounding noise",
    "queries, keys and values have one scale per tensor instead of one per head",
    "the split is searched with quantized values instead of exact ones",
)
_OWN: Mapping[str, Method] = by_name(
    Method(
        "minmax",
        "round to nearest between minimum and maximum",
        "engine.quantize.methods.round_to_nearest:MinMax",
    ),
    Method(
        "percentile",
        "both ends clipped at percentile 0.9999",
        "engine.quantize.methods.round_to_nearest:Percentile",
    ),
    Method("omse", "clipped for the least squared error", "engine.quantize.methods.round_to_nearest:OMSE"),
    Method("repq", "RepQ-ViT as in its official code", _REPQ, published=_IMAGE_AT_8),
    Method(
        "repq-rounded",
        "RepQ-ViT with rounded zero points",
        _REPQ,
        {"rounded_zero_point": True},
        departures=("common zero points are whole",),
    ),
    Method(
        "repq-uniform",
        "RepQ-ViT with a uniform softmax",
        _REPQ,
        {"uniform_softmax": True},
        departures=("softmax outputs have a uniform grid",),
    ),
    Method(
        "repq-again",
        "RepQ-ViT, all scales searched again",
        _REPQ,
        {"search_again": True},
        departures=("every scale is searched again in the second pass",),
    ),
    Method(
        "ptq4vit",
        "PTQ4ViT: twin uniform, scales by the Fisher information",
        _PTQ4VIT,
        seconds=6,
        published=_IMAGE_FLOAT,
        departures=(
            *_OF_PTQ4VIT,
            "above the split a softmax output has one range, as in the paper, instead of the sum of both",
        ),
    ),
    Method(
        "ptq4vit-summed",
        "PTQ4ViT with both softmax ranges added, as in its code",
        _PTQ4VIT,
        {"summed_softmax": True},
        seconds=6,
        published=_IMAGE_FLOAT,
        departures=_OF_PTQ4VIT,
    ),
    Method(
        "adalog",
        "AdaLog: logarithms of a searched base",
        "engine.quantize.methods.adalog:AdaLog",
        seconds=50,
        published=_IMAGE_AT_8,
        departures=(
            "channel scales are folded at every setting, even if weights and activations differ in bits",
            "the search covers both ends of a range instead of scale and 16 zero points",
            "GELU outputs start at a range that clips nothing",
        ),
    ),
    Method(
        "erq",
        "ridge-corrected weights, rounded by halves",
        "engine.quantize.methods.erq:ERQ",
        published=_IMAGE_FLOAT,
        departures=(
            "a weight has one scale per output channel (in the code a twentieth of the input columns of qkv "
            "and fc1 have their own scales)",
            "the ridge grows with the number of images",
            "the image has 8 bits instead of staying in floating point",
        ),
    ),
    Method(
        "qwt",
        "RepQ-ViT with a linear correction beside each block",
        "engine.quantize.methods.qwt:QwT",
        published="patch embedding and head at 8 bits (first_and_last = 8 in a plan)",
        departures=(
            "corrections are fitted on the calibration images instead of 512 images",
            "patch embedding and head have the bit setting, unless the plan says otherwise",
        ),
    ),
)


def _third_party() -> list[Method]:
    """List the methods of other packages; none is imported before it is used.

    The entry point `NAME = "module:Class"` in the group `qood_tui.methods` is a QuantizationMethod. A name
    that is already taken keeps its meaning.
    """
    return [
        Method(
            point.name,
            f"from the package {dist.name} {dist.version}",
            point.value,
            package={dist.name: dist.version},
        )
        for point in entry_points(group="qood_tui.methods")
        if point.name not in _OWN and (dist := point.dist) is not None
    ]


METHODS: Mapping[str, Method] = by_name(*_OWN.values(), *_third_party())


def described(name: str) -> tuple[str, ...]:
    """Describe a method in sentences: its published numbers, and how it differs from its official code."""
    method = METHODS[name]
    lines = [f"{name}: {method.label}."]
    if method.published:
        lines.append(f"Its published numbers have {method.published}.")
    if method.departures:
        lines.append(f"Unlike in its official code, {'; '.join(method.departures)}.")
    return tuple(lines)
