"""The log-sqrt2 quantizer of softmax outputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engine.quantize.search import PERCENTILES
from engine.quantize.uniform import check_finite, quantiles


class LogSqrt2(nn.Module):
    """Quantize softmax outputs: x^ = scale 2^(-q / 2), q = clamp(round(-2 log2(x / scale))).

    RepQ-ViT (Li et al., ICCV 2023, section 3.4) as its official code does it: values whose code would
    not fit are exactly 0, and the scale is the best of three upper percentiles by squared error. The
    relative step is the same at every width; more bits only reach smaller values.
    """

    label = "log-sqrt2"

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

    def clipped(self, x: Tensor) -> Tensor:
        """Tell for every element whether it is above the scale or becomes exactly 0."""
        assert self.scale is not None
        code = torch.round(-2 * torch.log2(x / self.scale))
        vanishes = torch.logical_and(code >= 2**self.bits, x > 0)
        return torch.logical_or(code < 0, vanishes)

    def range(self) -> tuple[float, float]:
        """Return the smallest positive and the largest value that can be represented."""
        assert self.scale is not None
        largest = float(self.scale)
        return largest * 2.0 ** (-(2**self.bits - 1) / 2), largest

    def _search(self, x: Tensor) -> Tensor:
        candidates = quantiles(x.reshape(1, -1), PERCENTILES)[:, 0]
        # An all-zero tensor has no largest value; any scale represents it exactly.
        candidates = torch.where(candidates > 0, candidates, torch.ones_like(candidates))
        errors = torch.stack([(self._quantize(x, c) - x).square().mean() for c in candidates])
        return candidates[int(errors.argmin())].reshape(1)

    def _quantize(self, x: Tensor, scale: Tensor) -> Tensor:
        vanished, diverged = 2**self.bits, 2**self.bits + 1
        code = x.div(scale).log2_().mul_(-2).round_().clamp_(0, vanished).nan_to_num_(nan=diverged)
        levels = torch.arange(diverged + 1, device=x.device, dtype=x.dtype)
        table = 2 ** (-(levels / 2).ceil()) * (1 + (levels % 2) * (2**0.5 - 1)) * scale
        table[vanished], table[diverged] = 0, torch.nan
        return table[code.long()]
