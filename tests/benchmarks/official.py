"""Compare methods with their official code: `python -m tests.benchmarks.official --repq CLONE ...`.

The user names clones of the official repositories; the page says which were not given. Every clone is run in
a process of its own, because their packages share names. Nothing needs a GPU: where the official code asks
for one, its tensors stay where they are.
"""

from __future__ import annotations

import argparse
import copy
import multiprocessing
import platform
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import MethodType
from typing import Any, NamedTuple

import numpy as np
import timm
import torch
from safetensors.torch import load_file
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from engine import catalog
from engine.images import demo
from engine.models import zoo
from engine.models.loaded import normalise
from engine.plan.bits import FLOAT, Bits
from engine.quantize.grids.twin import SummedTwinSoftmax, TwinSoftmax
from engine.quantize.layers import quantized_copy, quantized_layers
from engine.quantize.methods import adalog, ptq4vit, repq
from engine.quantize.methods.products import Product, in_turns, products
from engine.quantize.sites import Widths

CALIBRATION, TEST = 32, 64  # images
WIDTHS = (8, 6, 4, 3)
TINY = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3, "num_classes": 10}
LOGITS = "relative error of the logits"
BETWEEN = "logits, ours against official, relative"
OUTPUT = "relative squared error of the output of {}"
SOFTMAX = "relative squared error of softmax outputs at the best split"


class Subject(NamedTuple):
    """A model with images to calibrate on and to compare on, normalised."""

    name: str
    model: VisionTransformer
    calibration: Tensor
    test: Tensor


class Figure(NamedTuple):
    """One number of the official code beside ours; without one of its own, ours is the distance to it."""

    model: str
    method: str
    bits: str
    what: str
    official: float | None
    ours: float


def subjects(reference: Path | None) -> list[Subject]:
    """Return the first model of the demo zoo, after the reference model where its folder is given."""
    loaded = zoo.load_model(catalog.DEMO_MODELS[0])
    pixels = {
        name: torch.from_numpy(np.ascontiguousarray(demo.load_set(name).images[:count])).movedim(-1, 1)
        for name, count in ((catalog.DEMO_CALIBRATION, CALIBRATION), ("fractals", TEST))
    }
    images = [normalise(one, loaded) for one in pixels.values()]
    found = [Subject(catalog.DEMO_MODELS[0], loaded.model, images[0], images[1])]
    if reference is not None:
        model = VisionTransformer(**TINY).eval().requires_grad_(False)
        model.load_state_dict(load_file(reference / "state_dict.safetensors"))
        images_of = load_file(reference / "inputs_and_logits_w6a6.safetensors")
        found.insert(0, Subject("reference", model, images_of["calib"], images_of["test"]))
    return found


@torch.inference_mode()
def of_repq(clone: Path, reference: Path | None) -> list[Figure]:
    """Run RepQ-ViT's official modules on whole models."""
    folder = clone / "classification"
    sys.path.insert(0, str(folder))
    # Its utils import the loading of ImageNet; only the replaced attention is needed.
    utils = types.ModuleType("utils")
    utils.__path__ = [str(folder / "utils")]
    sys.modules["utils"] = utils
    official, building = import_module("quant"), import_module("utils.build_model")
    found = []
    for subject in subjects(reference):
        exact = subject.model(subject.test)
        for bits in WIDTHS:
            theirs = _repq_model(official, building, subject, bits)(subject.test)
            ours = repq.RepQ().quantize(subject.model, Widths(Bits(bits, bits)), subject.calibration)(
                subject.test
            )
            name = str(Bits(bits, bits))
            found += [
                Figure(subject.name, "repq", name, LOGITS, _error(theirs, exact), _error(ours, exact)),
                Figure(subject.name, "repq", name, BETWEEN, None, _error(ours, theirs)),
            ]
    return found


