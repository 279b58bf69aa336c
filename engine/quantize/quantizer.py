"""Quantizers for one tensor: uniform and log-sqrt2, with the searches that set their scales."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from engine.errors import QuantizeError

PERCENTILES = (0.999, 0.9999, 0.99999)
Search = Callable[[Tensor, int, int | None], tuple[Tensor, Tensor]]


class Uniform(nn.Module):
    """Quantize uniformly: x^ = (clamp(round(x / scale) + zero point, 0, 2^b - 1) - zero point) scale.

    Sets its scale and zero point from the first tensor it sees. `axis` is the channel axis, None for
    one scale per tensor. The zero point may be fractional, as RepQ-ViT's reparameterization leaves it.
    """

    def __init__(self, bits: int, search: Search, axis: int | None = None) -> None:
        super().__init__()
        self.bits, self.search, self.axis = bits, search, axis
        self.scale: Tensor | None
        self.zero_point: Tensor | None
        self.register_buffer("scale", None)
        self.register_buffer("zero_point", None)

    def reset(self) -> None:
        """Forget the scale, so that the next tensor sets it anew."""
        self.scale = self.zero_point = None

    def fix(self, scale: Tensor, zero_point: Tensor) -> None:
        """Use the given scale and zero point for the whole tensor."""
        self.scale, self.zero_point, self.axis = scale, zero_point, None

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` quantized and dequantized."""
        if self.scale is None or self.zero_point is None:
            check_finite(x)
            self.scale, self.zero_point = self.search(x, self.bits, self.axis)
        return fake_quantize(
            x, _along(self.scale, x, self.axis), _along(self.zero_point, x, self.axis), self.bits
        )


class LogSqrt2(nn.Module):
    """Quantize softmax outputs: x^ = scale 2^(-q / 2), q = clamp(round(-2 log2(x / scale))).

    RepQ-ViT (Li et al., ICCV 2023, section 3.4) as its official code does it: values whose code would
    not fit are exactly 0, and the scale is the best of three upper percentiles by squared error.
    """

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.scale: Tensor | None
        self.register_buffer("scale", None)

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` quantized and dequantized."""
        if self.scale is None:
            check_finite(x)
            self.scale = self._search(x)
        return self._quantize(x, self.scale)

    def _search(self, x: Tensor) -> Tensor:
        candidates = quantiles(x.reshape(1, -1), PERCENTILES)[:, 0]
        errors = torch.stack([(self._quantize(x, c) - x).square().mean() for c in candidates])
        return candidates[int(errors.argmin())].reshape(1)

    def _quantize(self, x: Tensor, scale: Tensor) -> Tensor:
        code = x.div(scale).log2_().mul_(-2).round_().clamp_(0, 2**self.bits)
        levels = torch.arange(2**self.bits + 1, device=x.device, dtype=x.dtype)
        table = 2 ** (-(levels / 2).ceil()) * (1 + (levels % 2) * (2**0.5 - 1)) * scale
        table[-1] = 0
        return table[code.long()]


def fake_quantize(x: Tensor, scale: Tensor, zero_point: Tensor, bits: int) -> Tensor:
    """Quantize and dequantize; the zero point is added after rounding (ties to even)."""
    code = x.div(scale).round_().add_(zero_point).clamp_(0, 2**bits - 1)
    return code.sub_(zero_point).mul_(scale)


def search_percentiles(x: Tensor, bits: int, axis: int | None) -> tuple[Tensor, Tensor]:
    """Set range by the best of three percentiles, by mean squared error; the smaller wins a tie.

    RepQ-ViT's search, for all channels at once. Returns scales and zero points, (channels,) or (1,).
    """
    rows = _channels_first(x, axis)
    at = [*PERCENTILES, *(1 - p for p in PERCENTILES)]
    found = quantiles(rows, at)
    best_error = torch.full((len(rows),), torch.inf, device=x.device)
    best = torch.zeros(2, len(rows), device=x.device)
    for high, low in zip(found[:3], found[3:], strict=True):
        scale, zero_point = _affine(low, high, bits)
        error = (fake_quantize(rows, scale[:, None], zero_point[:, None], bits) - rows).square().mean(1)
        better = error < best_error
        best_error = torch.where(better, error, best_error)
        best = torch.where(better, torch.stack([scale, zero_point]), best)
    return best[0], best[1]


def search_min_max(x: Tensor, bits: int, axis: int | None) -> tuple[Tensor, Tensor]:
    """Set range from the smallest to the largest value. Returns scales and zero points."""
    rows = _channels_first(x, axis)
    return _affine(rows.amin(1), rows.amax(1), bits)


def quantiles(rows: Tensor, at: list[float] | tuple[float, ...]) -> Tensor:
    """Return linearly interpolated quantiles of every row: (len(at), rows)."""
    return torch.quantile(rows, torch.tensor(at, device=rows.device), dim=1)


def check_finite(x: Tensor) -> None:
    """Raise QuantizeError if a tensor that sets a scale holds NaN or infinity."""
    if not torch.isfinite(x).all():
        raise QuantizeError("a tensor holds NaN or infinite values, so no scale can be set from it")


def _affine(low: Tensor, high: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    scale = (high - low) / (2**bits - 1)
    # A constant channel has no range; a scale of its own magnitude represents it exactly.
    scale = torch.where(scale > 0, scale, torch.where(low != 0, low.abs(), torch.ones_like(low)))
    constant = high == low
    zero_point = torch.where(constant, (low < 0).to(low.dtype), torch.round(-low / scale))
    return scale, zero_point


def _channels_first(x: Tensor, axis: int | None) -> Tensor:
    if axis is None:
        return x.reshape(1, -1)
    return x.movedim(axis, 0).reshape(x.shape[axis], -1)


def _along(value: Tensor, x: Tensor, axis: int | None) -> Tensor:
    if axis is None:
        return value
    shape = [1] * x.dim()
    shape[axis] = -1
    return value.view(shape)
