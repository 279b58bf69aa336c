"""Numbers and names as the screen shows them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.text import Text

from engine.protocol.events import Delta
from engine.text import clean

LONGEST = 1e9  # seconds; longer times are shown as this
_ASCII = {
    ord(fancy): plain
    for fancy, plain in zip("▼▲━╌…·×▬╍╺┅┉✗●★░▒▓█↑↓←→±°┃•", "v^=-~.x==-==x**.:%#^v<>~o|+", strict=True)
}
_ASCII |= {ord(block): " .:-=+*"[level] for level, block in enumerate("▁▂▃▄▅▆▇")}


def to_ascii(text: str) -> str:
    """Return `text` for ASCII-only terminals."""
    return text.translate(_ASCII).encode("ascii", "replace").decode()


__all__ = [
    "bar",
    "clean",
    "clip",
    "duration",
    "falling",
    "fitted",
    "roughly",
    "sparkline",
    "squeeze",
    "to_ascii",
    "verdict",
    "wrapped",
]


def clip(text: str, width: int) -> str:
    """Cut `text` to `width` cells with an ellipsis."""
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"


def squeeze(text: str, width: int) -> str:
    """Cut `text` to `width` cells in the middle, so that different endings stay visible."""
    if len(text) <= width:
        return text
    end = (width - 1) // 2
    return text[: max(width - 1 - end, 0)] + "…" + text[len(text) - end :]


def duration(seconds: float | None) -> str:
    """Return minutes and seconds, or hours and minutes."""
    if seconds is None:
        return "-:--"
    whole = max(int(min(seconds, LONGEST) + 0.5), 0)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d}"
    return f"{whole // 60}:{whole % 60:02d}"


def roughly(seconds: float) -> str:
    """Return an estimate without false precision."""
    if seconds < 90:
        return f"{max(round(seconds / 10), 1) * 10} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def verdict(delta: Delta, *, larger_is_better: bool = True) -> str:
    """Return the mark of a delta: a significant loss or gain, or none."""
    if not delta.is_change:
        return " "
    return "▼" if (delta.value > 0) == larger_is_better else "▲"


def bar(share: float, width: int) -> str:
    """Return a progress bar."""
    full = round(min(max(share, 0.0), 1.0) * width)
    return "━" * full + "╌" * (width - full)


def sparkline(values: Sequence[float], width: int) -> str:
    """Return the last `width` values from 0 to 100 as a line of blocks."""
    finite = [min(max(value, 0.0), 100.0) if math.isfinite(value) else 0.0 for value in values[-width:]]
    return "".join("▁▂▃▄▅▆▇█"[min(int(value / 100 * 8), 7)] for value in finite)


def falling(values: Sequence[float], width: int) -> str:
    """Return the last `width` values relative to the largest, as a line of blocks."""
    finite = [value for value in values if math.isfinite(value)]
    top = max(finite, default=0.0)
    return sparkline([100 * (value / top) for value in finite], width) if top > 0 else ""


def fitted(line: Text, width: int) -> Text:
    """Cut a sentence to `width` cells with an ellipsis."""
    if line.cell_len <= width:
        return line
    short = line.copy()
    short.truncate(max(width - 1, 0))
    return short.append("…")


def wrapped(text: Text, width: int) -> list[Text]:
    """Wrap a sentence to lines of at most `width` cells, cutting longer words."""
    lines: list[str] = [""]
    for word in clean(text.plain).split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] = clip(f"{lines[-1]} {word}".strip(), width)
    return [Text(line, style=text.style) for line in lines]
