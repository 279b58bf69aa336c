"""The curve pane: ROC or precision-recall curves of several variants over each other."""

from __future__ import annotations

import numpy as np
from rich.text import Text

from engine import catalog
from engine.errors import MeasureError
from engine.measure import detection
from engine.plan.variants import Variant
from engine.session.arrays import FinishedRows
from qood_tui.panes.base import Pane, PaneInput
from qood_tui.plot import curve
from qood_tui.plot.kinds import CurveKind, CurvePoints
from qood_tui.state.state import State
from qood_tui.state.view_options import CurvesOf, ViewOptions
from qood_tui.words import clean

POINTS = 512  # more than any terminal has columns
CacheKey = tuple[int, str, str, str, str]  # rows, variant, OOD set, score, kind of curve


class CurvesPane(Pane):
    """Draw the curves of the selected variants, on one OOD set under one score."""

    NAME, SLOT = "curves", "figures"
    IS_COSTLY = True
    has_curves = False

    def __init__(self) -> None:
        super().__init__()
        self._cache: dict[CacheKey, CurvePoints | None] = {}

    def draw(self, data: PaneInput) -> None:
        """Draw the curves of the finished images: from the arrays if there are any, else from the journal."""
        state, options = data.state, data.options
        width, height = self.inner
        rows, kind = data.rows(), options.curve_kind
        variants = options.shown(state.header.plan)
        journaled = [state.curves[v.key].rows for v in variants if v.key in state.curves]
        count = rows.count if rows is not None else max(journaled, default=0)
        self.caption(
            f"{kind.title} · {_subject(options)} · {options.ood_set}",
            f"{catalog.label_of(options.score)} · legend: {kind.area} · {count:,} images · OOD positive",
        )
        if width < 20 or height < 5:
            return
        curves = [self._curve(state, rows, variant, options) for variant in variants]
        series = [
            self._series(variant, place, one, options)
            for place, (variant, one) in enumerate(zip(variants, curves, strict=True))
            if one is not None
        ]
        self.has_curves = bool(series)
        if not series:
            self.show(_placeholder(state, width, height, kind))
            return
        self.show(curve.draw(series, width, height, axes=kind.axes, ascii_only=self.is_ascii))

    def _series(self, variant: Variant, place: int, one: CurvePoints, options: ViewOptions) -> curve.Series:
        """Return a curve with its label: only the bits where all curves are of one model."""
        is_one_model = options.curves_of is CurvesOf.MODEL
        if is_one_model or (options.curves_of is CurvesOf.MARKED and not options.marked):
            label, style = f"{variant.bits!s:<5}{one.area:.3f}", self.ink.of_bits(str(variant.bits))
        else:
            draw = f" #{variant.draw + 1}" if variant.draw else ""
            label = f"{catalog.short_of(variant.model)} {variant.bits}{draw} {one.area:.3f}"
            style = self.ink.of_place(place)
        return curve.Series(label, style, one.x, one.y)

    def _curve(
        self, state: State, rows: FinishedRows | None, variant: Variant, options: ViewOptions
    ) -> CurvePoints | None:
        if rows is None:
            return _from_journal(state, variant, options)
        key = (rows.count, variant.key, options.ood_set, options.score, options.curve_kind.title)
        if any(cached[0] != rows.count for cached in self._cache):
            self._cache.clear()
        if key not in self._cache:
            self._cache[key] = _from_arrays(rows, variant, options)
        return self._cache[key]


def _subject(options: ViewOptions) -> str:
    """Name what the curves have in common."""
    if options.curves_of is CurvesOf.MARKED and options.marked:
        return f"{len(options.marked)} marked"
    if options.curves_of is CurvesOf.BITS:
        return str(options.pointed.bits)
    draw = f" · draw {options.pointed.draw + 1}" if options.pointed.draw else ""
    return f"{catalog.short_of(options.pointed.model)}{draw}"


def _from_arrays(rows: FinishedRows, variant: Variant, options: ViewOptions) -> CurvePoints | None:
    column, position = rows.plan.variants().index(variant), rows.plan.ood_sets.index(options.ood_set) + 1
    id_scores, ood_scores = (rows.values(options.score, column, at) for at in (0, position))
    try:
        x, y, area = options.curve_kind.compute(id_scores, ood_scores)
    except MeasureError:
        return None
    return CurvePoints(*detection.thin(x, y, POINTS), area)


def _from_journal(state: State, variant: Variant, options: ViewOptions) -> CurvePoints | None:
    """Return the thinned ROC curve that the journal keeps of the headline score."""
    drawn = state.curves.get(variant.key)
    cell = state.cells_of(variant.key).get(options.ood_set)
    area = cell.value("auroc") if cell else None
    is_kept = options.curve_kind.is_journaled and options.score == state.header.plan.headline
    if not is_kept or drawn is None or area is None:
        return None
    for one in drawn.curves:
        if one.set == options.ood_set and len(one.fpr) == len(one.tpr) >= 2:
            return CurvePoints(np.array(one.fpr), np.array(one.tpr), area)
    return None


def _placeholder(state: State, width: int, height: int, kind: CurveKind) -> list[Text]:
    """Say why there is no curve."""
    total = len(state.header.plan.variants())
    message = {
        "waiting": "waiting for the engine",
        "starting": "starting the engine",
        "images": "preparing the images",
        "calibrating": f"calibrating: {len(state.ready)} of {total} variants ready",
    }.get(state.phase, "no curve yet")
    if state.curves and not kind.is_journaled:
        message = f"{kind.title} needs the score arrays, which are missing"
    lines = [Text() for _ in range(height)]
    lines[height // 2] = Text(clean(message).center(width), style="dim")
    return lines
