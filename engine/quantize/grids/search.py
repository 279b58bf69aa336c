"""Searches for scale and zero point, for all channels of a tensor at once.

Each takes a tensor, a width in bits and a channel axis (None for one scale per tensor) and returns
scales and whole zero points, (channels,) or (1,).
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.quantize.grids.uniform import Search, affine, channels_first, fake_quantize, quantiles

PERCENTILES = (0.999, 0.9999, 0.99999)
AT_ONCE = 100_000  # elements quantized for several candidates in one go
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
    ends = quantiles(rows, [*PERCENTILES, *(1 - p for p in PERCENTILES)])
    return _best(rows, ends[3:], ends[:3], bits)


def least_error(x: Tensor, bits: int, axis: int | None) -> tuple[Tensor, Tensor]:
    """Shrink the range from minimum and maximum by the ratio with the least squared error (OMSE).

    Choukroun et al., "Low-bit Quantization of Neural Networks for Efficient Inference", ICCVW 2019.
    """
    rows = channels_first(x, axis)
    ratios = torch.tensor(CLIP_RATIOS, dtype=rows.dtype, device=rows.device)[:, None]
    return _best(rows, rows.amin(1) * ratios, rows.amax(1) * ratios, bits)


def _best(rows: Tensor, low: Tensor, high: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Return scale and zero point of the candidate with the least squared error, row by row; first wins ties.

    `rows` is (rows, n), `low` and `high` are (candidates, rows).
    """
    scale, zero_point = affine(low, high, bits)
    at_once = max(1, AT_ONCE // max(rows.numel(), 1))
    errors = [
        (fake_quantize(rows, s[..., None], z[..., None], bits) - rows).square().mean(-1)
        for s, z in zip(torch.split(scale, at_once), torch.split(zero_point, at_once), strict=True)
    ]
    chosen = torch.cat(errors).argmin(0, keepdim=True)
    return scale.gather(0, chosen)[0], zero_point.gather(0, chosen)[0]
