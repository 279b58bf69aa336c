"""Grids of values that a tensor is quantized to; importing this package registers all of them by label."""

from engine.quantize.grids import logarithmic, twin, uniform

__all__ = ["logarithmic", "twin", "uniform"]
