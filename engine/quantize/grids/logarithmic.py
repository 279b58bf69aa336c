"""Logarithmic quantizers: log-sqrt2 for softmax outputs, and the adaptive base for softmax and GELU."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.quantize.grids.base import Quantizer
from engine.quantize.grids.search import PERCENTILES
from engine.quantize.grids.twin import LEAST_GELU
from engine.quantize.grids.uniform import check_finite, quantiles

FRACTIONS = 37  # steps per octave that the adaptive base is a multiple of


class LogSqrt2(Quantizer):
    """Quantize softmax outputs: x^ = scale 2^(-q / 2), q = clamp(round(-2 log2(x / scale))).

    RepQ-ViT (Li et al., ICCV 2023, section 3.4) as in its official code: values whose code would
    not fit are exactly 0, and the scale is the best of three upper percentiles by squared error. The
    relative step is the same at every width; more bits only reach smaller values. With the exact 0 there
    are 2^b + 1 values, one more than b bits tell apart.
    """

    label = "log-sqrt2"

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` quantized and dequantized."""
        return self._quantize(x, self._scale_for(x))

    @property
    def code_bits(self) -> int:
        """Return how many bits a code takes: one more, for the exact 0."""
        return self.bits + 1

    def codes(self, x: Tensor) -> Tensor:
        """Return the codes of `x`, from 0 for the scale itself to 2^b for the exact 0."""
        return power_codes(x.div(self._scale_for(x)), 2, 2**self.bits).int()

    def dequantize(self, codes: Tensor) -> Tensor:
        """Return the values of codes."""
        assert self.scale is not None
        return with_zero(self._powers(self.scale)).index_select(0, codes.flatten()).view(codes.shape)

    def clipped(self, x: Tensor) -> Tensor:
        """Return for every element whether it is above the scale or becomes exactly 0."""
        assert self.scale is not None
        code = torch.round(-2 * torch.log2(x / self.scale))
        vanishes = torch.logical_and(code >= 2**self.bits, x > 0)
        return torch.logical_or(code < 0, vanishes)

    def range(self) -> tuple[float, float]:
        """Return the smallest positive and the largest value that can be represented."""
        assert self.scale is not None
        largest = float(self.scale)
        return largest * 2.0 ** (-(2**self.bits - 1) / 2), largest

    def _scale_for(self, x: Tensor) -> Tensor:
        if self.scale is None:
            check_finite(x)
            self.scale = self._search(x)
        return self.scale

    def _search(self, x: Tensor) -> Tensor:
        candidates = quantiles(x.reshape(1, -1), PERCENTILES)[:, 0]
        # An all-zero tensor has no largest value; any scale represents it exactly.
        candidates = torch.where(candidates > 0, candidates, torch.ones_like(candidates))
        errors = torch.stack([(self._quantize(x, c) - x).square().mean() for c in candidates])
        return candidates[int(errors.argmin())].reshape(1)

    def _quantize(self, x: Tensor, scale: Tensor) -> Tensor:
        return nearest_power(x.div(scale), 2, self._powers(scale))

    def _powers(self, scale: Tensor) -> Tensor:
        levels = torch.arange(2**self.bits, device=scale.device, dtype=scale.dtype)
        return 2 ** (-(levels / 2).ceil()) * (1 + (levels % 2) * (2**0.5 - 1)) * scale


class AdaptiveLog(Quantizer):
    """Quantize softmax outputs on a logarithmic grid whose base is searched: x^ = scale 2^(-q base / 37).

    AdaLog (Wu et al., "AdaLog: Post-Training Quantization for Vision Transformers with Adaptive
    Logarithm Quantizer", ECCV 2024): the fractional powers of two come from a table of multiples of
    1 / (2^(b+1) - 2), so that integers can compute them. Values whose code would not fit are exactly 0.
    """

    label = "adaptive log"
    parts = ("scale", "base")
    shift = 0.0
    base: Tensor | None

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` quantized and dequantized."""
        assert self.scale is not None and self.base is not None
        shifted = (x + self.shift).clamp_(min=0).div_(self.scale)
        return nearest_power(shifted, FRACTIONS / float(self.base), self._powers()).sub_(self.shift)

    @property
    def code_bits(self) -> int:
        """Return how many bits a code takes: one more, for the exact 0."""
        return self.bits + 1

    def codes(self, x: Tensor) -> Tensor:
        """Return the codes of `x`, from 0 for the scale itself to 2^b for the exact 0."""
        assert self.scale is not None and self.base is not None
        shifted = (x + self.shift).clamp_(min=0).div_(self.scale)
        return power_codes(shifted, FRACTIONS / float(self.base), 2**self.bits).int()

    def dequantize(self, codes: Tensor) -> Tensor:
        """Return the values of codes."""
        values = with_zero(self._powers()).index_select(0, codes.flatten()).view(codes.shape)
        return values.sub_(self.shift)

    def _powers(self) -> Tensor:
        assert self.scale is not None and self.base is not None
        levels = torch.arange(2**self.bits, device=self.scale.device, dtype=self.scale.dtype)
        power = levels * self.base / FRACTIONS
        finest = 2 ** (self.bits + 1) - 2
        fraction = torch.round(2 ** -(power % 1) * finest) / finest
        powers: Tensor = 2 ** -power.floor() * fraction * self.scale
        return powers

    def clipped(self, x: Tensor) -> Tensor:
        """Return for every element whether it is above the scale or becomes the smallest value."""
        assert self.scale is not None and self.base is not None
        shifted = (x + self.shift) / self.scale
        code = torch.round(-FRACTIONS / self.base * torch.log2(shifted))
        vanishes = torch.logical_and(code >= 2**self.bits, shifted > 0)
        return torch.logical_or(code < 0, vanishes)

    def range(self) -> tuple[float, float]:
        """Return the smallest and the largest value that can be represented."""
        assert self.scale is not None
        return -self.shift, float(self.scale) - self.shift


class ShiftedAdaptiveLog(AdaptiveLog):
    """Quantize GELU outputs, which are never below -0.16997, as an AdaptiveLog of x + 0.16997."""

    label = "adaptive log, shifted"
    shift = LEAST_GELU


def nearest_power(x: Tensor, steps_per_octave: float, values: Tensor) -> Tensor:
    """Map x (in place) to values[q], q = round(-log2(x) steps_per_octave); larger codes are 0, NaN is NaN."""
    code = power_codes(x, steps_per_octave, len(values)).nan_to_num_(nan=len(values) + 1)
    table = torch.cat([with_zero(values), values.new_tensor([torch.nan])])
    return table.index_select(0, code.int().flatten()).view_as(code)


def power_codes(x: Tensor, steps_per_octave: float, vanished: int) -> Tensor:
    """Return round(-log2(x) steps_per_octave), in place of x and from 0 to `vanished`; NaN is NaN."""
    return x.log2_().mul_(-steps_per_octave).round_().clamp_(0, vanished)


def with_zero(values: Tensor) -> Tensor:
    """Return a table of values followed by the 0 of what vanished."""
    return torch.cat([values, values.new_zeros(1)])