def _repq_model(official: Any, building: Any, subject: Subject, bits: int) -> Callable[[Tensor], Tensor]:
    """Return a model quantized by the official modules, in the order of the official main program."""
    model = copy.deepcopy(subject.model)
    for block in model.blocks:
        attention = block.attn
        attention.matmul1, attention.matmul2 = building.MatMul(), building.MatMul()
        # timm has since begun to give a mask, which is None.
        attention.forward = MethodType(lambda self, x, **_: building.attention_forward(self, x), attention)
    model = official.quant_model(
        model, {"n_bits": bits, "channel_wise": False}, {"n_bits": bits, "channel_wise": True}
    ).eval()
    official.set_quant_state(model, input_quant=True, weight_quant=True)
    model(subject.calibration)
    # The reparameterization stands inside the official main program; this is its arithmetic.
    for block in model.blocks:
        for norm, layer in ((block.norm1, block.attn.qkv), (block.norm2, block.mlp.fc1)):
            quantizer = layer.input_quantizer
            scale, zero_point = quantizer.delta.reshape(-1), quantizer.zero_point.reshape(-1)
            quantizer.delta, quantizer.zero_point = scale.mean(), zero_point.mean()
            quantizer.channel_wise = False
            ratio = scale / quantizer.delta
            shift = -zero_point * scale / ratio + quantizer.zero_point * quantizer.delta
            norm.weight.data = norm.weight.data / ratio
            norm.bias.data = norm.bias.data / ratio - shift
            layer.weight.data = layer.weight.data * ratio
            layer.bias.data = layer.bias.data + layer.weight.data @ shift
            layer.weight_quantizer.inited = False
    model(subject.calibration)
    quantized: Callable[[Tensor], Tensor] = model
    return quantized


def of_adalog(clone: Path, reference: Path | None) -> list[Figure]:
    """Run AdaLog's official search on layers whose input and weight are uniform, beside exact inputs."""
    sys.path.insert(0, str(clone))
    linear = import_module("quant_layers.linear")
    _keep_tensors_where_they_are()
    found = []
    with torch.no_grad():
        for subject in subjects(reference):
            for bits in WIDTHS[1:]:
                names = ("blocks.0.attn.proj", "head")
                widths = Widths(Bits(FLOAT, FLOAT), dict.fromkeys(names, bits))
                model = quantized_copy(subject.model, widths, adalog._choose)
                layers = dict(quantized_layers(model))
                for product in products(model, subject.calibration):
                    if product.name not in names:
                        continue
                    in_turns(product, adalog.start, adalog.best, adalog.ROUNDS)
                    exact = product.exact()
                    ours = product.multiply(product.quantized(0), product.quantized(1))
                    theirs = _adalog_output(linear, product, layers[product.name].bias, bits)
                    errors = [_error(one, exact) ** 2 for one in (theirs, ours)]
                    what = OUTPUT.format(product.name)
                    found.append(Figure(subject.name, "adalog", str(Bits(bits, bits)), what, *errors))
    return found


def _adalog_output(linear: Any, product: Product, bias: Tensor | None, bits: int) -> Tensor:
    """Return what the official search's layer gives; the settings are those of its configurations."""
    x, weight = product.operands
    layer = linear.AsymmetricallyBatchingQuantLinear(
        *(weight.shape[1], weight.shape[0], bias is not None, "raw", bits, bits),
        calib_batch_size=len(x),
        search_round=3,
        eq_n=128,
        fpcs=True,
        steps=6,
    )
    layer.weight.data = weight
    if bias is not None:
        layer.bias.data = bias
    layer.raw_input, layer.raw_out = x, product.exact()
    # It asks a GPU how many candidates fit at once, which changes nothing but the memory.
    layer.calib_size, layer.parallel_eq_n = len(x), layer.eq_n
    layer._initialize_calib_parameters = lambda: None
    layer.hyperparameter_searching()
    layer.mode = "quant_forward"
    out: Tensor = layer(x)
    return out


@torch.inference_mode()
def of_ptq4vit(clone: Path, reference: Path | None) -> list[Figure]:
    """Compare the softmax quantizer of PTQ4ViT's official code with its sum and with the paper's form."""
    sys.path.insert(0, str(clone))
    official = import_module("quant_layers.matmul").SoSPTQSLQuantMatMul
    found = []
    for subject in subjects(reference):
        model = quantized_copy(subject.model, Widths(Bits(FLOAT, 4)), ptq4vit.PTQ4ViT().choose)
        values = next(
            product.operands[0]
            for product in products(model, subject.calibration)
            if product.name == "blocks.0.attn.softmax_value"
        )
        for bits in WIDTHS[:3]:
            least: dict[str, float] = {}
            for split in ptq4vit.SPLITS:
                forms = {"official": official(A_bit=bits, split=split).quant_input_A(values.clone())}
                for name, kind in (("ptq4vit", TwinSoftmax), ("ptq4vit-summed", SummedTwinSoftmax)):
                    quantizer = kind(bits)
                    quantizer.use({"scale": values.new_tensor([split])})
                    forms[name] = quantizer(values)
                for name, form in forms.items():
                    least[name] = min(least.get(name, torch.inf), _error(form, values) ** 2)
            found += [
                Figure(subject.name, name, f"A{bits}", SOFTMAX, least["official"], least[name])
                for name in ("ptq4vit", "ptq4vit-summed")
            ]
    return found


