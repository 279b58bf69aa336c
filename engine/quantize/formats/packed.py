"""Quantized models on disk: packed integer codes, scales and extra modules in one safetensors file.

For every quantized weight there is `NAME.codes` (a dense bitstream), and for every quantizer its parameters,
such as `NAME.scale` and `NAME.zero_point` (float32, one per channel or tensor); every other parameter is as
it is in the model, including those that a method adds. The metadata entry `qood` is JSON: format version,
how to build the model, the kind of quantizer of each tensor, and the SHA-256 of all tensor bytes.

A file can only name what is installed: kinds of quantizers that are registered, and the extra modules of its
method in the catalog.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as packed_bytes
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from engine import catalog
from engine.errors import InputError, QuantizeError
from engine.plan.bits import Bits, check_width
from engine.quantize.formats.bitstream import pack, unpack
from engine.quantize.grids.base import Quantizer
from engine.quantize.layers import QuantizedLayer, float_tensors, quantized_copy, quantized_layers, quantizers
from engine.quantize.methods.base import Extra, load_method
from engine.quantize.sites import Site, Widths
from engine.system.files import whole

VERSION = 1


class PackedHeader(msgspec.Struct, frozen=True):
    """What a file says about itself."""

    version: int
    model: str
    model_kwargs: dict[str, Any]
    bits: str
    method: str
    overrides: dict[str, int]
    calibration: str  # SHA-256 of the calibration array
    calibration_images: int
    torch: str
    quantizers: dict[str, tuple[str, int, int | None]]  # label, bits, channel axis
    shapes: dict[str, tuple[int, ...]]  # of the packed weights
    sha256: str
    key: str = ""  # of what it was made from, where a sweep made it
    first_and_last: int | None = None
    method_parameters: dict[str, Any] = {}


def save(path: Path, model: VisionTransformer, about: dict[str, Any]) -> str:
    """Write a calibrated model and return the SHA-256 of its tensors.

    `about` holds the fields of PackedHeader that do not follow from the model.
    """
    tensors: dict[str, Tensor] = {}
    kinds: dict[str, tuple[str, int, int | None]] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    layers = dict(quantized_layers(model))
    for name, quantizer in quantizers(model):
        kinds[name] = (quantizer.label, quantizer.bits, quantizer.axis)
        for part, value in quantizer.parameters_set().items():
            tensors[f"{name}.{part}"] = value.detach().float().cpu().contiguous()
        if name.endswith(".weight"):
            weight = layers[name.removesuffix(".weight")].weight
            codes = pack(quantizer.codes(weight).cpu().numpy(), quantizer.code_bits)
            tensors[f"{name}.codes"] = torch.from_numpy(codes)
            shapes[name] = tuple(weight.shape)
    for name, value in float_tensors(model).items():
        tensors[name] = value.detach().cpu().contiguous()
    saved = PackedHeader(
        version=VERSION,
        torch=str(torch.__version__),
        quantizers=kinds,
        shapes=shapes,
        sha256=digest(tensors),
        **about,
    )
    with whole(path) as file:
        file.write(packed_bytes(tensors, {"qood": msgspec.json.encode(saved).decode()}))
    return saved.sha256


def read(path: Path) -> tuple[PackedHeader, dict[str, Tensor]]:
    """Read a file; raise InputError if it is damaged, of another kind or of a newer format."""
    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get("qood")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise InputError("quantized", str(path), "there is no such file") from None
    except (SafetensorError, OSError) as error:
        raise InputError(
            "quantized", str(path), f"it is damaged or not a safetensors file ({error})"
        ) from None
    if text is None:
        raise InputError("quantized", str(path), "it is a safetensors file, but not of a quantized model")
    try:
        version = msgspec.json.decode(text)["version"]
        if version > VERSION:
            raise InputError("quantized", str(path), f"its format is {version}; this program reads {VERSION}")
        saved = msgspec.json.decode(text, type=PackedHeader)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError("quantized", str(path), f"its metadata is damaged ({error})") from None
    if digest(tensors) != saved.sha256:
        raise InputError("quantized", str(path), "it is damaged: its tensors are not those that were saved")
    return saved, tensors


@torch.inference_mode()
def restore(model: VisionTransformer, saved: PackedHeader, tensors: dict[str, Tensor]) -> VisionTransformer:
    """Return `model`, which only gives the architecture, with the saved quantizers, weights and extras.

    Raises InputError if the file is for another architecture, or holds tensors that nothing here explains.
    """
    extras = _extras(saved)

    def choose(site: Site) -> nn.Module:
        label, bits, axis = saved.quantizers[site.name]
        if label not in Quantizer.kinds:
            installed = "" if saved.method in catalog.METHODS else f"; install the method {saved.method!r}"
            raise InputError("quantized", label, f"no quantizer of this kind is installed{installed}")
        check_width("quantized", bits, f"{site.name} with {bits} bits")
        quantizer = Quantizer.kinds[label](bits)
        quantizer.axis = axis
        return quantizer

    try:
        restored = quantized_copy(model, Widths(Bits(), _widths(saved)), choose)
        for name, quantizer in quantizers(restored):
            quantizer.use({part: _part(f"{name}.{part}", tensors) for part in quantizer.parts})
        _attach(restored, extras, tensors)
        _fill(restored, saved, tensors)
    except (LookupError, RuntimeError, ValueError) as error:
        raise InputError("quantized", saved.model, f"the file is for a different model ({error})") from None
    if unused := tensors.keys() - _names(restored):
        right = f"the method {saved.method!r} has no such tensor"
        raise InputError("quantized", min(unused), right)
    return restored


def _extras(saved: PackedHeader) -> tuple[type[Extra], ...]:
    """Return what a method adds to models; once it is loaded, quantizers of its own are registered."""
    if saved.method not in catalog.METHODS:
        return ()
    try:
        return load_method(saved.method).extras
    except QuantizeError as error:
        raise InputError("quantized", saved.method, str(error)) from None


def _attach(model: nn.Module, extras: tuple[type[Extra], ...], tensors: dict[str, Tensor]) -> None:
    """Put extras on the modules that the file has parameters of them for."""
    for name, module in list(model.named_modules()):
        for extra in extras:
            at = f"{name}.{extra.attribute}."
            if own := {n.removeprefix(at): value for n, value in tensors.items() if n.startswith(at)}:
                extra.attach(module, own)


def _fill(model: VisionTransformer, saved: PackedHeader, tensors: dict[str, Tensor]) -> None:
    """Give a model whose quantizers are calibrated its weights: those from codes, then all others."""
    for name, layer in quantized_layers(model):
        if f"{name}.weight.codes" in tensors:
            layer.frozen = _weight(f"{name}.weight", layer, saved, tensors)
            if layer.frozen.shape != layer.weight.shape:
                raise InputError("quantized", name, f"the model's weight is {tuple(layer.weight.shape)}")
            layer.weight.copy_(layer.frozen)
    own = dict(model.named_parameters())
    for name in float_tensors(model):
        _put(name, own[name], tensors[name])
    for name, layer in quantized_layers(model):
        if f"{name}.bias" in tensors and layer.bias is None:
            layer.bias = nn.Parameter(tensors[f"{name}.bias"], requires_grad=False)
        if layer.frozen is None:
            layer.frozen = layer.weight


def _names(model: nn.Module) -> set[str]:
    """Return the names of the tensors that a file of a model has."""
    parts = {f"{name}.{part}" for name, one in quantizers(model) for part in one.parts}
    codes = {f"{name}.codes" for name, _ in quantizers(model) if name.endswith(".weight")}
    return parts | codes | float_tensors(model).keys()


def digest(tensors: dict[str, Tensor]) -> str:
    """Return the SHA-256 over names, shapes and bytes."""
    state = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        state.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        state.update(value.contiguous().numpy().tobytes())
    return state.hexdigest()


def _widths(saved: PackedHeader) -> dict[str, int]:
    return {name: bits for name, (_, bits, _) in saved.quantizers.items()}


def _weight(name: str, layer: QuantizedLayer, saved: PackedHeader, tensors: dict[str, Tensor]) -> Tensor:
    """Return a weight from its codes."""
    shape, quantizer = saved.shapes[name], layer.weight_quantizer
    assert isinstance(quantizer, Quantizer)
    codes = unpack(tensors[f"{name}.codes"].numpy(), quantizer.code_bits, math.prod(shape))
    return quantizer.dequantize(torch.from_numpy(codes.astype(np.int32)).reshape(shape))


def _part(name: str, tensors: dict[str, Tensor]) -> Tensor:
    """Return a parameter of a quantizer."""
    value = tensors[name]
    if value.dtype is not torch.float32 or value.dim() != 1:
        raise ValueError(
            f"{name} is {value.dtype} {tuple(value.shape)}, not one float32 per channel or tensor"
        )
    return value


def _put(name: str, parameter: Tensor, value: Tensor) -> None:
    if parameter.shape != value.shape:
        raise InputError(
            "quantized", name, f"the model's is {tuple(parameter.shape)}, not {tuple(value.shape)}"
        )
    parameter.copy_(value)
