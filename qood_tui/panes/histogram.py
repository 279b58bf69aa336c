"""The histogram pane: how far apart the scores of ID and OOD images are, before and after quantization."""

from __future__ import annotations

import numpy as np
from rich.text import Text

from engine import catalog
from engine.plan.variants import Variant
from engine.session.arrays import FinishedRows
from engine.text import short
from qood_tui.panes.base import Pane, PaneInput
from qood_tui.plot import curve
from qood_tui.plot.curve import Axes, Floats, Series
from qood_tui.plot.palette import Style
from qood_tui.state.view_options import ViewOptions
from qood_tui.words import clean

BINS = 48
OUTER = 0.5  # percent of the scores on each side that go into the outermost bins
FARTHEST = 1e100  # larger scores are ignored
LEAST_HEIGHT = 6  # of one panel
SOLID, DASHED = (1, 0), (10, 6)


class HistogramPane(Pane):
    """Draw the scores of the selected variant below those of its FP32 reference."""

    NAME, SLOT = "histogram", "figures"
    IS_COSTLY = True

    def draw(self, data: PaneInput) -> None:
        """Draw the histograms of the images finished so far."""
        options, rows = data.options, data.rows()
        width, height = self.inner
        pointed = options.pointed
        self.caption(
            f"Scores · {catalog.short_of(pointed.model)} {pointed.bits} · {options.ood_set}",
            f"{catalog.label_of(options.score)}, larger is more out-of-distribution",
        )
        if width < 20 or height < LEAST_HEIGHT:
            return
        if rows is None:
            words = "no scores yet" if not data.state.rows else "the score arrays are missing"
            self.show([*[Text()] * (height // 2), Text(words.center(width), style="dim")])
            return
        every = rows.plan.variants()
        base = next(v for v in every if v.model == pointed.model and v.bits.is_float)
        if pointed.bits.is_float:  # a reference is shown with its lowest bit setting
            of_model = [v for v in every if v.model == base.model]
            pointed = min(of_model, key=lambda v: v.bits.weight + v.bits.activation)
        panels = [base, pointed] if height >= 2 * LEAST_HEIGHT and pointed != base else [options.pointed]
        scores = {v.key: _scores(rows, v, options) for v in panels}
        together = np.concatenate([one for pair in scores.values() for one in pair])
        if not len(together):
            self.show([Text("no finite score".center(width), style="dim")])
            return
        edges = _edges(together)
        lines: list[Text] = []
        for place, variant in enumerate(panels):
            room = height // len(panels) + (height % len(panels) if place == 0 else 0)
            lines += self._panel(variant, scores[variant.key], edges, options, room)
        self.show(lines)

    def _panel(
        self,
        variant: Variant,
        scores: tuple[Floats, Floats],
        edges: Floats,
        options: ViewOptions,
        height: int,
    ) -> list[Text]:
        shares = [_shares(one, edges) for one in scores]
        top = max(float(max(share.max(initial=0.0) for share in shares)), 1e-9)
        ticks = np.linspace(edges[0], edges[-1], 5)
        axes = Axes(
            (float(edges[0]), float(edges[-1])),
            (0.0, top * 1.05),
            tuple((float(tick), short(float(tick))) for tick in ticks),
            ((0.0, "0"), (top, f"{top:.0%}")),
            top=True,
        )
        names = ("ID", clean(options.ood_set))
        styles = (Style(self.ink.gained, SOLID, "━━━"), Style(self.ink.lost, DASHED, "━ ━"))
        series = [
            Series(f"{variant.bits} {name} {len(one):,}", style, *_outline(share, edges))
            for name, style, one, share in zip(names, styles, scores, shares, strict=True)
        ]
        return curve.draw(series, self.inner.width, height, axes=axes, ascii_only=self.is_ascii)


def _scores(rows: FinishedRows, variant: Variant, options: ViewOptions) -> tuple[Floats, Floats]:
    """Return the finite scores of ID and OOD images."""
    column = rows.plan.variants().index(variant)
    of_id, of_ood = (
        rows.values(options.score, column, at) for at in (0, rows.plan.ood_sets.index(options.ood_set) + 1)
    )
    return of_id[np.abs(of_id) < FARTHEST], of_ood[np.abs(of_ood) < FARTHEST]


def _edges(scores: Floats) -> Floats:
    low, high = np.percentile(scores, [OUTER, 100 - OUTER])
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        reach = max(abs(low), 1.0) / 2
        low, high = low - reach, high + reach
    return np.linspace(low, high, BINS + 1)


def _shares(scores: Floats, edges: Floats) -> Floats:
    """Return the share of images in each bin; scores beyond count in the outermost ones."""
    counts = np.histogram(np.clip(scores, edges[0], edges[-1]), edges)[0]
    return counts / max(len(scores), 1)


def _outline(shares: Floats, edges: Floats) -> tuple[Floats, Floats]:
    """Return the steps of a histogram as a line."""
    x = np.repeat(edges, 2)
    y = np.concatenate([[0.0], np.repeat(shares, 2), [0.0]])
    return x, y
