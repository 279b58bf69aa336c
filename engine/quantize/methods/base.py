"""What every quantization method is, and how one is made from its name in the catalog and its parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import msgspec
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from engine import catalog
from engine.errors import InputError, QoodError, QuantizeError, unknown_name
from engine.quantize.layers import quantizers
from engine.quantize.sites import Widths
from engine.text import split_parameters

Parameters = Mapping[str, Any]  # booleans, numbers and texts, by name


class Extra(Protocol):
    """What a method adds to a model's modules besides quantizers, so that its files can be loaded.

    Its parameters are in the module's `attribute` and in the file, from which `attach` restores them; it
    raises ValueError if they do not fit the module.
    """

    attribute: ClassVar[str]

    @staticmethod
    def attach(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
        """Put the extra with these parameters, by their names in the attribute, on a module."""


class QuantizationMethod(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A post-training quantization method; its fields are its parameters, each with a default.

    What it computes depends on its parameters and arguments only, in whatever thread, and the model that is
    passed in stays as it was. `extras` are what it adds to a model besides quantizers.
    """

    extras: ClassVar[tuple[type[Extra], ...]] = ()

    def quantize(self, model: VisionTransformer, widths: Widths, images: Tensor) -> VisionTransformer:
        """Return a `layers.quantized_copy` of `model`, calibrated on `images` and frozen.

        Images are (n, 3, height, width), normalised. Raises QuantizeError for what cannot be quantized.
        """
        raise NotImplementedError


def load_method(name: str, parameters: Parameters | None = None) -> QuantizationMethod:
    """Return a method of the catalog with its entry's parameters and these, which take precedence.

    Raises QuantizeError if it cannot be loaded, InputError naming a parameter that is unknown or wrong.
    """
    return _made(name, {**catalog.METHODS[name].parameters, **(parameters or {})})


def quantize(
    name: str, model: VisionTransformer, widths: Widths, images: Tensor, parameters: Parameters | None = None
) -> VisionTransformer:
    """Return `model` quantized by a method of the catalog; raise as `load_method` does, or QuantizeError.

    Whatever a method of another package raises, or returns if not a calibrated model, is a QuantizeError too.
    """
    method = load_method(name, parameters)
    if not catalog.METHODS[name].package:
        return method.quantize(model, widths, images)
    try:
        quantized = method.quantize(model, widths, images)
    except (QoodError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise QuantizeError(f"{name}: it failed ({type(error).__name__}: {error})") from error
    _check(name, model, quantized)
    return quantized


def parse_method(text: str) -> tuple[str, dict[str, Any]]:
    """Read `percentile:share=0.999` into a name and parameters; raise as `load_method` does."""
    name, pairs = split_parameters(text)
    if name not in catalog.METHODS:
        raise unknown_name("method", name, catalog.METHODS)
    texts = dict(pairs)
    made = _made(name, texts, strict=False)
    return name, {parameter: getattr(made, parameter) for parameter in texts}


def defaults(name: str) -> dict[str, Any]:
    """Return the parameters of a method of the catalog, with their defaults; raise QuantizeError."""
    return msgspec.structs.asdict(load_method(name))


def _made(name: str, parameters: Parameters, *, strict: bool = True) -> QuantizationMethod:
    kind = _kind(name)
    for parameter in parameters:
        if parameter not in kind.__struct_fields__:
            names = kind.__struct_fields__ or ("none, it has no parameters",)
            raise unknown_name(f"parameter of {name}", parameter, names)
    try:
        made = msgspec.convert(dict(parameters), kind, strict=strict)
    except msgspec.ValidationError as error:
        reason, _, where = str(error).partition(" - at `$.")
        parameter = where.removesuffix("`")
        right = reason[0].lower() + reason[1:]
        raise InputError(f"{name}: {parameter}", parameters.get(parameter), right) from None
    for parameter, value in msgspec.structs.asdict(made).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{name}: {parameter}", value, "a finite number is needed")
    return made


def _kind(name: str) -> type[QuantizationMethod]:
    try:
        kind = catalog.resolve(catalog.METHODS[name].target)
    except Exception as error:
        raise QuantizeError(f"{name}: it cannot be loaded ({type(error).__name__}: {error})") from None
    if not isinstance(kind, type) or not issubclass(kind, QuantizationMethod):
        raise QuantizeError(f"{name}: a subclass of QuantizationMethod is needed, {kind!r:.80} is not one")
    return kind


def _check(name: str, model: VisionTransformer, quantized: object) -> None:
    """Raise QuantizeError if a method returned anything but a calibrated copy of the model."""
    if not isinstance(quantized, VisionTransformer):
        raise QuantizeError(f"{name}: it returned a {type(quantized).__name__}; a quantized model is needed")
    if quantized is model:
        raise QuantizeError(f"{name}: it returned the model itself; a quantized copy is needed")
    unset = [tensor for tensor, quantizer in quantizers(quantized) if not quantizer.is_calibrated]
    if unset:
        raise QuantizeError(f"{name}: it left {unset[0]} without a scale; calibrated quantizers are needed")
