"""Hypothesis strategies that several tests share."""

from __future__ import annotations

from hypothesis import strategies as st

widths = st.integers(2, 8)  # bits of a quantized tensor
widths_or_float = st.sampled_from([*range(2, 9), 32])  # 32 leaves a tensor in floating point


def tensors(low: float, high: float, *, allow_subnormal: bool = True) -> st.SearchStrategy[list[float]]:
    """Return lists of 2 to 80 float32 values in a range, for a tensor to be quantized."""
    values = st.floats(low, high, width=32, allow_subnormal=allow_subnormal)
    return st.lists(values, min_size=2, max_size=80)
