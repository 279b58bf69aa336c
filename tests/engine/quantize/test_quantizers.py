from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import QuantizeError
from engine.quantize.grids import search
from engine.quantize.grids.logarithmic import LogSqrt2
from engine.quantize.grids.search import PERCENTILES
from engine.quantize.grids.uniform import Uniform, fake_quantize, quantiles
from tests.strategies import widths


@settings(deadline=None)
@given(widths, st.integers(0, 5))
def test_min_max_errs_by_at_most_half_a_step(bits: int, seed: int) -> None:
    torch.manual_seed(seed)
    x = torch.randn(4, 200)
    quantizer = Uniform(bits, search.min_max, axis=0)
    error = (quantizer(x) - x).abs().amax(1)
    # The zero point is rounded, so one end of the range may lie half a step outside the grid.
    assert (error <= quantizer.scale * 1.001).all()
    assert len(torch.unique(quantizer(x)[0])) <= 2**bits


def test_percentile_search_is_the_one_by_one_search_of_the_paper() -> None:
    torch.manual_seed(0)
    x = torch.randn(6, 3000) ** 3
    scale, zero_point = search.best_percentile(x, 4, 0)
    for channel in range(6):
        best = (torch.inf, None)
        for p in PERCENTILES:
            high, low = torch.quantile(x[channel], p), torch.quantile(x[channel], 1 - p)
            d = (high - low) / 15
            z = torch.round(-low / d)
            code = torch.clamp(torch.round(x[channel] / d) + z, 0, 15)
            error = float((((code - z) * d - x[channel]) ** 2).mean())
            if error < best[0]:
                best = (error, (d, z))
        assert torch.equal(torch.stack(best[1]), torch.stack([scale[channel], zero_point[channel]]))


@pytest.mark.parametrize("value", [0.0, 3.0, -2.5])
@pytest.mark.parametrize(
    "find", [search.min_max, search.best_percentile, search.least_error, search.percentile(0.9999)]
)
def test_a_constant_channel_is_kept_exactly(value: float, find: object) -> None:
    x = torch.full((2, 50), value)
    assert torch.equal(Uniform(4, find, axis=0)(x), x)  # type: ignore[arg-type]


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
def test_log_sqrt2_follows_its_formula(bits: int) -> None:
    torch.manual_seed(0)
    x = torch.softmax(torch.randn(8, 4, 17, 17) * 3, -1)
    quantizer = LogSqrt2(bits)
    found = quantizer(x)
    scale = quantizer.scale
    code = torch.round(-2 * torch.log2(x / scale))
    expected = scale * 2 ** (-torch.clamp(code, min=0) / 2)
    expected[code >= 2**bits] = 0
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


def test_log_sqrt2_step_does_not_depend_on_bits() -> None:
    x = torch.linspace(0.01, 1, 5000)
    errors = [((LogSqrt2(bits)(x) - x) / x).abs().max() for bits in (6, 8)]
    assert errors[0] == errors[1] <= 2**0.25 - 1 + 1e-3


def test_nan_cannot_set_a_scale() -> None:
    with pytest.raises(QuantizeError, match="NaN"):
        Uniform(4, search.min_max)(torch.tensor([1.0, torch.nan]))


def test_a_fractional_zero_point_shifts_the_grid() -> None:
    x = torch.tensor([-10.0, 0.0, 10.0])
    found = fake_quantize(x, torch.tensor([1.0]), torch.tensor([7.25]), 4)
    torch.testing.assert_close(found, torch.tensor([-7.25, 0.0, 7.75]))


def test_log_sqrt2_lets_a_diverged_model_be_nan() -> None:
    quantizer = LogSqrt2(4)
    quantizer(torch.rand(50))
    found = quantizer(torch.tensor([0.5, torch.nan, 0.0]))
    assert torch.isnan(found).tolist() == [False, True, False] and found[2] == 0


@settings(deadline=None)
@given(st.integers(1, 3000), st.integers(0, 9))
def test_quantiles_are_those_of_torch_bit_by_bit(n: int, seed: int) -> None:
    torch.manual_seed(seed)
    rows = torch.randn(3, n) ** 3
    at = [0.999, 0.9999, 0.99999, 1 - 0.999, 1 - 0.9999, 1 - 0.99999, 0.3, 0.5, 0.0, 1.0]
    assert torch.equal(quantiles(rows, at), torch.quantile(rows, torch.tensor(at), dim=1))


@pytest.mark.parametrize("values", ["normal", "constant", "sorted", "few"])
def test_quantiles_of_long_rows_are_those_of_torch_bit_by_bit(values: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 400_001)
    x = {"normal": x, "constant": torch.ones_like(x), "sorted": x.sort().values, "few": x.round()}[values]
    at = [0.999, 0.9999, 0.99999, 0.001, 0.0001, 0.00001]
    assert torch.equal(quantiles(x, at), torch.quantile(x, torch.tensor(at), dim=1))
