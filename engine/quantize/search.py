"""Searches for scale and zero point, for all channels of a tensor at once.

Each takes a tensor, a width in bits and a channel axis (None for one scale per tensor) and returns
scales and whole zero points, (channels,) or (1,).
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.quantize.uniform import Search, affine, channels_first, fake_quantize, quantiles

PERCENTILES = (0.999, 0.9999, 0.99999)
CLIP_RATIOS = tuple(round(1.0 - 0.01 * i, 2) for i in range(80))


def min_max(x: Tensor, bits: int, axis: int | None) -> tuple[Tensor, Tensor]:
    """Set the range from the smallest to the largest value."""
    rows = channels_first(x, axis)
    return affine(rows.amin(1), rows.amax(1), bits)


def percentile(share: float) -> Search:
    """Return the search that clips both ends at a percentile, such as 0.9999."""

    def search(x: Tensor, bits: int, axis: int | None) -> tuple[Tensor, Tensor]:
        high, low = quantiles(channels_first(x, axis), (share, 1 - share))
        return affine(low, high, bits)

    return search


def best_percentile(x: Tensor, bits: int, axis: int | None) -> tuple[Tensor, Tensor]:
    """Set the range by the best of three percentiles, by squared error; the smaller wins a tie.

    This is RepQ-ViT's search; the smallest and largest value themselves are never tried.
    """
    rows = channels_first(x, axis)
    found = quantiles(rows, [*PERCENTILES, *(1 - p for p in PERCENTILES)])
    return _best(rows, list(zip(found[3:], found[:3], strict=True)), bits)


def least_error(x: Tensor, bits: int, axis: int | None) -> tuple[Tensor, Tensor]:
    """Shrink the range from minimum and maximum by the ratio with the least squared error (OMSE).

    Choukroun et al., "Low-bit Quantization of Neural Networks for Efficient Inference", ICCVW 2019.
    """
    rows = channels_first(x, axis)
    low, high = rows.amin(1), rows.amax(1)
    return _best(rows, [(low * ratio, high * ratio) for ratio in CLIP_RATIOS], bits)


def _best(rows: Tensor, ranges: list[tuple[Tensor, Tensor]], bits: int) -> tuple[Tensor, Tensor]:
    """Return scale and zero point of the range with the least squared error, row by row; first wins ties."""
    least = torch.full((len(rows),), torch.inf, device=rows.device)
    best = torch.zeros(2, len(rows), device=rows.device)
    for low, high in ranges:
        scale, zero_point = affine(low, high, bits)
        error = (fake_quantize(rows, scale[:, None], zero_point[:, None], bits) - rows).square().mean(1)
        better = error < least
        least = torch.where(better, error, least)
        best = torch.where(better, torch.stack([scale, zero_point]), best)
    return best[0], best[1]
