"""ROC curves as lines of text, drawn by plotext. Nothing outside this package imports plotext."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import plotext
from numpy.typing import NDArray
from rich.text import Text

from qood_tui.plot.palette import Style

SAMPLES = 600  # points a curve is drawn from: more than any terminal has dots
LEAST_RATE = 1e-3  # where the logarithmic axis begins
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


class Series(NamedTuple):
    """One curve with what the legend says of it."""

    label: str
    style: Style
    fpr: NDArray[np.float64]
    tpr: NDArray[np.float64]


def draw(series: list[Series], width: int, height: int, *, logarithmic: bool, ascii_only: bool) -> list[Text]:
    """Return `height` lines of `width` cells with the curves, later ones on top, and a legend."""
    plotext.clear_figure()
    plotext.limit_size(False, False)
    plotext.plotsize(width, height)
    plotext.theme("clear")
    plotext.frame(False)
    left = math.log10(LEAST_RATE) if logarithmic else 0.0
    right = 0.0 if logarithmic else 1.0
    plotext.xlim(left, right)
    plotext.ylim(0, 1)
    ticks = (-3.0, -2.0, -1.0, 0.0) if logarithmic else TICKS
    plotext.xticks(ticks, ["0.001", "0.01", "0.1", "1"] if logarithmic else ["0", ".25", ".5", ".75", "1"])
    plotext.yticks(TICKS, ["0", ".25", ".5", ".75", "1"])
    for one in series:
        fpr, tpr = dashed(one.fpr, one.tpr, one.style.pattern)
        x = np.log10(np.maximum(fpr, LEAST_RATE)) if logarithmic else fpr
        marker = "." if ascii_only else "braille"
        plotext.scatter(x.tolist(), tpr.tolist(), marker=marker, color=one.style.colour)
    _legend(series, height, right, ascii_only)
    return [Text.from_ansi(line, no_wrap=True) for line in plotext.build().split("\n")[:height]]


def dashed(
    fpr: NDArray[np.float64], tpr: NDArray[np.float64], pattern: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return points spaced evenly along a curve, with the gaps of its dash pattern left out."""
    length = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(fpr), np.diff(tpr)))])
    at = np.linspace(0.0, length[-1], SAMPLES)
    dash, gap = pattern
    at = at[np.arange(SAMPLES) % (dash + gap) < dash]
    return np.interp(at, length, fpr), np.interp(at, length, tpr)


def _legend(series: list[Series], height: int, right: float, ascii_only: bool) -> None:
    """Write one line a curve into the lower right corner, which ROC curves leave empty."""
    rows = max(height - 2, 1)
    for position, one in enumerate(reversed(series)):
        y = (position + 1) / rows
        sample = "" if ascii_only else f"{one.style.sample} "
        plotext.text(f"{sample}{one.label} ", right, y, color=one.style.colour, alignment="right")
