"""Variants: one model at one bit setting and calibration draw, and the keys that name them."""

from __future__ import annotations

import re
from functools import cache
from typing import Annotated, TypeAlias

import msgspec

from engine.errors import InputError
from engine.plan.bits import Bits

_KEY = re.compile(
    r"([A-Za-z0-9][A-Za-z0-9._+-]{0,99}) (FP32|W(?:[2-8]|32)A(?:[2-8]|32))(?: #([1-9][0-9]{0,2}))?"
)

# The name of a variant in journals and tables: `vit-wide W4A4`, `vit-wide W4A4 #2`.
VariantKey: TypeAlias = Annotated[str, msgspec.Meta(pattern=rf"\A(?:{_KEY.pattern})\Z")]
# The place of a variant among the columns of every array: its index in `Plan.variants()`.
Column: TypeAlias = int


class VariantId(msgspec.Struct, frozen=True, order=True):
    """What distinguishes the variants of a plan; `draw` counts draws of calibration images from 0."""

    model: str
    bits: Bits
    draw: int = 0

    @classmethod
    def parse(cls, key: str) -> VariantId:
        """Parse the key of a variant; nothing else takes one apart.

        Raises InputError if `key` is not the key of a variant.
        """
        return _parsed(key)

    @property
    def key(self) -> VariantKey:
        """Return the name of the variant: `vit-wide W4A4`, and `vit-wide W4A4 #2` for a second draw."""
        return f"{self.model} {self.setting}"

    @property
    def setting(self) -> str:
        """Return the key without the model: `W4A4`, and `W4A4 #2` for a second draw."""
        return f"{self.bits} #{self.draw + 1}" if self.draw else str(self.bits)

    @property
    def baseline(self) -> VariantKey:
        """Return the key of the FP32 variant of the same model."""
        return VariantId(self.model, Bits()).key


class Variant(msgspec.Struct, frozen=True):
    """One model at one bit setting, quantized by one method: a column of every score array."""

    model: str
    bits: Bits
    method: str  # of quantization; "none" in floating point
    draw: int = 0  # which draw of calibration images, from 0

    @property
    def identity(self) -> VariantId:
        """Return what distinguishes this variant from the others of its plan."""
        return VariantId(self.model, self.bits, self.draw)

    @property
    def key(self) -> VariantKey:
        """Return the name of the variant."""
        return self.identity.key

    @property
    def stem(self) -> str:
        """Return the key for use in file names: `vit-wide_W4A4`, and `vit-wide_W4A4_2`."""
        return self.key.replace(" ", "_").replace("#", "")

    @property
    def baseline(self) -> VariantKey:
        """Return the key of the FP32 variant of the same model."""
        return self.identity.baseline


@cache
def _parsed(key: str) -> VariantId:
    match = _KEY.fullmatch(key)
    if match is None:
        raise InputError("variant", key[:120], "give a model and a bit setting, such as 'vit-wide W4A4'")
    model, bits, number = match.groups()
    return VariantId(model, Bits.parse(bits), int(number) - 1 if number else 0)
