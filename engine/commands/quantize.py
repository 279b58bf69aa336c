"""`python -m engine quantize`: quantize a model, save it, and run a saved one."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from engine import catalog
from engine.errors import InputError, QuantizeError, unknown_name
from engine.models import build as models
from engine.models import zoo
from engine.models.build import CLASS, split
from engine.models.checkpoints import load_checkpoint
from engine.models.hub import is_hub
from engine.plan.bits import Bits, check_width
from engine.quantize.bit_table import tabulate
from engine.quantize.formats import packed
from engine.quantize.layers import check_architecture, warning_of
from engine.quantize.methods import base as methods
from engine.quantize.methods.base import parse_method
from engine.quantize.sites import Widths
from engine.report.formats import tables
from engine.report.sections.bits import bit_table, floats
from engine.system.files import whole
from engine.system.npy import read_array

BATCH = 64


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--model", help="a timm name, a micro model of the demo, or vision_transformer")
    parser.add_argument(
        "--model-kwargs", default="{}", metavar="JSON", help="arguments of the model's constructor"
    )
    words = "weights: a file, a folder of timm or transformers, or hf-hub:OWNER/NAME"
    parser.add_argument("--checkpoint", help=words)
    parser.add_argument("--ema", action="store_true", help="take the checkpoint's EMA weights")
    parser.add_argument("--bits", default="W4A4", help="such as W4A4; 32 is floating point")
    parser.add_argument(
        "--override", action="append", default=[], metavar="TENSOR=BITS", help="such as head=8"
    )
    parser.add_argument(
        "--first-and-last", type=int, metavar="BITS", help="bits of patch embedding and head, such as 8"
    )
    words = f"{', '.join(catalog.METHODS)}; parameters as in percentile:share=0.999"
    parser.add_argument("--method", default="repq", metavar="METHOD", help=words)
    parser.add_argument(
        "--list", action="store_true", help="print every method with its conventions and parameters"
    )
    parser.add_argument("--calibration", type=Path, help="normalised float32 (n, 3, height, width), .npy")
    parser.add_argument("--quantized", type=Path, help="use this saved model instead of quantizing one")
    parser.add_argument("--inputs", type=Path, help="normalised float32 (n, 3, height, width), .npy")
    parser.add_argument("--logits", type=Path, help="write the logits of the inputs to this .npy")
    parser.add_argument("--output", type=Path, help="save the quantized model to this .safetensors")
    parser.add_argument("--table", action="store_true", help="print the bit table")


def run(options: argparse.Namespace) -> int:
    """Run the command; raise InputError or QuantizeError."""
    if options.list:
        sys.stdout.write("".join("\n  ".join(_listed(name)) + "\n" for name in catalog.METHODS))
        return 0
    if (options.inputs is None) != (options.logits is None):
        one = options.inputs or options.logits
        raise InputError("inputs", str(one), "give --inputs and --logits together")
    if options.quantized is not None:
        if options.inputs is None and not options.table:
            raise InputError("quantized", str(options.quantized), "give --inputs and --logits to run it")
        about, tensors = packed.read(options.quantized)
        model = packed.restore(build(about.model, about.model_kwargs), about, tensors)
        sample = None
    else:
        model, sample, about_new = quantize(options)
        if options.output is not None:
            packed.save(options.output, model, about_new)
            sys.stderr.write(f"saved {options.output}, {options.output.stat().st_size} bytes\n")
    inputs = images(options.inputs, "inputs") if options.inputs else None
    if options.table:
        shown = sample if sample is not None else inputs
        if shown is None:
            raise InputError("table", None, "give --inputs: the table measures activations on them")
        name = options.model or str(options.quantized)
        table = tabulate(name, model, shown)
        sys.stdout.write("\n".join([*tables.markdown(bit_table(table)), "", floats(table), ""]))
    if inputs is not None:
        logits = forward(model, inputs)
        with whole(options.logits) as file:
            np.save(file, logits)
        sys.stderr.write(f"wrote {options.logits}\n")
    return 0


def _listed(name: str) -> Iterator[str]:
    """Yield what a method is, and its parameters with their defaults."""
    yield from catalog.described(name)
    try:
        parameters = methods.defaults(name)
    except QuantizeError as error:
        yield str(error)
        return
    if parameters:
        yield f"Parameters: {', '.join(f'{parameter} = {value}' for parameter, value in parameters.items())}."


def quantize(options: argparse.Namespace) -> tuple[VisionTransformer, Tensor, dict[str, Any]]:
    """Build, load and calibrate; return the model, the calibration images and what to save about it."""
    if options.calibration is None:
        raise InputError("calibration", None, "give --calibration, or --quantized FILE")
    method, parameters = parse_method(options.method)
    bits = Bits.parse(options.bits)
    overrides = dict(map(_override, options.override))
    if options.first_and_last is not None:
        check_width("first-and-last", options.first_and_last, options.first_and_last)
    model, name, arguments = loaded(options)
    try:
        check_architecture(model)
    except QuantizeError as error:
        raise InputError("model", name, f"it cannot be quantized faithfully: {error}") from None
    if warning := warning_of(model):
        sys.stderr.write(f"warning: {warning}\n")
    sample = images(options.calibration, "calibration")
    _check_fits(model, sample, "calibration", options.calibration)
    widths = Widths(bits, overrides, first_and_last=options.first_and_last)
    quantized = methods.quantize(method, model, widths, sample, parameters)
    about = {
        "model": name,
        "model_kwargs": arguments,
        "bits": str(bits),
        "method": method,
        "method_parameters": parameters,
        "overrides": overrides,
        "first_and_last": options.first_and_last,
        "calibration": hashlib.sha256(sample.numpy().tobytes()).hexdigest(),
        "calibration_images": len(sample),
    }
    return quantized, sample, about


def loaded(options: argparse.Namespace) -> tuple[VisionTransformer, str, dict[str, Any]]:
    """Return the model, the name it is built by, and its arguments; raise InputError.

    Weights are read as in `qood-tui run`; what was taken from a file is written to standard error.
    """
    kwargs = _kwargs(options.model_kwargs)
    checkpoint, name = options.checkpoint, options.model
    if name is not None and is_hub(name):
        if checkpoint is not None:
            raise InputError("model", name, "it brings its own weights; leave out --checkpoint")
        checkpoint, name = name, None
    if checkpoint is None:
        if name is None:
            raise InputError("model", None, "give --model, or --quantized FILE")
        if options.ema:
            raise InputError("ema", "--ema", "it is for a checkpoint; give --checkpoint")
        model = build(name, kwargs)
        if name not in catalog.DEMO_MODELS:
            sys.stderr.write("no --checkpoint is given: the weights are random\n")
        return model, name, kwargs
    if name in catalog.DEMO_MODELS:
        right = "it brings its own weights; leave out --checkpoint, or give --model vision_transformer"
        raise InputError("model", name, right)
    if name is not None and name != CLASS:
        build(name, kwargs)  # reports arguments that do not fit
    checkpointed = load_checkpoint("", checkpoint, _log, model=name or "", ema=options.ema, arguments=kwargs)
    sys.stderr.write(f"weights: {checkpointed.origin}, {checkpointed.weights}\n")
    for text in checkpointed.warnings:
        sys.stderr.write(f"warning: {text}\n")
    return checkpointed.model, checkpointed.build, dict(checkpointed.arguments)


def _log(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def build(name: str, kwargs: dict[str, Any]) -> VisionTransformer:
    """Return a model by name, untrained except for the micro models of the demo; raise InputError."""
    try:
        if name in catalog.DEMO_MODELS:
            return zoo.load_model(name).model
        if name != CLASS and not timm.is_model(split(name)[0]):
            near = unknown_name("model", name, [*catalog.DEMO_MODELS, *timm.list_models("*vit*"), CLASS])
            raise near
        return models.build(name, kwargs)
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise InputError(
            "model-kwargs", kwargs, f"{name} cannot be built with these arguments ({error})"
        ) from None


def images(path: Path, field: str) -> Tensor:
    """Read an array of images; raise InputError with what it is and what is needed."""
    array = read_array(path, field)
    if array.dtype != np.float32 or array.ndim != 4 or array.shape[1] != 3 or not len(array):
        is_now = f"this is {array.dtype} {array.shape}"
        raise InputError(field, str(path), f"normalised float32 (n, 3, height, width) is needed; {is_now}")
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
        kwargs = json.loads(text)
    except ValueError as error:
        raise InputError("model-kwargs", text, f"a JSON object is needed ({error})") from None
    if not isinstance(kwargs, dict):
        raise InputError("model-kwargs", text, "a JSON object is needed")
    return kwargs
