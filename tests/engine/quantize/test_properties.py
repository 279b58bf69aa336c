"""What every quantizer promises, for every width; and where the promises end."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import QuantizeError
from engine.quantize.grids import search
from engine.quantize.grids.logarithmic import LogSqrt2
from engine.quantize.grids.uniform import Uniform, fake_quantize
from tests.strategies import tensors, widths

SEARCHES = {
    "minmax": search.min_max,
    "percentile": search.percentile(0.9999),
    "omse": search.least_error,
    "repq": search.best_percentile,
}
values = tensors(-50, 50)


def fitted(name: str, bits: int, x: torch.Tensor) -> Uniform:
    quantizer = Uniform(bits, SEARCHES[name])
    quantizer(x)
    return quantizer


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(sorted(SEARCHES)), widths, values)
def test_uniform_is_idempotent_monotone_and_within_half_a_step(
    name: str, bits: int, given_values: list[float]
) -> None:
    x = torch.tensor(given_values)
    quantizer = fitted(name, bits, x)
    once = quantizer(x)
    torch.testing.assert_close(quantizer(once), once, rtol=1e-6, atol=1e-30)
    order = torch.argsort(x)
    assert (torch.diff(once[order]) >= 0).all()
    inside = ~quantizer.clipped(x)
    half = quantizer.scale / 2 * (1 + 1e-5)
    assert ((once - x).abs()[inside] <= half + 1e-6 * x.abs()[inside]).all()
    assert len(torch.unique(once)) <= 2**bits
    codes = quantizer.codes(x)
    assert torch.equal(codes, codes.round()) and codes.min() >= 0 and codes.max() <= 2**bits - 1


@settings(deadline=None, max_examples=150)
@given(widths, tensors(0, 1))
def test_log_sqrt2_is_idempotent_monotone_and_within_half_a_step_of_the_logarithm(
    bits: int, given_values: list[float]
) -> None:
    x = torch.tensor(given_values)
    quantizer = LogSqrt2(bits)
    once = quantizer(x)
    torch.testing.assert_close(quantizer(once), once, rtol=1e-6, atol=0)
    order = torch.argsort(x)
    assert (torch.diff(once[order]) >= 0).all()
    inside = ~quantizer.clipped(x) & (x > 0)
    steps = -2 * torch.log2(once[inside].double() / x[inside].double())
    assert (steps.abs() <= 0.5 + 1e-4).all()
    assert (once[x == 0] == 0).all()


@settings(deadline=None)
@given(widths, st.floats(0.01, 0.99), st.integers(0, 5))
def test_a_fractional_zero_point_breaks_idempotence_only_at_the_clamped_ends(
    bits: int, fraction: float, seed: int
) -> None:
    torch.manual_seed(seed)
    x = torch.randn(200) * 3
    scale, zero_point = torch.tensor([0.37]), torch.tensor([2 ** (bits - 1) + fraction])
    once = fake_quantize(x, scale, zero_point, bits)
    twice = fake_quantize(once, scale, zero_point, bits)
    code = torch.round(x / scale) + zero_point
    inside = (code >= 0) & (code <= 2**bits - 1)
    torch.testing.assert_close(twice[inside], once[inside])
    assert ((twice - once).abs() <= scale * (1 + 1e-4)).all()
    order = torch.argsort(x)
    assert (torch.diff(once[order]) >= 0).all()


@pytest.mark.parametrize("name", sorted(SEARCHES))
@pytest.mark.parametrize("axis", [None, 0, -1])
def test_all_zero_tensors_and_channels_stay_zero(name: str, axis: int | None) -> None:
    x = torch.zeros(3, 4, 5)
    assert torch.equal(Uniform(4, SEARCHES[name], axis)(x), x)
    mixed = torch.randn(3, 4, 5)
    mixed[1] = 0.0
    assert torch.equal(Uniform(4, SEARCHES[name], 0)(mixed)[1], mixed[1])
    assert torch.equal(LogSqrt2(4)(x), x)


@pytest.mark.parametrize("name", sorted(SEARCHES))
@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan])
def test_infinite_values_are_refused_by_name(name: str, value: float) -> None:
    x = torch.tensor([1.0, 2.0, value])
    with pytest.raises(QuantizeError, match="infinite"):
        Uniform(4, SEARCHES[name])(x)


@pytest.mark.parametrize("name", sorted(SEARCHES))
def test_channels_are_searched_as_if_each_were_alone(name: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(6, 500) * torch.logspace(-3, 3, 6)[:, None]
    together = Uniform(5, SEARCHES[name], 0)(x)
    alone = torch.stack([Uniform(5, SEARCHES[name])(row) for row in x])
    torch.testing.assert_close(together, alone, rtol=0, atol=0)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_omse_errs_no_more_than_min_max(bits: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(8, 400) ** 3
    errors = [((Uniform(bits, SEARCHES[n], 0)(x) - x) ** 2).mean(1) for n in ("omse", "minmax")]
    assert (errors[0] <= errors[1]).all()
