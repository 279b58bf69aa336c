"""Colours and line patterns: Okabe-Ito for dark screens, darker relatives of it for light ones.

Nothing relies on colour only: curves have a pattern and a label, losses a sign and an arrow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

Colour = tuple[int, int, int]


class Style(NamedTuple):
    """Colour and dash pattern: lengths of dash and gap in 600ths of a curve, and its sample in the legend."""

    colour: Colour
    pattern: tuple[int, int]
    sample: str


class Ink(NamedTuple):
    """All colours for dark or for light screens."""

    by_bits: Mapping[str, Style]
    others: tuple[Style, ...]
    lost: Colour
    gained: Colour
    done: Colour
    played: Colour
    heat: tuple[Colour, ...]  # backgrounds from no loss to the largest

    def of_bits(self, bits: str) -> Style:
        """Return the style of a bit setting."""
        return self.by_bits.get(bits) or self.others[sum(map(ord, bits)) % len(self.others)]

    def of_place(self, place: int) -> Style:
        """Return the style of one of several curves that share a bit setting."""
        every = (*self.by_bits.values(), *self.others)
        return every[place % len(every)]


PATTERNS = {
    "FP32": ((1, 0), "━━━"),
    "W8A8": ((24, 8), "━ ━"),
    "W6A6": ((12, 12), "╍╍╍"),
    "W4A8": ((4, 8), "···"),
    "W8A4": ((18, 18), "╺ ╺"),
    "W4A4": ((1, 0), "▬▬▬"),
}
OTHER_PATTERNS = (((6, 6), "┅┅┅"), ((10, 4), "┉┉┉"))


def _ink(
    of_bits: tuple[Colour, ...],
    others: tuple[Colour, ...],
    marks: tuple[Colour, Colour, Colour, Colour],
    heat: tuple[Colour, ...],
) -> Ink:
    by_bits = {
        name: Style(colour, *pattern)
        for (name, pattern), colour in zip(PATTERNS.items(), of_bits, strict=True)
    }
    rest = tuple(Style(colour, *p) for colour, p in zip(others, OTHER_PATTERNS, strict=True))
    return Ink(by_bits, rest, *marks, heat)


DARK = _ink(
    ((160, 160, 160), (86, 180, 233), (0, 158, 115), (240, 228, 66), (230, 159, 0), (213, 94, 0)),
    ((204, 121, 167), (0, 114, 178)),
    ((213, 94, 0), (86, 180, 233), (0, 158, 115), (86, 180, 233)),
    ((0, 32, 76), (42, 64, 108), (87, 92, 109), (124, 123, 120), (165, 156, 116), (211, 193, 100)),
)
LIGHT = _ink(
    ((110, 110, 110), (0, 114, 178), (0, 120, 88), (140, 115, 0), (170, 100, 0), (178, 60, 0)),
    ((160, 70, 120), (0, 80, 140)),
    ((178, 60, 0), (0, 100, 160), (0, 120, 88), (0, 100, 160)),
    ((255, 243, 178), (232, 213, 130), (196, 182, 118), (150, 144, 120), (100, 103, 110), (30, 58, 108)),
)


def style(colour: Colour, *words: str) -> str:
    """Return a style in rich's notation."""
    red, green, blue = colour
    return " ".join([*words, f"rgb({red},{green},{blue})"])
