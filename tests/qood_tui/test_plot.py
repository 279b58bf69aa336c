from __future__ import annotations

import numpy as np
import pytest

from qood_tui.plot import curve
from qood_tui.plot.curve import View
from qood_tui.plot.palette import STYLES
from qood_tui.words import bar, clean, clip, duration, roughly, to_ascii


def series(n: int = 50) -> list[curve.Series]:
    x = np.linspace(0, 1, n)
    return [
        curve.Series(f"{bits} 0.9", style, x, x ** (1 / (i + 1)))
        for i, (bits, style) in enumerate(STYLES.items())
    ]


@pytest.mark.parametrize(("width", "height"), [(20, 5), (60, 14), (196, 50)])
@pytest.mark.parametrize("view", View)
def test_a_plot_has_the_size_asked_for_and_a_legend(width: int, height: int, view: View) -> None:
    lines = curve.draw(series(), width, height, view=view, ascii_only=False)
    assert len(lines) == height and all(line.cell_len <= width for line in lines)
    text = "\n".join(line.plain for line in lines)
    if height > 10:
        assert all(bits in text for bits in STYLES)


def test_ascii_means_ascii() -> None:
    lines = curve.draw(series(), 60, 15, view=View.ROC, ascii_only=True)
    assert all(line.plain.isascii() for line in lines)


def test_dash_patterns_tell_the_settings_apart() -> None:
    x = np.linspace(0, 1, 20)
    drawn = {bits: curve.dashed(x, x, style.pattern)[0].tobytes() for bits, style in STYLES.items()}
    assert len(set(drawn.values())) >= len(STYLES) - 1


def test_drawing_again_draws_the_same_and_keeps_nothing() -> None:
    first = curve.draw(series(), 60, 15, view=View.ROC, ascii_only=False)
    for _ in range(5):
        curve.draw(series()[:1], 60, 15, view=View.LOG_ROC, ascii_only=False)
    assert [line.plain for line in curve.draw(series(), 60, 15, view=View.ROC, ascii_only=False)] == [
        line.plain for line in first
    ]


def test_words() -> None:
    assert clip("photo-patches", 6) == "photo…" and clip("noise", 6) == "noise"
    assert clean("a\x1b[31mb\nc") == "a�[31mb�c"
    assert duration(None) == "-:--" and duration(61.2) == "1:01" and duration(7260) == "2 h 01"
    assert to_ascii(f"{bar(0.5, 4)} +1.0▼ photo…") == "==-- +1.0v photo~"
    assert roughly(74) == "70 s" and roughly(200) == "3 min" and roughly(9000) == "2.5 h"
