"""ERQ and QwT: what their closed forms promise."""

from __future__ import annotations

import pytest
import torch

from engine.plan.bits import Bits
from engine.quantize.grids import search
from engine.quantize.grids.uniform import Uniform
from engine.quantize.layers import quantized_layers
from engine.quantize.methods import erq, qwt, repq
from engine.quantize.sites import Widths
from tests.engine.quantize.test_repq import tiny_model

IMAGES = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_ridge_recovers_a_layer_whose_inputs_were_scaled_and_shifted() -> None:
    torch.manual_seed(0)
    weight, bias, x = torch.randn(5, 8).double(), torch.randn(5).double(), torch.randn(4000, 8).double()
    seen = x * 1.3 + 0.2
    new_weight, new_bias = erq.ridge(weight, bias, x, seen)
    before = (x @ weight.T - seen @ weight.T).square().mean()
    after = (x @ weight.T + bias - seen @ new_weight.T - new_bias).square().mean()
    assert after < before / 1000


def test_ridge_leaves_a_layer_alone_whose_inputs_are_exact() -> None:
    weight, bias, x = torch.randn(5, 8).double(), torch.randn(5).double(), torch.randn(100, 8).double()
    new_weight, new_bias = erq.ridge(weight, bias, x, x)
    torch.testing.assert_close(new_weight, weight)
    torch.testing.assert_close(new_bias, bias)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_flipped_roundings_lie_on_the_grid_and_err_less(bits: int) -> None:
    torch.manual_seed(0)
    weight = torch.randn(6, 20).double()
    x = torch.randn(300, 20).double() @ torch.randn(20, 20).double()
    gram = x.T @ x / 300
    quantizer = Uniform(bits, search.min_max, axis=0)
    nearest = quantizer(weight.float()).double()
    refined = erq.refine(weight, gram, quantizer)
    torch.testing.assert_close(quantizer(refined.float()).double(), refined, rtol=1e-5, atol=1e-6)

    def error(rounded: torch.Tensor) -> torch.Tensor:
        return torch.einsum("oi,ij,oj->o", rounded - weight, gram, rounded - weight)

    assert (error(refined) <= error(nearest) * (1 + 1e-6)).all()
    assert error(refined).sum() < error(nearest).sum()


def test_erq_weights_are_on_their_grid() -> None:
    model = erq.ERQ().quantize(tiny_model(), Widths(Bits(4, 4)), IMAGES)
    for _, layer in quantized_layers(model):
        torch.testing.assert_close(layer.frozen, layer.weight, rtol=1e-5, atol=1e-6)
        assert len(torch.unique(layer.frozen[0])) <= 16


@torch.inference_mode()
def test_corrections_bring_the_calibration_logits_nearer() -> None:
    model = tiny_model()
    exact = model(IMAGES)
    errors = {
        name: (method(model, Widths(Bits(4, 4)), IMAGES)(IMAGES) - exact).norm()
        for name, method in (
            ("repq", repq.RepQ().quantize),
            ("erq", erq.ERQ().quantize),
            ("qwt", qwt.QwT().quantize),
        )
    }
    assert errors["erq"] < errors["repq"] and errors["qwt"] < errors["repq"]


def test_qwt_fits_a_linear_error_exactly_and_ignores_noise_free_blocks() -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(500, 6), torch.randn(4, 6), torch.randn(4)
    found_weight, found_bias, explained = qwt.fit(x, x @ weight.T + bias)
    assert found_weight.dtype is torch.float16  # as it is stored
    torch.testing.assert_close(found_weight.float(), weight, rtol=2e-3, atol=2e-3)
    torch.testing.assert_close(found_bias.float(), bias, rtol=2e-3, atol=2e-3)
    assert explained > 0.999
    assert qwt.fit(x, torch.zeros(500, 4))[2] == 0.0
