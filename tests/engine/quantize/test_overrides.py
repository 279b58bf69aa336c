"""Overrides by name: in every method they mean what the bit table then says, and no more than that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from engine import catalog
from engine.errors import InputError
from engine.plan.bits import Bits
from engine.protocol.events import BitsTabled
from engine.quantize.bit_table import tabulate
from engine.quantize.formats import packed
from engine.quantize.grids.logarithmic import AdaptiveLog, LogSqrt2
from engine.quantize.grids.uniform import Uniform
from engine.quantize.layers import quantizers
from engine.quantize.methods import adalog, ptq4vit, qwt
from engine.quantize.methods.base import quantize
from engine.quantize.sites import Widths
from tests.engine.quantize.test_repq import tiny_model

METHODS = sorted(catalog.METHODS)
IMAGES = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
IN_BLOCK = (
    *(f"attn.{name}" for name in ("qkv.input", "qkv.weight", "query", "key", "value", "softmax")),
    *(f"{layer}.{side}" for layer in ("attn.proj", "mlp.fc1", "mlp.fc2") for side in ("input", "weight")),
)
BLOCKS = [[f"blocks.{i}.{name}" for name in IN_BLOCK] for i in range(2)]
PATCH = ["patch_embed.proj.input", "patch_embed.proj.weight"]
HEAD = ["head.input", "head.weight"]
NAMES = [*PATCH, *BLOCKS[0], *BLOCKS[1], *HEAD]
IMAGE_AT = {method: 32 if method.startswith("ptq4vit") else 8 for method in METHODS}

# What holds in W4A4 anyway. A layer of the list has both its tensors at 4 bits already.
HOLDS = [
    {"head.weight": 4},
    {"head.input": 4},
    {"blocks.*.attn.softmax": 4},
    {"blocks.0.attn.qkv": 4},
    {"blocks.1": 4, "*.weight": 4},
    {"blocks.*.mlp": 4, "head": 4, "*.fc2.input": 4},
    dict.fromkeys(NAMES[1:], 4),
]


class Result(NamedTuple):
    model: VisionTransformer
    table: BitsTabled
    logits: Tensor
    digest: str


class Kind(NamedTuple):
    """An override with the widths that it should give, by the names of tensors."""

    overrides: dict[str, int]
    changes: dict[str, int]


KINDS = {
    "wider weight": Kind({"head.weight": 8}, {"head.weight": 8}),
    "narrower weight": Kind({"blocks.0.attn.qkv.weight": 3}, {"blocks.0.attn.qkv.weight": 3}),
    "wider activation": Kind({"head.input": 6}, {"head.input": 6}),
    "narrower activation": Kind({"blocks.1.attn.value": 3}, {"blocks.1.attn.value": 3}),
    "layer": Kind({"blocks.0.mlp.fc2": 3}, dict.fromkeys(BLOCKS[0][-2:], 3)),
    "first layer": Kind({"patch_embed.proj": 6}, dict.fromkeys(PATCH, 6)),
    "pattern": Kind({"blocks.*.attn.softmax": 8}, {f"blocks.{i}.attn.softmax": 8 for i in (0, 1)}),
    "pattern of weights": Kind({"*.weight": 6}, {n: 6 for n in NAMES if n.endswith(".weight")}),
    "the longer wins": Kind(
        {"head": 8, "*.weight": 3},
        {**{n: 3 for n in NAMES if n.endswith(".weight")}, "head.input": 8},
    ),
    "the layer wins": Kind(
        {"*.weight": 3, "blocks.0.attn.qkv": 8},
        {
            **{n: 3 for n in NAMES if n.endswith(".weight")},
            **dict.fromkeys(("blocks.0.attn.qkv.input", "blocks.0.attn.qkv.weight"), 8),
        },
    ),
    "floating weight": Kind({"head.weight": 32}, {"head.weight": 32}),
    "floating activation": Kind({"blocks.0.mlp.fc2.input": 32}, {"blocks.0.mlp.fc2.input": 32}),
    "floating input behind a LayerNorm": Kind(
        {"blocks.1.attn.qkv.input": 32}, {"blocks.1.attn.qkv.input": 32}
    ),
    "floating head": Kind({"head": 32}, dict.fromkeys(HEAD, 32)),
    "floating block": Kind({"blocks.1": 32}, dict.fromkeys(BLOCKS[1], 32)),
    "everything floating": Kind({"*": 32}, dict.fromkeys(NAMES, 32)),
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adalog, "REFINEMENTS", 1)
    monkeypatch.setattr(adalog, "ROUNDS", 1)
    monkeypatch.setattr(adalog, "KEPT", 2)
    monkeypatch.setattr(adalog, "HIGH_SHARES", (0.95, 1.0))
    monkeypatch.setattr(adalog, "LOW_SHARES", (0.05, 0.0))
    monkeypatch.setattr(adalog, "BASES", tuple(range(10, 138, 8)))
    monkeypatch.setattr(ptq4vit, "ROUNDS", 1)
    monkeypatch.setattr(ptq4vit, "CANDIDATES", tuple(0.3 + i * 0.09 for i in range(10)))


@pytest.fixture
def quantized(tmp_path: Path) -> Callable[[str, dict[str, int]], Result]:
    @torch.inference_mode()
    def run(method: str, overrides: dict[str, int], first_and_last: int | None = None) -> Result:
        widths = Widths(Bits(4, 4), overrides, first_and_last=first_and_last)
        model = quantize(method, uneven_model(), widths, IMAGES)
        about = {"model": "", "model_kwargs": {}, "bits": "W4A4", "method": method, "overrides": {}}
        about |= {"calibration": "", "calibration_images": len(IMAGES)}
        digest = packed.save(tmp_path / "model.safetensors", model, about)
        return Result(model, tabulate("", model, IMAGES), model(IMAGES), digest)

    return run


@pytest.mark.parametrize("method", METHODS)
def test_an_override_that_states_what_holds_changes_no_bit(
    method: str, quantized: Callable[[str, dict[str, int]], Result]
) -> None:
    plain = quantized(method, {})
    for overrides in [*HOLDS, {"patch_embed.proj.input": IMAGE_AT[method]}]:
        found = quantized(method, overrides)
        assert torch.equal(found.logits, plain.logits), overrides
        assert found.digest == plain.digest, overrides
        assert found.table == plain.table, overrides


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_every_kind_of_override_does_what_the_bit_table_says(
    method: str, kind: str, quantized: Callable[[str, dict[str, int]], Result]
) -> None:
    overrides, changes = KINDS[kind]
    expected = {**dict.fromkeys(NAMES, 4), PATCH[0]: IMAGE_AT[method], **changes}
    model, table, _, _ = quantized(method, overrides)
    assert {row.tensor: row.bits for row in table.rows} == {n: b for n, b in expected.items() if b != 32}
    assert {name for name in NAMES if expected[name] == 32} == set(NAMES) & set(table.floats)
    for name, values, most in grids(model):
        assert len(torch.unique(values)) <= most(expected[name]), name
        assert len(torch.unique(values)) > 1, name


@pytest.mark.parametrize("method", METHODS)
def test_what_stays_in_floating_point_is_untouched(
    method: str, quantized: Callable[[str, dict[str, int]], Result]
) -> None:
    exact = uneven_model()
    head = quantized(method, {"head": 32}).model.head
    assert torch.equal(head.frozen, exact.head.weight) and torch.equal(head.bias, exact.head.bias)
    block = quantized(method, {"blocks.1": 32}).model.blocks[1]
    own = exact.blocks[1].state_dict()
    left = {name: value for name, value in block.state_dict().items() if not name.endswith(".frozen")}
    assert left.keys() == own.keys()
    assert all(torch.equal(left[name], own[name]) for name in own)
    logits = quantized(method, {"*": 32}).logits
    with torch.inference_mode():
        torch.testing.assert_close(logits, exact(IMAGES), rtol=1e-5, atol=1e-5)


def test_qwt_corrects_no_block_that_stays_in_floating_point() -> None:
    model = uneven_model()
    with torch.no_grad():
        for block in model.blocks:  # outputs so large that their rounding noise can be fitted
            block.attn.proj.weight.mul_(1e4)
            block.mlp.fc2.weight.mul_(1e4)
    blocks = qwt.QwT().quantize(model, Widths(Bits(4, 4), {"blocks.1": 32}), IMAGES).blocks
    assert [isinstance(block, qwt.CompensatedBlock) for block in blocks] == [True, False]


@pytest.mark.parametrize("method", METHODS)
def test_the_first_and_last_layer_have_the_same_bits_in_every_method(
    method: str, quantized: Callable[..., Result]
) -> None:
    by_name = quantized(method, {"patch_embed.proj": 8, "head": 8})
    by_convention = quantized(method, {}, first_and_last=8)
    assert by_convention.table == by_name.table and by_convention.digest == by_name.digest
    assert torch.equal(by_convention.logits, by_name.logits)
    rows = {row.tensor: row.bits for row in by_convention.table.rows}
    assert rows == {name: 8 if name in (*PATCH, *HEAD) else 4 for name in NAMES}
    overridden = quantized(method, {"head.input": 6}, first_and_last=8).table.rows
    assert {row.tensor: row.bits for row in overridden} == {**rows, "head.input": 6}


@pytest.mark.parametrize(("bits", "floating"), [(Bits(4, 32), ".input"), (Bits(32, 4), ".weight")])
def test_a_convention_for_the_first_and_last_layer_quantizes_nothing_that_the_setting_does_not(
    bits: Bits, floating: str
) -> None:
    model = quantize("repq", uneven_model(), Widths(bits, first_and_last=8), IMAGES)
    ends = {row.tensor: row.bits for row in tabulate("", model, IMAGES).rows if row.tensor in PATCH + HEAD}
    assert ends == {name: 8 for name in PATCH + HEAD if not name.endswith(floating)}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("pattern", ["blocks.9", "head.output", "softmax"])
def test_a_pattern_that_fits_no_tensor_is_refused(
    method: str, pattern: str, quantized: Callable[[str, dict[str, int]], Result]
) -> None:
    with pytest.raises(InputError, match="matches no tensor"):
        quantized(method, {pattern: 4, "head": 4})


def uneven_model() -> VisionTransformer:
    """Return a model with peaked attention and uneven channels, which random weights do not have."""
    model = tiny_model()
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if ".norm" in name or name.endswith(".bias"):
                value.add_(torch.rand(value.shape, generator=random))
            elif name.endswith(("qkv.weight", "fc1.weight")):
                value.mul_(10)
    return model


@torch.inference_mode()
def grids(model: VisionTransformer) -> list[tuple[str, Tensor, Callable[[int], int]]]:
    """Return for every tensor what it is quantized to under one scale, and how many values that may be.

    Two official grids have a value more than their bits tell apart: logarithms, which have an exact 0
    besides, and RepQ-ViT's fractional zero points, whose clamped ends lie off the grid.
    """
    seen: dict[str, Tensor] = {}
    hooks = [
        quantizer.register_forward_hook(lambda _m, _i, out, name=name: seen.__setitem__(name, out))
        for name, quantizer in quantizers(model)
    ]
    model(IMAGES)
    for hook in hooks:
        hook.remove()
    found = []
    for name, quantizer in quantizers(model):
        axis = quantizer.axis
        if name.endswith(".weight"):
            values = model.get_submodule(name.removesuffix(".weight")).frozen[0]
        else:
            values = seen[name] if axis is None else seen[name].movedim(axis, 0)[0]
        fractional = isinstance(quantizer, Uniform) and bool((quantizer.zero_point % 1).any())
        more = fractional or isinstance(quantizer, LogSqrt2 | AdaptiveLog)
        found.append((name, values, (lambda b: 2**b + 1) if more else (lambda b: 2**b)))
    return found
