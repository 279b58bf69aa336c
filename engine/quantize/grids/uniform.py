"""The uniform quantizer and the searches that set its scale."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from engine.errors import QuantizeError
from engine.quantize.grids.base import Quantizer

SAMPLED = 64  # one value in this many is sampled to find the ends of a long row
Search = Callable[[Tensor, int, int | None], tuple[Tensor, Tensor]]


class Uniform(Quantizer):
    """Quantize uniformly: x^ = (clamp(round(x / scale) + zero point, 0, 2^b - 1) - zero point) scale.

    Sets its scale and zero point from the first tensor it sees, by `search`. `axis` is the channel axis,
    None for one scale per tensor; fewer scales than channels stand for equal runs of channels. The zero
    point may be fractional, as RepQ-ViT's reparameterization leaves it; the grid is then shifted at its
    clamped ends, has 2^b + 1 values, and quantizing twice is not quantizing once.
    """

    label = "uniform"
    parts = ("scale", "zero_point")
    zero_point: Tensor | None

    def __init__(self, bits: int, search: Search | None = None, axis: int | None = None) -> None:
        super().__init__(bits)
        self.search, self.axis = search, axis

    def fix(self, scale: Tensor, zero_point: Tensor) -> None:
        """Use the given scale and zero point for the whole tensor."""
        self.scale, self.zero_point, self.axis = scale, zero_point, None

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` quantized and dequantized."""
        scale, zero_point = self._parameters_for(x)
        return fake_quantize(x, scale, zero_point, self.bits)

    @property
    def code_bits(self) -> int:
        """Return how many bits a code takes: one more where a zero point is fractional."""
        assert self.zero_point is not None
        return self.bits + bool((self.zero_point % 1).any())

    def codes(self, x: Tensor) -> Tensor:
        """Return the codes of `x`; where the zero point is whole they are from 0 to 2^b - 1."""
        scale, zero_point = self._parameters_for(x)
        code = x.div(scale).round_().add_(zero_point.ceil()).clamp_(min=0)
        return code.minimum(2**self.bits - 1 + (zero_point % 1 > 0)).int()

    def dequantize(self, codes: Tensor) -> Tensor:
        """Return the values of codes."""
        assert self.scale is not None and self.zero_point is not None
        scale, zero_point = (along(part, codes, self.axis) for part in (self.scale, self.zero_point))
        whole = codes.to(scale.dtype)
        between = (whole - zero_point.ceil()).add_(zero_point).clamp_(0, 2**self.bits - 1)
        return torch.where(zero_point % 1 > 0, between, whole).sub_(zero_point).mul_(scale)

    def clipped(self, x: Tensor) -> Tensor:
        """Return for every element whether it lies outside the range."""
        scale, zero_point = self._parameters_for(x)
        code = x.div(scale).round_().add_(zero_point)
        return torch.logical_or(code < 0, code > 2**self.bits - 1)

    def range(self) -> tuple[float, float]:
        """Return the smallest and the largest value that can be represented, over all channels."""
        assert self.scale is not None and self.zero_point is not None
        low = -self.zero_point * self.scale
        high = (2**self.bits - 1 - self.zero_point) * self.scale
        return float(low.min()), float(high.max())

    def _parameters_for(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.scale is None or self.zero_point is None:
            check_finite(x)
            assert self.search is not None, "nothing says how to set the scale"
            self.scale, self.zero_point = self.search(x, self.bits, self.axis)
        return along(self.scale, x, self.axis), along(self.zero_point, x, self.axis)


def symmetric(bits: int, axis: int | None = None) -> Uniform:
    """Return a uniform quantizer with codes from -2^(b-1) to 2^(b-1) - 1; its scale is yet to be set."""
    quantizer = Uniform(bits, axis=axis)
    quantizer.zero_point = torch.full((1,), float(2 ** (bits - 1)), device="cpu")
    return quantizer


def fake_quantize(x: Tensor, scale: Tensor, zero_point: Tensor, bits: int) -> Tensor:
    """Quantize and dequantize; the zero point is added after rounding (ties to even)."""
    code = x.div(scale).round_().add_(zero_point).clamp_(0, 2**bits - 1)
    return code.sub_(zero_point).mul_(scale)


def affine(low: Tensor, high: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Return scale and whole zero point that cover [low, high].

    A constant tensor or channel has no range: a scale of its own magnitude represents it exactly.
    """
    constant = high == low
    scale = (high - low) / (2**bits - 1)
    # A range below the smallest normal number would divide by zero.
    tiny = torch.finfo(scale.dtype).tiny
    degenerate = constant | (scale < tiny)
    magnitude = torch.where(low.abs() >= tiny, low.abs(), torch.ones_like(low))
    scale = torch.where(degenerate, magnitude, scale)
    zero_point = torch.where(degenerate, (low < 0).to(low.dtype), torch.round(-low / scale))
    return scale, zero_point


def quantiles(rows: Tensor, at: list[float] | tuple[float, ...]) -> Tensor:
    """Return linearly interpolated quantiles of every row: (len(at), rows), bit by bit `torch.quantile`.

    Only the ends of each row are sorted, which is many times faster near the ends and works for any number
    of elements.
    """
    n = rows.shape[1]
    # torch.quantile rounds the shares to float32, but not the ranks: any other way gives other values.
    ranks = torch.tensor(at, dtype=torch.float32, device="cpu").double() * (n - 1)
    values = torch.empty(len(at), len(rows), dtype=rows.dtype, device=rows.device)
    for largest in (False, True):
        members = torch.nonzero((ranks > (n - 1) / 2) == largest).flatten()
        if not len(members):
            continue
        ends = ranks[members]
        count = n - int(ends.min()) if largest else int(ends.max().ceil()) + 1
        sorted_end = extremes(rows, min(count, n), largest=largest)
        if largest:
            sorted_end = sorted_end.flip(1)
        skipped = n - sorted_end.shape[1] if largest else 0
        below, above = ends.long() - skipped, ends.ceil().long() - skipped
        share = (ends - ends.long())[:, None].to(rows.dtype).to(rows.device)
        values[members] = torch.lerp(sorted_end[:, below].T, sorted_end[:, above].T, share)
    return values


def extremes(rows: Tensor, count: int, *, largest: bool) -> Tensor:
    """Return the `count` largest or smallest values of every row, the most extreme first."""
    sample = rows[:, ::SAMPLED]
    enough = 2 * count // SAMPLED + SAMPLED
    if len(rows) == 1 and enough < sample.shape[1] // 4:
        # Most values of a long row cannot be among them: those beyond a threshold that the sample gives.
        threshold = sample.topk(enough, largest=largest).values[0, -1]
        beyond = rows[rows >= threshold] if largest else rows[rows <= threshold]
        if len(beyond) >= count:
            rows = beyond[None]
    return rows.topk(count, dim=1, largest=largest).values


def check_finite(x: Tensor) -> None:
    """Raise QuantizeError if a tensor that sets a scale holds NaN or infinity."""
    if x.numel() and not torch.isfinite(torch.stack(torch.aminmax(x))).all():
        raise QuantizeError("a tensor holds NaN or infinite values, so no scale can be set from it")


def channels_first(x: Tensor, axis: int | None) -> Tensor:
    """Return one row per channel: (channels, n), or (1, n) for one scale per tensor."""
    if axis is None:
        return x.reshape(1, -1)
    return x.movedim(axis, 0).reshape(x.shape[axis], -1)


def along(value: Tensor, x: Tensor, axis: int | None) -> Tensor:
    """Shape one value per channel, or one per equal run of channels, so that it broadcasts against `x`."""
    if axis is None:
        return value
    if value.numel() not in (1, x.shape[axis]):
        value = value.repeat_interleave(x.shape[axis] // value.numel())
    shape = [1] * x.dim()
    shape[axis] = -1
    return value.view(shape)