def _error(found: Tensor, exact: Tensor) -> float:
    return float((found - exact).double().norm() / exact.double().norm())


def _keep_tensors_where_they_are() -> None:
    """Let `.cuda()` do nothing where there is no GPU."""
    if not torch.cuda.is_available():
        for kind in (Tensor, nn.Module):
            kind.cuda = lambda self, *_, **__: self  # type: ignore[method-assign, assignment]


RUNS = {"repq": of_repq, "ptq4vit": of_ptq4vit, "adalog": of_adalog}
# What no function here runs, and why.
NOT_RUN = {
    "ERQ": "its corrections stand inside its main program, which loads ImageNet and needs a GPU",
    "QwT": "its corrections stand inside the main programs of the methods that it corrects",
    "PTQ4ViT as a whole": "its scales follow the rounding noise of a gradient that is 0; only its softmax "
    "quantizer is compared",
    "AdaLog as a whole": "its calibration needs a GPU; its search is compared on two layers",
}


def page(figures: dict[str, list[Figure]], sources: dict[str, str], notes: list[str]) -> Iterator[str]:
    """Yield the lines of the page."""
    yield "# Methods beside their official code"
    yield ""
    yield "Written by `python -m tests.benchmarks.official`, which anyone can run on clones of the official"
    yield f"repositories. Methods were calibrated on {CALIBRATION} images. Errors are relative to floating"
    yield "point, |quantized - exact| / |exact| in Frobenius norms, or the square of that. Official numbers"
    yield "were computed by the official modules, on the same weights and images. Ours beside none is our"
    yield "distance from them."
    yield ""
    yield "| model | method | bits | what | official | ours |"
    yield "|---|---|---|---|---:|---:|"
    for one in (figure for of_clone in figures.values() for figure in of_clone):
        official = "" if one.official is None else f"{one.official:.3g}"
        yield f"| {one.model} | {one.method} | {one.bits} | {one.what} | {official} | {one.ours:.3g} |"
    yield ""
    yield "## Conventions, and where ours leaves the official code"
    yield ""
    for name, method in catalog.METHODS.items():
        if method.published or method.departures:
            yield f"- {' '.join(catalog.described(name))}"
    yield ""
    yield "## What is missing"
    yield ""
    for name in RUNS:
        if name not in figures:
            yield f"- {name}: no clone was given (`--{name} FOLDER`)."
    for name, why in NOT_RUN.items():
        yield f"- {name}: {why}."
    yield ""
    yield "## Made with"
    yield ""
    for name, source in sources.items():
        yield f"- {name}: {source}"
    yield f"- torch {torch.__version__}, timm {timm.__version__}, Python {platform.python_version()}"
    yield from (f"- {note}" for note in notes)


def source_of(clone: Path) -> str:
    """Say which commit a clone is at, without naming where it lies."""
    asked = ["git", "-C", str(clone), "log", "-1", "--format=%h of %cs"]
    inside = (clone / ".git").exists()
    said = subprocess.run(asked, capture_output=True, text=True, check=False) if inside else None
    return f"commit {said.stdout.strip()}" if said and said.returncode == 0 else "a copy without its history"


def main() -> int:
    """Run the clones that are given and write the page."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.official", description=__doc__)
    for name in RUNS:
        parser.add_argument(f"--{name}", type=Path, metavar="FOLDER", help="a clone of its repository")
    parser.add_argument("--reference", type=Path, metavar="FOLDER", help="a reference model and its images")
    parser.add_argument("--note", action="append", default=[], help="a line for the end of the page")
    parser.add_argument("-o", "--output", type=Path, help="write the page here instead of printing it")
    given = parser.parse_args()
    clones = {name: clone for name in RUNS if (clone := getattr(given, name)) is not None}
    for name, clone in clones.items():
        if not clone.is_dir():
            parser.error(f"--{name} {clone}: there is no such folder")
    figures = {}
    for name, clone in clones.items():
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            figures[name] = pool.apply(RUNS[name], (clone, given.reference))
    sources = {name: source_of(clone) for name, clone in clones.items()}
    text = "\n".join([*page(figures, sources, given.note), ""])
    if given.output is None:
        sys.stdout.write(text)
    else:
        given.output.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
