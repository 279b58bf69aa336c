"""The curve pane: ROC or precision-recall curves of one model at every bit setting, over each other."""

from __future__ import annotations

import numpy as np
from rich.text import Text

from engine import catalog
from engine.arrays import Rows
from engine.errors import MeasureError
from engine.measure import detection
from engine.plan import Variant
from qood_tui.plot import curve
from qood_tui.plot.curve import View
from qood_tui.plot.palette import style_of
from qood_tui.store import State
from qood_tui.widgets.lines import Lines
from qood_tui.words import clean

POINTS = 512  # more than any terminal has columns


class Curves(Lines):
    """Draw the curves of one model on one OOD set under one score."""

    has_curves = False

    def draw(
        self,
        state: State,
        rows: Rows | None,
        pointed: Variant,
        ood_set: str,
        score: str,
        *,
        view: View,
    ) -> None:
        """Draw what is known at this moment; from the arrays where they are, else from the journal.

        Shown is the model of `pointed` at every bit setting, on the same draw of calibration images.
        """
        width, height = self.size
        plan = state.header.plan
        drawn = [c.rows for key, c in state.curves.items() if key.startswith(f"{pointed.model} ")]
        counted = rows.count if rows is not None else max(drawn, default=0)
        label = catalog.label_of(score)
        draw = f" · draw {pointed.draw + 1}" if plan.calibration_draws > 1 else ""
        title = f"{view.value} · {catalog.short_of(pointed.model)} · {clean(ood_set)}{draw}"
        self.caption(title, f"{label} · {counted:,} images · OOD positive")
        if width < 20 or height < 5:
            return
        series = self._series(state, rows, pointed, ood_set, score, view)
        self.has_curves = bool(series)
        if not series:
            self.show(_waiting(state, width, height, view))
            return
        ascii_only = bool(getattr(self.app, "ascii_only", False))
        self.show(curve.draw(series, width, height, view=view, ascii_only=ascii_only))

    def _series(
        self, state: State, rows: Rows | None, pointed: Variant, ood_set: str, score: str, view: View
    ) -> list[curve.Series]:
        plan = state.header.plan
        series = []
        for position, variant in enumerate(plan.variants()):
            is_shown = variant.bits.is_float or variant.draw == pointed.draw
            if variant.model != pointed.model or not is_shown:
                continue
            found = None
            if rows is not None:
                found = _from_arrays(rows, position, score, plan.ood_sets.index(ood_set) + 1, view)
            elif view is not View.PRECISION_RECALL:
                found = _from_journal(state, variant, ood_set, score)
            if found is not None:
                x, y, area = found
                label = f"{variant.bits!s:<5}{area:.3f}"
                series.append(curve.Series(label, style_of(str(variant.bits)), x, y))
        return series


Found = tuple[detection.Floats, detection.Floats, float]


def _from_arrays(rows: Rows, variant: int, score: str, position: int, view: View) -> Found | None:
    id_scores, ood_scores = rows.column(score, variant, 0), rows.column(score, variant, position)
    try:
        counts = detection.count(id_scores, ood_scores)
        if view is View.PRECISION_RECALL:
            area = detection.detection(id_scores, ood_scores).ap_out
            return *detection.thin(*detection.precision_recall(counts), POINTS), area
    except MeasureError:
        return None
    return *detection.thin(*detection.roc(counts), POINTS), detection.auroc(counts)


def _from_journal(state: State, variant: Variant, ood_set: str, score: str) -> Found | None:
    drawn, measured = state.curves.get(variant.key), state.measured.get(variant.key)
    if drawn is None or measured is None or score != state.header.plan.headline:
        return None
    for found in drawn.curves:
        for cell in measured.cells:
            if found.set != ood_set or len(found.fpr) != len(found.tpr) or len(found.fpr) < 2:
                continue
            if cell.name == ood_set and cell.score == score and cell.auroc is not None:
                return np.array(found.fpr), np.array(found.tpr), cell.auroc
    return None


def _waiting(state: State, width: int, height: int, view: View) -> list[Text]:
    known = len(state.ready)
    total = len(state.header.plan.variants())
    words = {
        "waiting": "waiting for the engine",
        "starting": "starting the engine",
        "images": "making the images",
        "calibrating": f"calibrating: {known} of {total} variants ready",
    }.get(state.phase, "no curve yet")
    if state.curves and view is View.PRECISION_RECALL:
        words = "precision and recall need the score arrays, which are not there"
    lines = [Text() for _ in range(height)]
    lines[height // 2] = Text(words.center(width), style="dim")
    return lines
