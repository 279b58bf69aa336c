from __future__ import annotations

import pytest
import timm
import torch
from timm.models.deit import VisionTransformerDistilled

from engine import catalog
from engine.errors import QuantizeError
from engine.plan.bits import Bits
from engine.quantize.bit_table import tabulate
from engine.quantize.layers import check_architecture, quantized_layers
from engine.quantize.methods import adalog, repq, round_to_nearest
from engine.quantize.methods.base import quantize
from engine.quantize.sites import Widths
from tests.engine.quantize.test_repq import tiny_model


@pytest.mark.parametrize(
    "options",
    [
        {"qk_norm": True},
        {"scale_attn_norm": True},
        {"scale_mlp_norm": True},
        {"num_classes": 0},
        {"global_pool": "map", "class_token": False},
        {"norm_layer": torch.nn.Identity},
    ],
)
def test_what_cannot_be_quantized_faithfully_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(QuantizeError):
        check_architecture(tiny_model(**options))


def test_another_family_is_refused() -> None:
    with pytest.raises(QuantizeError, match="VisionTransformer"):
        check_architecture(timm.create_model("resnet10t"))


@pytest.mark.parametrize("method", [round_to_nearest.MinMax().quantize, repq.RepQ().quantize])
def test_first_and_last_layer_are_quantized_and_the_image_at_8_bits(method: object) -> None:
    model = method(tiny_model(), Widths(Bits(4, 4)), torch.randn(8, 3, 32, 32))  # type: ignore[operator]
    assert model.patch_embed.proj.input_quantizer.bits == 8
    assert model.patch_embed.proj.weight_quantizer.bits == model.head.weight_quantizer.bits == 4
    assert model.head.input_quantizer.bits == 4
    assert len(list(quantized_layers(model))) == 2 * 4 + 2
    for _, layer in quantized_layers(model):
        assert len(torch.unique(layer.frozen[0])) <= 16


def test_more_bits_come_nearer_to_floating_point() -> None:
    model, images = tiny_model(), torch.randn(64, 3, 32, 32)
    with torch.inference_mode():
        exact = model(images)
        errors = [
            (round_to_nearest.MinMax().quantize(model, Widths(Bits(b, b)), images)(images) - exact).norm()
            for b in (3, 5, 8)
        ]
    assert errors[0] > errors[1] > errors[2]


def test_a_distilled_deit_has_both_heads_quantized() -> None:
    torch.manual_seed(0)
    shape = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3, "num_classes": 10}
    model = VisionTransformerDistilled(**shape).eval()
    images = torch.randn(32, 3, 32, 32)
    quantized = repq.RepQ().quantize(model, Widths(Bits(8, 8)), images)
    assert quantized.head_dist.weight_quantizer.bits == quantized.head.input_quantizer.bits == 8
    with torch.inference_mode():
        error = (quantized(images) - model(images)).norm() / model(images).norm()
    assert error < 0.2


@pytest.mark.parametrize("method", sorted(catalog.METHODS))
def test_every_tensor_is_made_on_the_device_of_the_model(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adalog, "REFINEMENTS", 1)
    monkeypatch.setattr(adalog, "ROUNDS", 1)
    model, images = tiny_model(), torch.randn(8, 3, 32, 32)
    # Whatever does not say where it is made lands on the default device, which does not mix with another.
    with torch.device("meta"):
        quantized = quantize(method, model, Widths(Bits(4, 4)), images)
        table = tabulate("", quantized, images)
    assert table.rows
    assert all(p.device.type == "cpu" for p in (*quantized.parameters(), *quantized.buffers()))
