from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from engine.errors import InputError
from engine.plan.bits import Bits
from engine.quantize.layers import freeze
from engine.quantize.methods import repq
from engine.quantize.methods.base import quantize
from engine.quantize.sites import Widths

NAMES = {
    "attn.matmul1.quantizer_A": "attn.query_quantizer",
    "attn.matmul1.quantizer_B": "attn.key_quantizer",
    "attn.matmul2.quantizer_A": "attn.softmax_quantizer",
    "attn.matmul2.quantizer_B": "attn.value_quantizer",
}


def tiny_model(**options: object) -> VisionTransformer:
    torch.manual_seed(0)
    shape = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3, "num_classes": 10}
    return VisionTransformer(**{**shape, **options}).eval()


@pytest.fixture
def official(reference: Path) -> dict[str, dict[str, Tensor]]:
    return {file.stem: load_file(file) for file in (reference / "repq").glob("*.safetensors")}


@pytest.fixture
def quantized(official: dict[str, dict[str, Tensor]]) -> VisionTransformer:
    model = tiny_model()
    model.load_state_dict(official["state_dict"])
    return repq.RepQ().quantize(model, Widths(Bits(6, 6)), official["inputs_and_logits_w6a6"]["calib"])


def scales(found: dict[str, Tensor]) -> dict[str, Tensor]:
    renamed = {}
    for name, value in found.items():
        for theirs, ours in NAMES.items():
            name = name.replace(theirs, ours)
        renamed[name.replace(".delta", ".scale")] = value
    return renamed


def test_scales_are_those_of_the_official_code(
    official: dict[str, dict[str, Tensor]], quantized: VisionTransformer
) -> None:
    state = quantized.state_dict()
    expected = scales(official["quantizers_w6a6"])
    assert {k for k in state if k.endswith((".scale", ".zero_point"))} == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(state[name], value, rtol=1e-4, atol=1e-5, msg=name)


def test_calibrated_end_to_end_it_errs_as_the_official_code_does(
    official: dict[str, dict[str, Tensor]], quantized: VisionTransformer
) -> None:
    known = official["inputs_and_logits_w6a6"]
    error = (quantized(known["test"]) - known["logits_fp32"]).norm() / known["logits_fp32"].norm()
    assert float(error) == pytest.approx(0.198, abs=0.04)


@torch.inference_mode()
def test_from_given_scales_the_forward_pass_is_the_official_one(
    official: dict[str, dict[str, Tensor]], quantized: VisionTransformer
) -> None:
    modules = dict(quantized.named_modules())
    for name, value in official["reparam_state_dict_w6a6"].items():
        owner, _, leaf = name.rpartition(".")
        getattr(modules[owner], leaf).copy_(value)
    for name, value in scales(official["quantizers_w6a6"]).items():
        owner, _, leaf = name.rpartition(".")
        setattr(modules[owner], leaf, value)
    freeze(quantized)
    for name, value in official["fakequant_weights_w6a6"].items():
        torch.testing.assert_close(modules[name.removesuffix(".weight")].frozen, value, rtol=0, atol=1e-7)
    known = official["inputs_and_logits_w6a6"]
    torch.testing.assert_close(quantized(known["test"]), known["logits_w6a6"], rtol=0, atol=1e-4)
    torch.testing.assert_close(quantized(known["calib"]), known["logits_calib_w6a6"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"init_values": 0.3}, {"qkv_bias": False}, {"global_pool": "avg"}])
def test_reparameterization_keeps_the_function_in_floating_point(options: dict[str, object]) -> None:
    model = tiny_model(**options)
    images = torch.randn(32, 3, 32, 32)
    first = repq.first_pass(model, Widths(Bits(8, 4)), images)
    assert repq.reparameterize(first)
    for module in first.modules():
        for name in ("input_quantizer", "weight_quantizer", "query_quantizer", "key_quantizer"):
            if hasattr(module, name):
                setattr(module, name, torch.nn.Identity())
        for name in ("value_quantizer", "softmax_quantizer"):
            if hasattr(module, name):
                setattr(module, name, torch.nn.Identity())
    with torch.inference_mode():
        torch.testing.assert_close(first(images), model(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bits", [Bits(4, 32), Bits(32, 4), Bits(2, 2), Bits(8, 8), Bits(3, 7)])
def test_every_pair_of_bits_gives_finite_logits(bits: Bits) -> None:
    images = torch.randn(16, 3, 32, 32)
    logits = repq.RepQ().quantize(tiny_model(), Widths(bits), images)(images)
    assert torch.isfinite(logits).all()


def test_the_given_model_stays_as_it_was() -> None:
    model = tiny_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    repq.RepQ().quantize(model, Widths(Bits(4, 4)), torch.randn(8, 3, 32, 32))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("method", ["minmax", "percentile", "omse", "repq"])
def test_the_error_falls_strictly_with_more_bits(official: dict[str, dict[str, Tensor]], method: str) -> None:
    model = tiny_model()
    model.load_state_dict(official["state_dict"])
    known = official["inputs_and_logits_w6a6"]
    errors = [
        (
            quantize(method, model, Widths(Bits(b, b)), known["calib"])(known["test"]) - known["logits_fp32"]
        ).norm()
        for b in (4, 6, 8)
    ]
    assert errors[0] > errors[1] > errors[2]


def test_overrides_give_single_tensors_their_own_width() -> None:
    images = torch.randn(8, 3, 32, 32)
    widths = Widths(Bits(4, 4), {"head": 8, "blocks.*.attn.softmax": 6, "blocks.1.attn.softmax": 5})
    model = repq.RepQ().quantize(tiny_model(), widths, images)
    assert model.head.weight_quantizer.bits == model.head.input_quantizer.bits == 8
    assert [block.attn.softmax_quantizer.bits for block in model.blocks] == [6, 5]
    assert model.blocks[0].attn.qkv.weight_quantizer.bits == 4


def test_an_override_that_fits_no_tensor_is_refused() -> None:
    with pytest.raises(InputError, match="haed"):
        repq.RepQ().quantize(tiny_model(), Widths(Bits(4, 4), {"haed": 8}), torch.randn(8, 3, 32, 32))


def test_ablations_change_what_they_say() -> None:
    images = torch.randn(16, 3, 32, 32)
    rounded = repq.RepQ(rounded_zero_point=True).quantize(tiny_model(), Widths(Bits(4, 4)), images)
    zero_point = rounded.blocks[0].attn.qkv.input_quantizer.zero_point
    assert torch.equal(zero_point, zero_point.round())
    uniform = repq.RepQ(uniform_softmax=True).quantize(tiny_model(), Widths(Bits(4, 4)), images)
    assert uniform.blocks[0].attn.softmax_quantizer.label == "uniform"
    plain = repq.RepQ().quantize(tiny_model(), Widths(Bits(4, 4)), images)
    again = repq.RepQ(search_again=True).quantize(tiny_model(), Widths(Bits(4, 4)), images)
    assert not torch.equal(again.head.input_quantizer.scale, plain.head.input_quantizer.scale)
