"""Variants: one model at one bit setting, as a value."""

from __future__ import annotations

import msgspec

from engine.plan.bits import Bits


class Variant(msgspec.Struct, frozen=True):
    """One model at one bit setting: a column of every score array."""

    model: str
    bits: Bits
    quantizer: str
    draw: int = 0  # which draw of calibration images, from 0

    @property
    def key(self) -> str:
        """Return the name of the variant: `vit-wide W4A4`, and `vit-wide W4A4 #2` for a second draw."""
        name = f"{self.model} {self.bits}"
        return f"{name} #{self.draw + 1}" if self.draw else name

    @property
    def stem(self) -> str:
        """Return the key as part of a file's name: `vit-wide_W4A4`, and `vit-wide_W4A4_2`."""
        return self.key.replace(" ", "_").replace("#", "")

    @property
    def baseline(self) -> str:
        """Return the key of the FP32 variant of the same model."""
        return f"{self.model} FP32"
