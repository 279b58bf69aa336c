"""Twin uniform and adaptive logarithmic quantizers: what holds for every width, and the exact exceptions."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.quantize.grids.logarithmic import FRACTIONS, AdaptiveLog, ShiftedAdaptiveLog
from engine.quantize.grids.twin import LEAST_GELU, SummedTwinSoftmax, TwinGelu, TwinSoftmax
from tests.strategies import tensors, widths

shares = tensors(0, 1, allow_subnormal=False)


def twin_softmax(bits: int, power: int) -> TwinSoftmax:
    quantizer = TwinSoftmax(bits)
    quantizer.use({"scale": torch.tensor([2.0**-power])})
    return quantizer


@settings(deadline=None, max_examples=150)
@given(widths, st.integers(0, 19), shares)
def test_twin_softmax_is_idempotent_and_within_half_a_step_of_its_range(
    bits: int, power: int, given_values: list[float]
) -> None:
    x, quantizer = torch.tensor(given_values), twin_softmax(bits, power)
    once = quantizer(x)
    torch.testing.assert_close(quantizer(once), once, rtol=1e-6, atol=0)
    coarse = 1 / (2 ** (bits - 1) - 1)
    step = torch.where(x > 2.0**-power, coarse, coarse * 2.0**-power)
    assert ((once - x).abs() <= step / 2 * (1 + 1e-5)).all()
    assert len(torch.unique(once)) <= 2**bits


@settings(deadline=None, max_examples=150)
@given(widths, st.integers(0, 19), shares)
def test_twin_softmax_is_monotone_but_for_the_values_just_above_the_split(
    bits: int, power: int, given_values: list[float]
) -> None:
    split, coarse = 2.0**-power, 1 / (2 ** (bits - 1) - 1)
    x = torch.tensor(given_values).sort().values
    once = twin_softmax(bits, power)(x)
    for part in (x <= split, x > split):
        assert (torch.diff(once[part]) >= 0).all()
    # The exceptions are exactly those that the coarse step rounds below the split.
    above = x > split
    fallen = above & (once < split * (1 - 1e-6))
    expected = above & ((x / coarse).round() * coarse < split * (1 - 1e-6))
    assert torch.equal(fallen, expected)


@settings(deadline=None, max_examples=150)
@given(widths, st.integers(0, 19), shares)
def test_the_summed_twin_softmax_is_the_sum_of_both_clamped_ranges(
    bits: int, power: int, given_values: list[float]
) -> None:
    quantizer = SummedTwinSoftmax(bits)
    quantizer.use({"scale": torch.tensor([2.0**-power])})
    top, split = 2 ** (bits - 1) - 1, 2.0**-power
    once = quantizer(torch.tensor(given_values)).tolist()
    expected = [
        round(max(value, split) * top) / top + round(min(value, split) / split * top) * split / top
        for value in torch.tensor(given_values).tolist()
    ]
    assert sum(abs(one - other) < 1e-6 for one, other in zip(once, expected, strict=True)) >= len(once) - 1
    low, high = quantizer.range()
    assert all(low - 1e-6 <= value <= high + 1e-6 for value in once)
    assert len(set(once)) <= 2**bits


def test_the_summed_twin_softmax_is_too_large_above_the_split() -> None:
    paper, code = twin_softmax(4, 1), SummedTwinSoftmax(4)
    code.use({"scale": torch.tensor([0.5])})
    x = torch.tensor([6 / 7])
    assert paper(x).tolist() == pytest.approx([6 / 7])
    assert code(x).tolist() == pytest.approx([6 / 7 + 0.5])


def test_the_exception_of_twin_softmax_reaches_down_to_zero() -> None:
    quantizer = twin_softmax(4, 4)
    once = quantizer(torch.tensor([0.0600, 0.0625, 0.0700]))
    assert once.tolist() == pytest.approx([0.0625 * 7 / 7, 0.0625, 0.0])


@settings(deadline=None, max_examples=150)
@given(widths, st.floats(0.01, 1), tensors(-0.125, 20))
def test_twin_gelu_is_idempotent_monotone_and_within_half_a_step(
    bits: int, scale: float, given_values: list[float]
) -> None:
    x, quantizer = torch.tensor(given_values), TwinGelu(bits)
    quantizer.use({"scale": torch.tensor([scale])})
    once = quantizer(x)
    torch.testing.assert_close(quantizer(once), once, rtol=1e-6, atol=1e-7)
    assert (torch.diff(once[torch.argsort(x)]) >= 0).all()
    inside = ~quantizer.clipped(x)
    step = torch.where(x > 0, scale, LEAST_GELU / 2 ** (bits - 1))
    assert ((once - x).abs()[inside] <= step[inside] / 2 * (1 + 1e-4)).all()
    assert len(torch.unique(once)) <= 2**bits


@settings(deadline=None, max_examples=150)
@given(widths, st.integers(10, 137), shares)
def test_adaptive_log_is_monotone_and_errs_by_half_a_step_and_its_table(
    bits: int, base: int, given_values: list[float]
) -> None:
    x, quantizer = torch.tensor(given_values), AdaptiveLog(bits)
    quantizer.use({"scale": torch.ones(1), "base": torch.tensor([float(base)])})
    once = quantizer(x)
    assert (torch.diff(once[torch.argsort(x)]) >= 0).all()
    assert (once[x == 0] == 0).all()
    inside = ~quantizer.clipped(x) & (x > 0)
    ratio = (once[inside].double() / x[inside].double()).log2().abs() * FRACTIONS / base
    # A power in [1/2, 1] is rounded to a multiple of 1 / (2^(b+1) - 2), half of which is the most it errs.
    table = FRACTIONS / base * torch.log2(torch.tensor(1 / (1 - 1 / (2 ** (bits + 1) - 2)))).item()
    assert (ratio <= 0.5 + table + 1e-4).all()


def test_adaptive_log_with_base_two_has_exact_powers() -> None:
    quantizer = AdaptiveLog(4)
    quantizer.use({"scale": torch.ones(1), "base": torch.tensor([float(FRACTIONS)])})
    powers = 2.0 ** -torch.arange(16)
    assert torch.equal(quantizer(powers), powers)
    assert float(quantizer(torch.tensor([2.0**-16]))) == 0


def test_the_shifted_logarithm_keeps_the_sign_of_gelu_outputs() -> None:
    quantizer = ShiftedAdaptiveLog(8)
    quantizer.use({"scale": torch.tensor([3 + LEAST_GELU]), "base": torch.tensor([10.0])})
    x = torch.nn.functional.gelu(torch.linspace(-6, 3, 400))
    once = quantizer(x)
    assert float(once.min()) >= -LEAST_GELU - 1e-6
    assert float((once - x).abs().max()) < 0.35 and float((once - x).abs().median()) < 0.02
    diverged = quantizer(torch.tensor([torch.nan]))
    assert torch.isnan(diverged).all()
