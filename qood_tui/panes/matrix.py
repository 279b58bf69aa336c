"""The matrix pane: models against bit settings, as a heat map of losses."""

from __future__ import annotations

import math

from rich.style import Style
from rich.text import Text
from textual import events

from engine import catalog
from engine.plan.variants import Variant
from qood_tui.panes.base import PaneInput, ScrollingPane
from qood_tui.panes.deltas import DeltasPane
from qood_tui.plot.palette import Ink
from qood_tui.state.delta_table import Number, table
from qood_tui.state.view_options import RowOrder, Unit, ViewOptions
from qood_tui.words import squeeze

NAME, MOST, LEAST = 17, 14, 8  # cells of a model's name, of a number at most and at least
SHADES = " ░▒▓█"


class MatrixPane(ScrollingPane):
    """One row per model, one column per bit setting; darker is more, and every cell shows its number."""

    NAME, SLOT = "matrix", "figures"

    def __init__(self) -> None:
        super().__init__()
        self._places: list[list[Variant]] = []
        self._cell = MOST

    def draw(self, data: PaneInput) -> None:
        """Show the mean over OOD sets and, if there is room, the selected OOD set."""
        options = data.options
        plan = data.state.header.plan
        unit = Unit.POINTS if options.unit is Unit.VALUE else options.unit
        every = table(data.state, _whole(options, unit))
        rows = {r.variant.key: r for r in every.rows if not r.is_spread}
        bits = [b for b in dict.fromkeys(v.bits for v in plan.variants()) if not b.is_float]
        variants = {(v.model, v.bits): v for v in plan.variants() if not v.draw}
        self._cell = min(max((self.inner.width - NAME) // max(len(bits), 1), LEAST), MOST)
        lines: list[tuple[Text, list[Variant]]] = []
        blocks = ["", options.ood_set] if self.inner.height >= 2 * len(plan.models) + 3 else [""]
        for name in blocks:
            numbers = {key: row.sets.get(name, Number()) if name else row.mean for key, row in rows.items()}
            sign = 1.0 if options.measure.larger_is_better else -1.0
            most = max((sign * n.value for n in numbers.values() if n.value is not None), default=0.0)
            head = Text(f"{squeeze(name or 'mean of OOD sets', NAME - 1):<{NAME}}", style="bold")
            lines += [(Text(), [])] if lines else []
            lines.append((head.append("".join(f"{b!s:^{self._cell}}" for b in bits)), []))
            for model in plan.models:
                of_model = [variants[model, b] for b in bits]
                line = Text(f"{squeeze(catalog.short_of(model), NAME - 1):<{NAME}}")
                for variant in of_model:
                    is_pointed = (options.pointed.model, options.pointed.bits) == (model, variant.bits)
                    number = numbers.get(variant.key, Number())
                    share = sign * (number.value or 0.0) / most if most > 0 else 0.0
                    self._append(line, number, share, is_pointed)
                lines.append((line, of_model))
        self._places = [of_model for _, of_model in lines]
        marks = "▼ ▲ significant" if every.intervals.startswith("▼") else every.intervals
        part = self.show_all([line for line, _ in lines])
        legend = " · ".join(filter(None, (part, marks)))
        self.caption(f"Matrix · {options.measure.delta_label} · {unit.value}", legend)

    def _append(self, line: Text, number: Number, share: float, is_pointed: bool) -> None:
        if number.value is None:
            line.append(f"{'·':^{self._cell}}", "dim")
            return
        share = min(max(share, 0.0), 1.0) if math.isfinite(share) else 0.0
        shade = SHADES[min(int(share * len(SHADES)), len(SHADES) - 1)]
        left, right = "[]" if is_pointed else "  "
        words = f"{left}{shade}{number.value:+.1f}{number.mark}{right}"
        line.append(f"{words:^{self._cell}}", heat(self.ink, share, bold=is_pointed))

    def on_click(self, event: events.Click) -> None:
        """Select the variant under the mouse."""
        row = event.y - self.pad + self._offset
        place = (event.x - self.pad - NAME) // self._cell
        if 0 <= row < len(self._places) and 0 <= place < len(self._places[row]):
            self.post_message(DeltasPane.Pointed(self._places[row][place]))


def _whole(options: ViewOptions, unit: Unit) -> ViewOptions:
    """Return options that show every row."""
    return ViewOptions(options.pointed, options.ood_set, options.score, options.measure, unit, RowOrder.PLAN)


def heat(ink: Ink, share: float, *, bold: bool) -> Style:
    """Return the background for a share of the largest loss, with readable text on it."""
    red, green, blue = ink.heat[min(int(share * len(ink.heat)), len(ink.heat) - 1)]
    is_light = 0.299 * red + 0.587 * green + 0.114 * blue > 140
    return Style(color="#000000" if is_light else "#ffffff", bgcolor=f"rgb({red},{green},{blue})", bold=bold)
