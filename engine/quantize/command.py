"""`python -m engine quantize`: quantize a model of one's own, save it, and run a saved one."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from engine import catalog
from engine.errors import InputError, unknown_name
from engine.models import zoo
from engine.npy import read_array
from engine.plan import Bits, check_width
from engine.quantize import saved
from engine.quantize.bit_table import tabulate
from engine.quantize.sites import Widths
from engine.report.bits import bit_table, floats
from engine.report.markdown import table_lines

BATCH = 64


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--model", help="a timm name, a micro model of the demo, or vision_transformer")
    parser.add_argument(
        "--model-kwargs", default="{}", metavar="JSON", help="arguments of the model's constructor"
    )
    parser.add_argument("--checkpoint", type=Path, help="weights: safetensors or .pth")
    parser.add_argument("--bits", default="W4A4", help="W4A4 and the like; 32 is floating point")
    parser.add_argument(
        "--override", action="append", default=[], metavar="TENSOR=BITS", help="such as head=8"
    )
    parser.add_argument(
        "--first-and-last", type=int, metavar="BITS", help="bits of patch embedding and head, such as 8"
    )
    parser.add_argument("--method", default="repq", help=", ".join(catalog.QUANTIZERS))
    parser.add_argument("--list", action="store_true", help="print every method and its conventions")
    parser.add_argument("--calibration", type=Path, help="normalised float32 (n, 3, height, width), .npy")
    parser.add_argument("--quantized", type=Path, help="use this saved model instead of quantizing one")
    parser.add_argument("--inputs", type=Path, help="normalised float32 (n, 3, height, width), .npy")
    parser.add_argument("--logits", type=Path, help="write the logits of the inputs to this .npy")
    parser.add_argument("--output", type=Path, help="save the quantized model to this .safetensors")
    parser.add_argument("--table", action="store_true", help="print the bit table")


def run(given: argparse.Namespace) -> int:
    """Carry the command out; raise InputError or QuantizeError in words."""
    if given.list:
        sys.stdout.write("".join("\n  ".join(catalog.described(name)) + "\n" for name in catalog.QUANTIZERS))
        return 0
    if (given.inputs is None) != (given.logits is None):
        raise InputError("inputs", str(given.inputs or given.logits), "give --inputs and --logits together")
    if given.quantized is not None:
        if given.inputs is None and not given.table:
            raise InputError("quantized", str(given.quantized), "give --inputs and --logits to run it")
        about, tensors = saved.read(given.quantized)
        model = saved.restore(build(about.model, about.model_kwargs), about, tensors)
        sample = None
    else:
        model, sample, about_new = quantize(given)
        if given.output is not None:
            saved.save(given.output, model, about_new)
            sys.stderr.write(f"saved {given.output}, {given.output.stat().st_size} bytes\n")
    inputs = images(given.inputs, "inputs") if given.inputs else None
    if given.table:
        shown = sample if sample is not None else inputs
        if shown is None:
            raise InputError("table", "no images", "give --inputs: activations are measured on them")
        name = given.model or str(given.quantized)
        table = tabulate(name, model, shown)
        sys.stdout.write("\n".join([*table_lines(bit_table(table)), "", floats(table), ""]))
    if inputs is not None:
        np.save(given.logits, forward(model, inputs))
        sys.stderr.write(f"wrote {given.logits}\n")
    return 0


def quantize(given: argparse.Namespace) -> tuple[VisionTransformer, Tensor, dict[str, Any]]:
    """Build, load, calibrate; return the model, the calibration images and what to save about it."""
    for field in ("model", "calibration"):
        if getattr(given, field) is None:
            raise InputError(field, None, f"give --{field}, or --quantized FILE")
    if given.method not in catalog.QUANTIZERS:
        raise unknown_name("method", given.method, catalog.QUANTIZERS)
    bits = Bits.parse(given.bits)
    overrides = dict(map(_override, given.override))
    if given.first_and_last is not None:
        check_width("first-and-last", given.first_and_last, given.first_and_last)
    kwargs = _kwargs(given.model_kwargs)
    model = build(given.model, kwargs)
    if given.checkpoint is None and given.model not in catalog.DEMO_MODELS:
        sys.stderr.write("no --checkpoint is given: the weights are random\n")
    if given.checkpoint is not None:
        load_checkpoint(model, given.checkpoint)
    sample = images(given.calibration, "calibration")
    _check_fits(model, sample, "calibration", given.calibration)
    entry = catalog.QUANTIZERS[given.method]
    widths = Widths(bits, overrides, first_and_last=given.first_and_last)
    quantized = catalog.resolve(entry.target)(model, widths, sample, **entry.options)
    about = {
        "model": given.model,
        "model_kwargs": kwargs,
        "bits": str(bits),
        "method": given.method,
        "overrides": overrides,
        "first_and_last": given.first_and_last,
        "calibration": hashlib.sha256(sample.numpy().tobytes()).hexdigest(),
        "calibration_images": len(sample),
    }
    return quantized, sample, about


def build(name: str, kwargs: dict[str, Any]) -> VisionTransformer:
    """Return a model by name, untrained except for the micro models of the demo; raise InputError."""
    try:
        if name == "vision_transformer":
            return VisionTransformer(**kwargs).eval()
        if name in catalog.DEMO_MODELS:
            return zoo.load_model(name).model
        if not timm.is_model(name):
            near = unknown_name(
                "model", name, [*catalog.DEMO_MODELS, *timm.list_models("*vit*"), "vision_transformer"]
            )
            raise near
        return timm.create_model(name, **kwargs).eval()
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise InputError("model-kwargs", kwargs, f"{name} cannot be built with it ({error})") from None


def load_checkpoint(model: VisionTransformer, path: Path) -> None:
    """Load weights strictly; raise InputError naming what does not fit."""
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
            state = state.get("state_dict", state.get("model", state))
        model.load_state_dict(state)
    except FileNotFoundError:
        raise InputError("checkpoint", str(path), "there is no such file") from None
    except (SafetensorError, RuntimeError, OSError, ValueError, AttributeError, KeyError, EOFError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError("checkpoint", str(path), f"weights of this model are needed ({reason})") from None
    except Exception as error:  # torch.load raises UnpicklingError, which lives in pickle
        raise InputError(
            "checkpoint", str(path), f"it cannot be read safely ({type(error).__name__})"
        ) from None


def images(path: Path, field: str) -> Tensor:
    """Read an array of images; raise InputError with what it is and what is needed."""
    array = read_array(path, field)
    if array.dtype != np.float32 or array.ndim != 4 or array.shape[1] != 3 or not len(array):
        is_now = f"this is {array.dtype} {array.shape}"
        raise InputError(field, str(path), f"normalised float32 (n, 3, height, width) is needed, {is_now}")
    if not np.isfinite(array).all():
        raise InputError(field, str(path), "it holds NaN or infinite values")
    return torch.from_numpy(np.ascontiguousarray(array))


@torch.inference_mode()
def forward(model: VisionTransformer, inputs: Tensor) -> NDArray[np.float32]:
    """Return the logits (n, classes) of images, in batches."""
    _check_fits(model, inputs, "inputs", None)
    parts = [model(inputs[i : i + BATCH]).numpy() for i in range(0, len(inputs), BATCH)]
    return np.concatenate(parts)


def _check_fits(model: VisionTransformer, sample: Tensor, field: str, path: object) -> None:
    wanted = tuple(model.patch_embed.img_size or ())
    if wanted and tuple(sample.shape[2:]) != wanted:
        raise InputError(field, str(path or tuple(sample.shape)), f"the model takes images of {wanted}")


def _override(text: str) -> tuple[str, int]:
    name, _, width = text.partition("=")
    if not name or not width.isdecimal() or not (2 <= int(width) <= 8 or int(width) == 32):
        raise InputError("override", text, "give TENSOR=BITS with 2 to 8 bits, or 32 for floating point")
    return name, int(width)


def _kwargs(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InputError("model-kwargs", text, f"a JSON object is needed ({error})") from None
    if not isinstance(found, dict):
        raise InputError("model-kwargs", text, "a JSON object is needed")
    return found
