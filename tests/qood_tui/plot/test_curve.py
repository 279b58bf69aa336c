from __future__ import annotations

import numpy as np
import plotext
import pytest
from rich.text import Text

from qood_tui.plot import curve
from qood_tui.plot.kinds import KINDS, ROC, SHARES, CurveKind
from qood_tui.plot.palette import DARK, LIGHT, PATTERNS, Style

SOLID = Style((0, 0, 0), (1, 0), "")


def series(n: int = 50) -> list[curve.Series]:
    x = np.linspace(0, 1, n)
    return [
        curve.Series(f"{bits} 0.9", style, x, x ** (1 / (i + 1)))
        for i, (bits, style) in enumerate(DARK.by_bits.items())
    ]


@pytest.mark.parametrize(("width", "height"), [(20, 5), (60, 14), (196, 50)])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.title)
def test_a_plot_has_the_size_asked_for_and_a_legend(width: int, height: int, kind: CurveKind) -> None:
    lines = curve.draw(series(), width, height, axes=kind.axes, ascii_only=False)
    assert len(lines) == height and all(line.cell_len == width for line in lines)
    text = "\n".join(line.plain for line in lines)
    if height > 10:
        assert all(bits in text for bits in PATTERNS)


@pytest.mark.parametrize(("width", "height"), [(30, 8), (61, 17), (118, 12)])
def test_dots_lie_where_plotext_sets_them(width: int, height: int) -> None:
    x = np.linspace(0, 1, 400)
    y = np.sqrt(1 - (1 - x) ** 2)
    points = curve.dashed(x, y, SOLID.pattern, (2 * (width - 3), 4 * (height - 1)))
    ours = curve.draw([curve.Series("", SOLID, x, y)], width, height, axes=ROC.axes, ascii_only=False)
    plotext.clear_figure()
    plotext.limit_size(False, False)
    plotext.plotsize(width, height)
    plotext.theme("clear")
    plotext.frame(False)
    plotext.xlim(0, 1)
    plotext.ylim(0, 1)
    for ticks in (plotext.xticks, plotext.yticks):
        ticks([at for at, _ in SHARES], [words for _, words in SHARES])
    plotext.scatter(points[0].tolist(), points[1].tolist(), marker="braille")
    theirs = [Text.from_ansi(line).plain for line in plotext.build().split("\n")]
    dots = [[c if 0x2800 < ord(c) < 0x2900 else " " for c in line] for line in theirs[:height]]
    found = [[c if 0x2800 < ord(c) < 0x2900 else " " for c in line.plain] for line in ours]
    legend = height - 3  # its row has two blanks at the right
    for row in range(height):
        width_shown = width - 6 if row == legend else width
        assert found[row][:width_shown] == dots[row][:width_shown]


def test_a_later_curve_is_on_top_and_keeps_its_colour() -> None:
    x = np.linspace(0, 1, 50)
    one, other = Style((1, 2, 3), (1, 0), "-"), Style((4, 5, 6), (1, 0), "-")
    lines = curve.draw(
        [curve.Series("a", one, x, x), curve.Series("b", other, x, x)],
        40,
        12,
        axes=ROC.axes,
        ascii_only=False,
    )
    styles = {str(span.style) for span in lines[5].spans}
    assert styles == {"rgb(4,5,6)"}


def test_ascii_means_ascii() -> None:
    lines = curve.draw(series(), 60, 15, axes=ROC.axes, ascii_only=True)
    assert all(line.plain.isascii() for line in lines)


def test_dash_patterns_tell_the_settings_apart() -> None:
    x = np.linspace(0, 1, 20)
    drawn = {
        bits: curve.dashed(x, x, style.pattern, (200, 100))[0].tobytes()
        for bits, style in DARK.by_bits.items()
    }
    assert len(set(drawn.values())) >= len(PATTERNS) - 1


def test_values_outside_the_axes_and_none_at_all_are_drawn_as_nothing() -> None:
    x = np.array([-1.0, 0.5, 3.0])
    lines = curve.draw(
        [curve.Series("", SOLID, x, np.array([0.5, np.nan, 0.5])), curve.Series("", SOLID, x[:1], x[:1])],
        40,
        12,
        axes=ROC.axes,
        ascii_only=False,
    )
    assert len(lines) == 12


@pytest.mark.parametrize("ink", [DARK, LIGHT])
@pytest.mark.parametrize("background", [(18, 18, 18), (224, 224, 224)])
def test_colours_stand_out_from_their_background(ink: object, background: tuple[int, int, int]) -> None:
    if (ink is DARK) != (background[0] < 128):
        pytest.skip("this ink is not for this background")

    def luminance(colour: tuple[int, int, int]) -> float:
        parts = [c / 255 for c in colour]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for style in ink.by_bits.values():  # type: ignore[attr-defined]
        one, other = sorted((luminance(style.colour), luminance(background)))
        assert (other + 0.05) / (one + 0.05) > 3.0  # WCAG 2.1 for graphical objects
