"""The twin uniform quantizers of PTQ4ViT: two ranges, each with its own step; one bit of a code says which.

Yuan et al., "PTQ4ViT: Post-training Quantization for Vision Transformers with Twin Uniform
Quantization", ECCV 2022, section 3.2; the steps are those of the official code.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.quantize.grids.base import Quantizer

LEAST_GELU = 0.16997  # minus the minimum of x Phi(x)


class TwinSoftmax(Quantizer):
    """Quantize softmax outputs with step s / (2^(b-1) - 1) up to the split s, with 1 / (2^(b-1) - 1) above.

    `scale` is s, a power of 1/2. Quantizing twice is quantizing once: a value that the coarse step takes
    below s is a multiple of the fine one. Not monotone: where s is no multiple of the coarse step, values
    just above s may be rounded below it, down to 0 for s < step / 2.

    This is the paper's quantizer (equation 8), not that of the official code: see SummedTwinSoftmax.
    """

    label = "twin uniform softmax"

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` quantized and dequantized."""
        assert self.scale is not None
        top = 2 ** (self.bits - 1) - 1
        fine = x.mul(top).div_(self.scale).round_().clamp_(0, top).mul_(self.scale).div_(top)
        coarse = x.mul(top).round_().clamp_(0, top).div_(top)
        return torch.where(x > self.scale, coarse, fine)

    def codes(self, x: Tensor) -> Tensor:
        """Return the codes of `x`: the upper half of them is the coarse range, above the split."""
        assert self.scale is not None
        half, top = 2 ** (self.bits - 1), 2 ** (self.bits - 1) - 1
        fine = x.mul(top).div_(self.scale).round_().clamp_(0, top)
        coarse = x.mul(top).round_().clamp_(0, top)
        return torch.where(x > self.scale, coarse + half, fine).int()

    def dequantize(self, codes: Tensor) -> Tensor:
        """Return the values of codes."""
        assert self.scale is not None
        half, top = 2 ** (self.bits - 1), 2 ** (self.bits - 1) - 1
        fine, coarse = codes.to(self.scale.dtype), (codes - half).to(self.scale.dtype)
        return torch.where(codes >= half, coarse.div_(top), fine.mul_(self.scale).div_(top))

    def clipped(self, x: Tensor) -> Tensor:
        """Return for every element whether it lies outside [0, 1]; no softmax output does."""
        return torch.logical_or(x < 0, x > 1)

    def range(self) -> tuple[float, float]:
        """Return 0 and 1."""
        return 0.0, 1.0


class SummedTwinSoftmax(TwinSoftmax):
    """Quantize softmax outputs as the official code of PTQ4ViT does: to the sum of both ranges.

    Each range sees the value clamped to it: above the split s the fine one adds s, and up to s the coarse one
    adds what s itself is rounded to, which is 0 only for s below half a coarse step.
    """

    label = "twin uniform softmax, summed"

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` quantized and dequantized."""
        assert self.scale is not None
        top = 2 ** (self.bits - 1) - 1
        fine = x.clamp(min=0).minimum(self.scale).div_(self.scale).mul_(top).round_().div_(top)
        coarse = x.clamp(max=1).maximum(self.scale).mul_(top).round_().div_(top)
        return fine.mul_(self.scale).add_(coarse)

    def dequantize(self, codes: Tensor) -> Tensor:
        """Return the values of codes: above the split the fine range adds all of it."""
        assert self.scale is not None
        half, top = 2 ** (self.bits - 1), 2 ** (self.bits - 1) - 1
        least = self.scale.mul(top).round()  # what the coarse range adds up to the split
        fine = codes.clamp(max=top).to(self.scale.dtype).div_(top)
        coarse = torch.where(codes >= half, (codes - half).to(self.scale.dtype), least).div_(top)
        return fine.mul_(self.scale).add_(coarse)

    def range(self) -> tuple[float, float]:
        """Return the smallest and the largest value that can be represented."""
        assert self.scale is not None
        top, split = 2 ** (self.bits - 1) - 1, float(self.scale)
        return round(split * top) / top, 1.0 + split


class TwinGelu(Quantizer):
    """Quantize GELU outputs: positive values with step `scale`, negative ones with 0.16997 / 2^(b-1).

    Monotone, and quantizing twice is quantizing once, because both ranges meet at 0.
    """

    label = "twin uniform GELU"

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` quantized and dequantized."""
        assert self.scale is not None
        half, step = 2 ** (self.bits - 1), self._negative_step
        positive = x.div(self.scale).round_().clamp_(0, half - 1).mul_(self.scale)
        return positive.add_(x.div(step).round_().clamp_(-half, 0).mul_(step))

    def codes(self, x: Tensor) -> Tensor:
        """Return the codes of `x`: the lower half of them is negative."""
        assert self.scale is not None
        half = 2 ** (self.bits - 1)
        positive = x.div(self.scale).round_().clamp_(0, half - 1)
        return positive.add_(x.div(self._negative_step).round_().clamp_(-half, 0)).add_(half).int()

    def dequantize(self, codes: Tensor) -> Tensor:
        """Return the values of codes."""
        assert self.scale is not None
        steps = (codes - 2 ** (self.bits - 1)).to(self.scale.dtype)
        return torch.where(steps < 0, steps * self._negative_step, steps * self.scale)

    def clipped(self, x: Tensor) -> Tensor:
        """Return for every element whether it lies outside the range."""
        assert self.scale is not None
        half = 2 ** (self.bits - 1)
        above = x.div(self.scale).round_() > half - 1
        return torch.logical_or(above, x.div(self._negative_step).round_() < -half)

    def range(self) -> tuple[float, float]:
        """Return -0.16997 and the largest value that can be represented."""
        assert self.scale is not None
        return -LEAST_GELU, float(self.scale) * (2 ** (self.bits - 1) - 1)

    @property
    def _negative_step(self) -> float:
        return LEAST_GELU / float(2 ** (self.bits - 1))
