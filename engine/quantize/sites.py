"""The tensors of a vision transformer that are quantized, and the width of each."""

from __future__ import annotations

from enum import Enum
from fnmatch import fnmatchcase
from typing import NamedTuple

from engine.errors import InputError
from engine.plan.bits import FLOAT, Bits

PATCH_INPUT_BITS = 8  # the image itself is not cut to fewer bits, unless an override says so
FIRST_AND_LAST = ("patch_embed.proj", "head", "head_dist")


class Role(Enum):
    """What a tensor is in the network; methods treat roles differently."""

    WEIGHT = "weight"
    PATCH_INPUT = "image"
    LAYER_NORM = "LayerNorm output"
    INPUT = "layer input"
    GELU = "GELU output"
    QUERY = "queries"
    KEY = "keys"
    VALUE = "values"
    SOFTMAX = "softmax output"


class Site(NamedTuple):
    """One tensor: its name (`blocks.0.attn.qkv.weight`), role and width in bits; 32 is floating point."""

    name: str
    role: Role
    bits: int


class Widths:
    """The width of every tensor: a bit setting with overrides by name.

    A pattern names a tensor, a layer (`head` stands for its input and weight) or several (`blocks.*.mlp`).
    `first_and_last` is the width of the patch embedding and the heads, input and weight, where the setting
    quantizes these at all; without it they have the setting's widths, and the image has `patch_input`.
    """

    def __init__(
        self,
        bits: Bits,
        overrides: dict[str, int] | None = None,
        patch_input: int = PATCH_INPUT_BITS,
        first_and_last: int | None = None,
    ) -> None:
        self.bits, self.patch_input, self.first_and_last = bits, patch_input, first_and_last
        self.overrides = dict(sorted((overrides or {}).items(), key=lambda item: (len(item[0]), item[0])))
        self._unused = set(self.overrides)

    def site(self, name: str, role: Role) -> Site:
        """Return the tensor `name` with its width; of several matching patterns, the longest wins."""
        bits = self.bits.weight if role is Role.WEIGHT else self.bits.activation
        if bits != FLOAT and self.first_and_last is not None and name.rpartition(".")[0] in FIRST_AND_LAST:
            bits = self.first_and_last
        elif bits != FLOAT and role is Role.PATCH_INPUT:
            bits = self.patch_input
        for pattern, width in self.overrides.items():
            if fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*"):
                bits = width
                self._unused.discard(pattern)
        return Site(name, role, bits)

    def check_used(self, names: list[str]) -> None:
        """Raise InputError for a pattern that matches no tensor."""
        for pattern in sorted(self._unused):
            examples = ", ".join(names[:3])
            raise InputError(
                "overrides", pattern, f"it matches no tensor; tensors have names such as {examples}"
            )
