"""Quantized models on disk: packed integer codes, scales and options in one safetensors file.

For every quantized weight there is `NAME.codes` (a dense bitstream), and for every quantizer its
parameters, such as `NAME.scale` and `NAME.zero_point` (float32, one a channel or a tensor); every other
parameter is in float32, QwT's corrections in fp16. The metadata entry `qood` is JSON: format version, how
to build the model, the quantizer of each tensor, and the SHA-256 of all tensor bytes.
"""

from __future__ import annotations

import hashlib
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
from engine.errors import InputError
from engine.plan.bits import Bits
from engine.quantize.bit_table import float_tensors
from engine.quantize.formats.bitstream import pack, unpack
from engine.quantize.grids.base import Quantizer
from engine.quantize.grids.uniform import Uniform, along
from engine.quantize.layers import quantized_copy, quantized_layers, quantizers
from engine.quantize.methods.qwt import compensate
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


def save(path: Path, model: VisionTransformer, about: dict[str, Any]) -> str:
    """Write a calibrated model and return the SHA-256 of its tensors.

    `about` holds the fields of Saved that the model cannot tell.
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
            assert isinstance(quantizer, Uniform)  # weights have no other kind
            codes = quantizer.codes(weight).to(torch.uint8).cpu().numpy()
            tensors[f"{name}.codes"] = torch.from_numpy(pack(codes, quantizer.bits))
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
        raise InputError("quantized", str(path), f"it is damaged or no safetensors file ({error})") from None
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
    """Return `model`, which gives the architecture alone, with the saved quantizers and weights.

    Raises InputError if the file is of another architecture.
    """

    def choose(site: Site) -> nn.Module:
        label, bits, axis = saved.quantizers[site.name]
        quantizer = Quantizer.kinds[label](bits)
        quantizer.axis = axis
        return quantizer

    # A method's module defines the kinds of quantizers that it uses.
    if saved.method in catalog.METHODS:
        catalog.resolve(catalog.METHODS[saved.method].target)
    try:
        restored = quantized_copy(model, Widths(Bits(), _widths(saved)), choose)
        for name, quantizer in quantizers(restored):
            quantizer.use({part: tensors[f"{name}.{part}"] for part in quantizer.parts})
        for name, layer in quantized_layers(restored):
            if f"{name}.weight.codes" in tensors:
                layer.frozen = _weight(f"{name}.weight", saved, tensors)
                if layer.frozen.shape != layer.weight.shape:
                    raise InputError("quantized", name, f"the model's weight is {tuple(layer.weight.shape)}")
                layer.weight.copy_(layer.frozen)
        for i, block in enumerate(restored.blocks):
            at = f"blocks.{i}.compensation"
            if f"{at}.weight" in tensors:
                compensate(block, tensors[f"{at}.weight"], tensors[f"{at}.bias"])
        own = dict(restored.named_parameters())
        for name in float_tensors(restored):
            _put(restored, name, own[name], tensors[name])
        for name, layer in quantized_layers(restored):
            if f"{name}.bias" in tensors and layer.bias is None:
                layer.bias = nn.Parameter(tensors[f"{name}.bias"], requires_grad=False)
            if layer.frozen is None:
                layer.frozen = layer.weight
    except (KeyError, RuntimeError, ValueError) as error:
        raise InputError(
            "quantized", saved.model, f"the file is of another model than this one ({error})"
        ) from None
    return restored


def digest(tensors: dict[str, Tensor]) -> str:
    """Return the SHA-256 over names, shapes and bytes."""
    state = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        state.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        state.update(value.contiguous().numpy().tobytes())
    return state.hexdigest()


def _widths(saved: PackedHeader) -> dict[str, int]:
    return {name: bits for name, (_, bits, _) in saved.quantizers.items()}


def _weight(name: str, saved: PackedHeader, tensors: dict[str, Tensor]) -> Tensor:
    """Return a weight from its codes, by the arithmetic of `fake_quantize`."""
    _, bits, axis = saved.quantizers[name]
    shape = saved.shapes[name]
    codes = unpack(tensors[f"{name}.codes"].numpy(), bits, int(np.prod(shape)))
    values = torch.from_numpy(codes).float().reshape(shape)
    zero_point = along(tensors[f"{name}.zero_point"], values, axis)
    return values.sub_(zero_point).mul_(along(tensors[f"{name}.scale"], values, axis))


def _put(model: nn.Module, name: str, parameter: Tensor, value: Tensor) -> None:
    if parameter.shape != value.shape:
        raise InputError(
            "quantized", name, f"the model's is {tuple(parameter.shape)}, not {tuple(value.shape)}"
        )
    parameter.copy_(value)
