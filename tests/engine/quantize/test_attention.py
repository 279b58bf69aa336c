"""What the explicit product changes where nothing is quantized: so much of every delta is no quantization."""

from __future__ import annotations

import pytest
import torch

from engine import catalog
from engine.models import zoo
from engine.quantize.layers import unquantized_copy


@pytest.mark.parametrize("name", catalog.DEMO_MODELS)
def test_explicit_attention_is_fused_attention_to_float32_rounding(name: str) -> None:
    model = zoo.load_model(name).model
    images = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        fused, explicit = model(images), unquantized_copy(model)(images)
        exact = model.double()(images.double())
    assert (fused - explicit).abs().max() < 1e-5 * fused.std()
    # Both are as far from float64, so neither is the better reference.
    errors = [float((one - exact).abs().max()) for one in (fused, explicit)]
    assert max(errors) < 3 * min(errors)
