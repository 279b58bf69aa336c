"""Curves as lines of text, drawn by plotext. Nothing outside this package imports plotext."""

from __future__ import annotations

import math
from enum import Enum
from typing import NamedTuple

import numpy as np
import plotext
from numpy.typing import NDArray
from rich.text import Text

from qood_tui.plot.palette import Style

SAMPLES = 600  # points a curve is drawn from: more than any terminal has dots
LEAST_RATE = 1e-3  # where the logarithmic axis begins
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


class View(Enum):
    """What curves are drawn of: the title, and whether the x axis is logarithmic."""

    ROC = "ROC"
    LOG_ROC = "ROC, logarithmic"
    PRECISION_RECALL = "Precision over recall"


class Series(NamedTuple):
    """One curve with what the legend says of it."""

    label: str
    style: Style
    x: NDArray[np.float64]
    y: NDArray[np.float64]


def draw(series: list[Series], width: int, height: int, *, view: View, ascii_only: bool) -> list[Text]:
    """Return `height` lines of `width` cells with the curves, later ones on top, and a legend."""
    logarithmic = view is View.LOG_ROC
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
        x, y = dashed(one.x, one.y, one.style.pattern)
        x = np.log10(np.maximum(x, LEAST_RATE)) if logarithmic else x
        marker = "." if ascii_only else "braille"
        plotext.scatter(x.tolist(), y.tolist(), marker=marker, color=one.style.colour)
    # Each kind of curve leaves another lower corner empty.
    corner = (left, "left") if view is View.PRECISION_RECALL else (right, "right")
    _legend(series, height, corner, ascii_only)
    return [Text.from_ansi(line, no_wrap=True) for line in plotext.build().split("\n")[:height]]


def dashed(
    x: NDArray[np.float64], y: NDArray[np.float64], pattern: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return points spaced evenly along a curve, with the gaps of its dash pattern left out."""
    length = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
    at = np.linspace(0.0, length[-1], SAMPLES)
    dash, gap = pattern
    at = at[np.arange(SAMPLES) % (dash + gap) < dash]
    return np.interp(at, length, x), np.interp(at, length, y)


def _legend(series: list[Series], height: int, corner: tuple[float, str], ascii_only: bool) -> None:
    """Write one line a curve into a lower corner."""
    rows = max(height - 2, 1)
    x, side = corner
    for position, one in enumerate(reversed(series)):
        y = (position + 1) / rows
        sample = "" if ascii_only else f"{one.style.sample} "
        plotext.text(f" {sample}{one.label} ", x, y, color=one.style.colour, alignment=side)
