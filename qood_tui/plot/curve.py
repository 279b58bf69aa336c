"""Curves as lines of text: axes laid out by plotext, curves drawn in braille dots or ASCII.

Nothing outside this package imports plotext.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

import numpy as np
import plotext
from numpy.typing import NDArray
from rich.text import Text

from qood_tui.plot.palette import Style, style

PATTERN = 600  # units per curve in which dash patterns are given
POINTS_A_DOT, MOST_POINTS = 1.5, 5000
FARTHEST = 1e3  # times the length of an axis
BRAILLE = 0x2800
MARKS = ".ox+*#%@&="  # of the curves if there is no braille, in order
DOTS = np.array([[0x40, 0x04, 0x02, 0x01], [0x80, 0x20, 0x10, 0x08]])  # by column, and row from below
Floats = NDArray[np.float64]


class Axes(NamedTuple):
    """Limits, ticks with their labels, and the side on which the legend stands."""

    x: tuple[float, float]
    y: tuple[float, float]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    corner: str = "right"
    logarithmic: bool = False  # the x axis; limits and ticks are powers of ten
    top: bool = False  # the legend stands at the top


class Series(NamedTuple):
    """One curve with its label in the legend."""

    label: str
    style: Style
    x: Floats
    y: Floats


class Canvas:
    """The cells inside the axes: the character of each, and the series that owns it."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self.characters = np.full((rows, columns), ord(" "))
        self.owners = np.full((rows, columns), -1)

    def curve(self, owner: int, x: Floats, y: Floats, *, ascii_only: bool) -> None:
        """Draw a curve with coordinates from 0 to 1 over what is already there."""
        across, up = (1, 1) if ascii_only else (2, 4)
        inside = (x >= 0) & (x <= 1) & (y >= 0) & (y <= 1)
        column = np.floor(0.5 + (across * self.columns - 1) * x[inside]).astype(int)
        row = np.floor(0.5 + (up * self.rows - 1) * y[inside]).astype(int)
        cells = np.zeros((self.rows, self.columns), int)
        place = (self.rows - 1 - row // up, column // across)
        np.bitwise_or.at(cells, place, 1 if ascii_only else DOTS[column % across, row % up])
        hit = cells > 0
        self.characters[hit] = ord(MARKS[owner % len(MARKS)]) if ascii_only else BRAILLE + cells[hit]
        self.owners[hit] = owner

    def words(self, owner: int, row: int, text: str, *, at_right: bool) -> None:
        """Write text into a row counted from the top, at its left or right end."""
        if 0 <= row < self.rows and len(text) <= self.columns:
            part = slice(self.columns - len(text), None) if at_right else slice(0, len(text))
            self.characters[row, part] = [ord(letter) for letter in text]
            self.owners[row, part] = owner

    def line(self, row: int, series: list[Series]) -> Text:
        """Return a row in the colours of the series."""
        text, column = Text(no_wrap=True), 0
        for owner, cells in groupby(self.owners[row].tolist()):
            count = len(list(cells))
            part = "".join(map(chr, self.characters[row, column : column + count].tolist()))
            text.append(part, style(series[owner].style.colour) if owner >= 0 else "")
            column += count
        return text


def draw(series: list[Series], width: int, height: int, *, axes: Axes, ascii_only: bool) -> list[Text]:
    """Return `height` lines of `width` cells with the curves, later ones on top, and a legend."""
    frame = framed(width, height, axes)
    margin = max(len(words) for _, words in axes.y_ticks)
    canvas = Canvas(width - margin, height - 1)
    dots = (2 * canvas.columns, 4 * canvas.rows)
    for owner, one in enumerate(series):
        x = np.log10(np.maximum(one.x, 10.0 ** axes.x[0])) if axes.logarithmic else one.x
        x, y = ((v - low) / (high - low) for v, (low, high) in ((x, axes.x), (one.y, axes.y)))
        canvas.curve(owner, *dashed(x, y, one.style.pattern, dots), ascii_only=ascii_only)
    fits = max(canvas.rows - 2, 1)
    for owner, one in enumerate(series[:fits]):
        sample = f"{MARKS[owner % len(MARKS)] * 3 if ascii_only else one.style.sample} "
        row = 1 + owner if axes.top else canvas.rows - 1 - min(len(series), fits) + owner
        more = f"… +{len(series) - fits}" if owner == fits - 1 and len(series) > fits else ""
        canvas.words(owner, row, f" {sample}{one.label} {more}", at_right=axes.corner == "right")
    lines = [Text(frame[row][:margin]).append(canvas.line(row, series)) for row in range(canvas.rows)]
    return [*lines, Text(frame[-1])]


@lru_cache(maxsize=32)
def framed(width: int, height: int, axes: Axes) -> tuple[str, ...]:
    """Return the lines of empty axes with their ticks."""
    plotext.clear_figure()
    plotext.limit_size(False, False)
    plotext.plotsize(width, height)
    plotext.theme("clear")
    plotext.frame(False)
    plotext.xlim(*axes.x)
    plotext.ylim(*axes.y)
    plotext.xticks([at for at, _ in axes.x_ticks], [words for _, words in axes.x_ticks])
    plotext.yticks([at for at, _ in axes.y_ticks], [words for _, words in axes.y_ticks])
    plotext.scatter([axes.x[0]], [axes.y[0]], marker=" ")
    lines = [Text.from_ansi(line).plain for line in plotext.build().split("\n")[:height]]
    return tuple(f"{line:<{width}}" for line in lines)


def dashed(x: Floats, y: Floats, pattern: tuple[int, int], dots: tuple[int, int]) -> tuple[Floats, Floats]:
    """Return points spaced evenly along a curve as drawn, without the gaps of its pattern.

    `dots` is the length of the axes in dots; points lie closer than dots.
    """
    is_finite = (np.abs(x) < FARTHEST) & (np.abs(y) < FARTHEST)  # false for NaN
    x, y = x[is_finite], y[is_finite]
    if not len(x):
        return x, y
    length = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x) * dots[0], np.diff(y) * dots[1]))])
    samples = min(int(length[-1] * POINTS_A_DOT) + 2, MOST_POINTS)
    at = np.linspace(0.0, length[-1], samples)
    dash, gap = pattern
    at = at[np.arange(samples) * PATTERN // samples % (dash + gap) < dash]
    return np.interp(at, length, x), np.interp(at, length, y)
