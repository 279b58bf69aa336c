from __future__ import annotations

import pytest
import torch
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer

from engine.plan.bits import Bits
from engine.quantize.methods import repq
from engine.quantize.sites import Widths
from engine.sweep.features import head_of, outputs

SMALL = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3, "num_classes": 10}
IMAGES = torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("family", [VisionTransformer, VisionTransformerDistilled])
@pytest.mark.parametrize("bits", [None, Bits(4, 4), Bits(4, 32), Bits(32, 4)])
@pytest.mark.parametrize("pool", ["token", "avg"])
@torch.inference_mode()
def test_features_times_the_head_are_the_models_own_logits(
    family: type, bits: Bits | None, pool: str
) -> None:
    if family is VisionTransformerDistilled and pool == "avg":
        pytest.skip("a distilled DeiT has no other pooling")
    torch.manual_seed(0)
    model = family(**SMALL, global_pool=pool).eval()
    if bits is not None:
        model = repq.RepQ().quantize(model, Widths(bits), IMAGES)
    found, head = outputs(model, IMAGES), head_of(model)
    assert torch.equal(found.logits, model(IMAGES))
    torch.testing.assert_close(head.logits(found.features), found.logits.double(), rtol=0, atol=2e-6)
    assert found.features.shape == (16, 96 if family is VisionTransformerDistilled else 48)
    if bits is not None and bits.activation == 4:
        levels = torch.unique(found.features[:, :48])
        assert len(levels) <= 16
