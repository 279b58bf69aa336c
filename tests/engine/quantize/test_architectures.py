"""Relatives of the vision transformer in timm: faithful in floating point, or refused in words beforehand.

All of timm's names that build a VisionTransformer were gone through by hand; these stand for their kinds.
"""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import nn

from engine.errors import QuantizeError
from engine.plan.bits import Bits
from engine.quantize.bit_table import tabulate
from engine.quantize.layers import MUCH, check_architecture, quantized_copy, share_beyond, warning_of
from engine.quantize.methods import round_to_nearest
from engine.quantize.sites import Widths
from engine.sweep.features import outputs

SMALL: dict[str, Any] = {"depth": 2, "img_size": 32, "num_classes": 10}
FAITHFUL: dict[str, dict[str, Any]] = {
    "vit_tiny_patch16_224": SMALL,
    "vit_tiny_patch16_224 of any size": {**SMALL, "dynamic_img_size": True},
    "vit_base_patch32_clip_quickgelu_224": {**SMALL, "img_size": 64, "embed_dim": 192},
    "vit_base_patch16_gap_224": {**SMALL, "embed_dim": 192},
    "vit_little_patch16_reg4_gap_256": SMALL,
    "vit_giant_patch14_dinov2": {**SMALL, "img_size": 28, "embed_dim": 192, "num_heads": 3},
    "deit_tiny_distilled_patch16_224": SMALL,
    "deit3_small_patch16_224": SMALL,
    "flexivit_small": {**SMALL, "img_size": 48},
    "vit_tiny_r_s16_p8_224": {"depth": 2, "img_size": 64, "num_classes": 10},
    "test_vit": {"num_classes": 10},
}
REFUSED = {
    "vit_small_patch16_18x2_224": "ParallelThingsBlock",
    "vit_pwee_patch16_reg1_gap_256": "ParallelScalingBlock",
    "vit_dwee_patch16_reg1_gap_256": "DiffAttention",
    "vit_base_patch16_xp_224": "ParallelScalingBlock",
    "vit_base_patch16_rpn_224": "ResPostBlock",
    "vit_base_patch16_siglip_224": "attention pooling",
    "test_vit3": "attention pooling",
}


def made(name: str, arguments: dict[str, Any]) -> Any:
    torch.manual_seed(0)
    model = timm.create_model(name.split()[0], **arguments).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    return model


@pytest.mark.parametrize("name", FAITHFUL)
def test_without_quantizers_the_copy_is_timms_model(name: str) -> None:
    arguments = FAITHFUL[name]
    model = made(name, arguments).double()
    check_architecture(model)
    side = arguments.get("img_size") or model.default_cfg["input_size"][-1]
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0)).double()
    copy = quantized_copy(model, Widths(Bits()), lambda site: nn.Identity())
    with torch.inference_mode():
        exact, got, seen = model(images), copy(images), outputs(copy, images).logits
    for found in (got, seen):
        assert float((found - exact).abs().max() / exact.abs().max()) < 1e-12


@pytest.mark.parametrize("name", REFUSED)
def test_other_blocks_and_pools_are_refused_in_words(name: str) -> None:
    model = timm.create_model(name, **(SMALL if not name.startswith("test_") else {"num_classes": 10}))
    with pytest.raises(QuantizeError, match=REFUSED[name]):
        check_architecture(model)


def test_the_stem_of_a_hybrid_is_counted_and_warned_of() -> None:
    arguments = {"depth": 2, "img_size": 64, "num_classes": 10}
    model = made("vit_tiny_r_s16_p8_224", arguments)
    weights = {n: p.numel() for n, p in model.named_parameters() if n.endswith("weight") and p.ndim > 1}
    stem = sum(count for name, count in weights.items() if "backbone" in name)
    assert stem > 0 and share_beyond(model) == pytest.approx(stem / sum(weights.values()))
    images = torch.randn(4, 3, 64, 64)
    for bits, right in ((Bits(4, 4), share_beyond(model)), (Bits(32, 4), 0.0)):
        table = tabulate("", round_to_nearest.MinMax().quantize(model, Widths(bits), images), images)
        assert table.float_share == pytest.approx(right, rel=1e-3)
    model = made("vit_small_r26_s32_224", arguments)
    assert share_beyond(model) > MUCH and f"{share_beyond(model):.1%}" in warning_of(model)
    assert share_beyond(made("test_vit", {})) == 0 and not warning_of(made("test_vit", {}))


def test_weights_that_are_left_in_floating_point_by_an_override_are_counted() -> None:
    model = made("test_vit", {"num_classes": 10})
    images = torch.randn(2, 3, 160, 160)
    weights = sum(p.numel() for n, p in model.named_parameters() if n.endswith("weight") and p.ndim > 1)
    table = tabulate(
        "", round_to_nearest.MinMax().quantize(model, Widths(Bits(4, 4), {"head": 32}), images), images
    )
    assert table.float_share == pytest.approx(model.head.weight.numel() / weights, rel=1e-3)
