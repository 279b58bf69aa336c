"""The curve pane: ROC or precision-recall curves of several variants over each other."""

from __future__ import annotations

import numpy as np
from rich.text import Text

from engine import catalog
from engine.errors import MeasureError
from engine.measure import detection
from engine.measure.measures import AP_OUT
from engine.plan.variants import Variant
from engine.session.arrays import FinishedRows
from qood_tui.panes.base import Pane, PaneInput
from qood_tui.plot import curve
from qood_tui.plot.curve import AXES, CurveView
from qood_tui.state.state import State
from qood_tui.state.view_options import CurvesOf, ViewOptions
from qood_tui.words import clean

POINTS = 512  # more than any terminal has columns
Found = tuple[curve.Floats, curve.Floats, float]
Wanted = tuple[int, str, str, str, CurveView]  # rows, variant, OOD set, score, view


class CurvesPane(Pane):
    """Draw the curves of the variants that are looked at, on one OOD set under one score."""

    NAME, LABEL, SLOT = "curves", "Curves", "figures"
    IS_COSTLY = True
    has_curves = False

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[Wanted, Found | None] = {}

    def draw(self, moment: PaneInput) -> None:
        """Draw what is known at this moment; from the arrays where they are, else from the journal."""
        state, look = moment.state, moment.look
        plan = state.header.plan
        width, height = self.inner
        rows = moment.rows()
        shown = look.shown(plan)
        drawn = [found.rows for key, found in state.curves.items() if key in {v.key for v in shown}]
        counted = rows.count if rows is not None else max(drawn, default=0)
        title = f"{look.view.value} · {_what(look)} · {look.ood_set}"
        area = "AUPR-out" if look.view is CurveView.PRECISION_RECALL else "AUROC"
        told = f"{catalog.label_of(look.score)} · legend: {area} · {counted:,} images · OOD positive"
        self.caption(title, told)
        if width < 20 or height < 5:
            return
        found = [(variant, self._found(state, rows, variant, look)) for variant in shown]
        series = [
            self._series(variant, place, one, look)
            for place, (variant, one) in enumerate(found)
            if one is not None
        ]
        self.has_curves = bool(series)
        if not series:
            self.show(_waiting(state, width, height, look.view))
            return
        self.show(curve.draw(series, width, height, axes=AXES[look.view], ascii_only=self.is_ascii))

    def _series(self, variant: Variant, place: int, found: Found, look: ViewOptions) -> curve.Series:
        x, y, area = found
        if look.curves_of is CurvesOf.MODEL or (look.curves_of is CurvesOf.MARKED and not look.marked):
            return curve.Series(f"{variant.bits!s:<5}{area:.3f}", self.ink.of_bits(str(variant.bits)), x, y)
        draw = f" #{variant.draw + 1}" if variant.draw else ""
        name = f"{catalog.short_of(variant.model)} {variant.bits}{draw}"
        return curve.Series(f"{name} {area:.3f}", self.ink.of_place(place), x, y)

    def _found(
        self, state: State, rows: FinishedRows | None, variant: Variant, look: ViewOptions
    ) -> Found | None:
        if rows is None:
            return None if look.view is CurveView.PRECISION_RECALL else _from_journal(state, variant, look)
        wanted = (rows.count, variant.key, look.ood_set, look.score, look.view)
        if any(known[0] != rows.count for known in self._known):
            self._known.clear()
        if wanted not in self._known:
            self._known[wanted] = _from_arrays(rows, variant, look)
        return self._known[wanted]


def _what(look: ViewOptions) -> str:
    """Name what the curves share."""
    if look.curves_of is CurvesOf.MARKED and look.marked:
        return f"{len(look.marked)} marked"
    if look.curves_of is CurvesOf.BITS:
        return str(look.pointed.bits)
    draw = f" · draw {look.pointed.draw + 1}" if look.pointed.draw else ""
    return f"{catalog.short_of(look.pointed.model)}{draw}"


def _from_arrays(rows: FinishedRows, variant: Variant, look: ViewOptions) -> Found | None:
    column, position = rows.plan.variants().index(variant), rows.plan.ood_sets.index(look.ood_set) + 1
    id_scores, ood_scores = (rows.values(look.score, column, of_set) for of_set in (0, position))
    try:
        counts = detection.count(id_scores, ood_scores)
        if look.view is CurveView.PRECISION_RECALL:
            area = AP_OUT(id_scores, ood_scores)
            return *detection.thin(*detection.precision_recall(counts), POINTS), area
    except MeasureError:
        return None
    fpr, tpr = detection.roc(counts)
    return *detection.thin(fpr, tpr, POINTS), float(np.trapezoid(tpr, fpr))


def _from_journal(state: State, variant: Variant, look: ViewOptions) -> Found | None:
    """Return the thinned curve that the journal keeps of the headline score."""
    drawn = state.curves.get(variant.key)
    cell = state.cells_of(variant.key).get(look.ood_set)
    area = cell.value("auroc") if cell else None
    if drawn is None or area is None or look.score != state.header.plan.headline:
        return None
    for found in drawn.curves:
        if found.set == look.ood_set and len(found.fpr) == len(found.tpr) >= 2:
            return np.array(found.fpr), np.array(found.tpr), area
    return None


def _waiting(state: State, width: int, height: int, view: CurveView) -> list[Text]:
    known = len(state.ready)
    total = len(state.header.plan.variants())
    words = {
        "waiting": "waiting for the engine",
        "starting": "starting the engine",
        "images": "making the images",
        "calibrating": f"calibrating: {known} of {total} variants ready",
    }.get(state.phase, "no curve yet")
    if state.curves and view is CurveView.PRECISION_RECALL:
        words = "precision and recall need the score arrays, which are not there"
    lines = [Text() for _ in range(height)]
    lines[height // 2] = Text(clean(words).center(width), style="dim")
    return lines
