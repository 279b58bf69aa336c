"""How bit settings are told apart: Okabe-Ito colours, and a line pattern each for those who see none."""

from __future__ import annotations

from typing import NamedTuple


class Style(NamedTuple):
    """Colour as red, green, blue; pattern as lengths of dash and gap in 600ths of a curve."""

    colour: tuple[int, int, int]
    pattern: tuple[int, int]
    sample: str


STYLES = {
    "FP32": Style((160, 160, 160), (1, 0), "━━━"),
    "W8A8": Style((86, 180, 233), (24, 8), "━ ━"),
    "W6A6": Style((0, 158, 115), (12, 12), "╍╍╍"),
    "W4A8": Style((240, 228, 66), (4, 8), "···"),
    "W8A4": Style((230, 159, 0), (18, 18), "╺ ╺"),
    "W4A4": Style((213, 94, 0), (1, 0), "▬▬▬"),
}
OTHERS = (
    Style((204, 121, 167), (6, 6), "┅┅┅"),
    Style((0, 114, 178), (10, 4), "┉┉┉"),
)


def style_of(bits: str) -> Style:
    """Return the style of a bit setting."""
    return STYLES.get(bits) or OTHERS[sum(map(ord, bits)) % len(OTHERS)]
