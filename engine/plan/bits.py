"""Bit settings: the widths of weights and activations."""

from __future__ import annotations

import re

import msgspec

from engine import catalog
from engine.errors import InputError, unknown_name

FLOAT = 32
_BITS = re.compile(r"W(\d{1,2})A(\d{1,2})", re.IGNORECASE)


class Bits(msgspec.Struct, frozen=True):
    """Weight and activation width in bits; 32 stands for floating point."""

    weight: int = FLOAT
    activation: int = FLOAT

    def __str__(self) -> str:
        return "FP32" if self.is_float else f"W{self.weight}A{self.activation}"

    @property
    def is_float(self) -> bool:
        """Return whether nothing is quantized."""
        return self.weight == FLOAT and self.activation == FLOAT

    @classmethod
    def parse(cls, text: str) -> Bits:
        """Parse `FP32`, `W4A8` and the like; raise InputError naming the field `bits`."""
        if text.upper() == "FP32":
            return cls()
        match = _BITS.fullmatch(text)
        widths = [int(width) for width in match.groups()] if match else []
        if not widths or any(not 2 <= width <= 8 and width != FLOAT for width in widths):
            near = unknown_name("bits", text, catalog.BITS).right
            right = f"{near} (any WxAy from 2 to 8 bits, or 32 for floating point)"
            raise InputError("bits", text, right, wrong="is not a bit setting")
        return cls(*widths)


def check_width(field: str, width: int, given: object) -> None:
    """Raise InputError naming the field if a tensor cannot have `width` bits."""
    if not 2 <= width <= 8 and width != FLOAT:
        raise InputError(field, given, "give 2 to 8 bits, or 32 for floating point")
