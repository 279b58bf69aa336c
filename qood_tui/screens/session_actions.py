"""How a session is looked at, and the keys that change it."""

from __future__ import annotations

from typing import Any

import msgspec
from textual import on
from textual.widgets import Input

from engine import catalog
from engine.plan.variants import Variant
from qood_tui.panes.curves import CurvesPane
from qood_tui.panes.deltas import DeltasPane
from qood_tui.panes.histogram import HistogramPane
from qood_tui.panes.status_line import StatusLine
from qood_tui.plot.curve import CurveView
from qood_tui.screens.base import BaseScreen
from qood_tui.state import findings
from qood_tui.state.delta_table import table
from qood_tui.state.sources import Source
from qood_tui.state.view_options import CurvesOf, RowOrder, Unit, ViewOptions, turned


class SessionActions(BaseScreen[None]):
    """A screen that shows a source as `look` says; every action here is one step of `turn`."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.source = source
        self.look = ViewOptions.at(source.state.header.plan)

    def turn(self, **changes: Any) -> None:
        """Look at it in another way."""
        raise NotImplementedError

    def choose(self, name: str) -> None:
        """Bring a pane into sight and into focus."""
        raise NotImplementedError

    def bring(self, *names: str) -> None:
        """Bring the first of some panes into sight, unless one of them is."""
        if not any(self.query_one(f"#{name}").display for name in names):
            self.choose(names[0])

    @on(DeltasPane.Pointed)
    def point(self, event: DeltasPane.Pointed) -> None:
        """Look at the variant and the OOD set that were pointed at."""
        self.turn(pointed=event.variant, ood_set=event.ood_set or self.look.ood_set)

    def _go(self, candidates: list[Variant], steps: int) -> None:
        """Point at another of these variants."""
        now = self.look.pointed
        keys = [variant.key for variant in candidates]
        at = keys.index(now.key) if now.key in keys else -1 if steps > 0 else 0
        if candidates:
            self.turn(pointed=candidates[(at + steps) % len(candidates)])

    def action_next_variant(self, steps: int = 1) -> None:
        """Point at another row of the table."""
        rows = table(self.source.state, self.look).rows
        self._go([row.variant for row in rows if not row.is_spread], steps)

    def action_previous_variant(self) -> None:
        """Point at the row above."""
        self.action_next_variant(-1)

    def action_next_model(self, steps: int = 1) -> None:
        """Point at the same bit setting of another model."""
        plan, now = self.source.state.header.plan, self.look.pointed
        model = turned(now.model, plan.models, steps)
        of_model = [variant for variant in plan.variants() if variant.model == model]
        same = [v for v in of_model if (v.bits, v.draw) == (now.bits, now.draw)]
        self.turn(pointed=(same or of_model)[0])

    def action_previous_model(self) -> None:
        """Point at the model before."""
        self.action_next_model(-1)

    def action_next_bits(self, steps: int = 1) -> None:
        """Point at another bit setting of the model."""
        plan, now = self.source.state.header.plan, self.look.pointed
        self._go([v for v in plan.variants() if v.model == now.model], steps)

    def action_previous_bits(self) -> None:
        """Point at the bit setting before."""
        self.action_next_bits(-1)

    def action_next_set(self, steps: int = 1) -> None:
        """Look at another OOD set."""
        self.turn(ood_set=turned(self.look.ood_set, self.source.state.header.plan.ood_sets, steps))

    def action_previous_set(self) -> None:
        """Look at the OOD set before."""
        self.action_next_set(-1)

    def action_next_score(self) -> None:
        """Draw the curves of another score; the table stays with the headline score."""
        plan = self.source.state.header.plan
        self.bring(CurvesPane.NAME, HistogramPane.NAME)
        self.turn(score=turned(self.look.score, plan.scores))
        if self.source.state.rows and self.source.rows() is None and self.look.score != plan.headline:
            label = catalog.label_of(self.look.score)
            words = f"The score arrays are not there, so {label} has no curves."
            self.notify(words, severity="warning", markup=False)

    def action_next_view(self) -> None:
        """Draw ROC curves, ROC curves over a logarithmic axis, or precision over recall."""
        self.bring(CurvesPane.NAME)
        self.turn(view=turned(self.look.view, list(CurveView)))

    def action_next_measure(self) -> None:
        """Show another measure."""
        self.turn(measure=turned(self.look.measure, self.source.state.measures))

    def action_next_unit(self) -> None:
        """Show points, percent of FP32, or values."""
        self.turn(unit=turned(self.look.unit, list(Unit)))

    def action_next_order(self) -> None:
        """Sort the table in another way, and point at its first row."""
        order = turned(self.look.order, list(RowOrder))
        rows = table(self.source.state, msgspec.structs.replace(self.look, order=order)).rows
        self.turn(order=order, pointed=rows[0].variant if rows else self.look.pointed)

    def action_toggle_changes(self) -> None:
        """Show only changes that are distinguishable from none, or all."""
        self.turn(only_changes=not self.look.only_changes)

    def action_next_curves(self) -> None:
        """Draw the curves of a model, of a bit setting, or the marked ones."""
        every = [one for one in CurvesOf if one is not CurvesOf.MARKED or self.look.marked]
        now = self.look.curves_of
        self.bring(CurvesPane.NAME)
        self.turn(curves_of=turned(now, every) if now in every else CurvesOf.MODEL)

    def action_mark(self) -> None:
        """Mark or unmark the variant that is pointed at, and draw the marked ones."""
        key, marked = self.look.pointed.key, self.look.marked
        marked = tuple(k for k in marked if k != key) if key in marked else (*marked, key)
        self.turn(marked=marked, curves_of=CurvesOf.MARKED if marked else CurvesOf.MODEL)

    def action_unmark(self) -> None:
        """Take all marks away."""
        self.turn(marked=(), curves_of=CurvesOf.MODEL)

    @on(StatusLine.WorstAsked)
    def action_worst(self) -> None:
        """Point at what was lost most."""
        found = findings.worst(self.source.state)
        variants = {variant.key: variant for variant in self.source.state.header.plan.variants()}
        if found is None or found.variant not in variants:
            self.notify("Nothing is compared yet.")
            return
        self.turn(pointed=variants[found.variant], ood_set=found.ood_set, words="", only_changes=False)

    # The filter

    def action_filter(self) -> None:
        """Ask for parts of names."""
        line = self.query_one("#filter", Input)
        line.value, line.display = self.look.words, True
        line.focus()

    @on(Input.Changed, "#filter")
    def filter_changed(self, event: Input.Changed) -> None:
        """Filter while it is typed."""
        if self.query_one("#filter").display:
            self.turn(words=event.value)

    @on(Input.Submitted, "#filter")
    def filter_kept(self) -> None:
        """Keep the filter."""
        self.query_one("#filter").display = False
        self.choose(DeltasPane.NAME)

    def close_filter(self) -> bool:
        """Clear the filter; tell whether there was one."""
        line = self.query_one("#filter", Input)
        if not line.display and not self.look.words:
            return False
        line.display = False
        self.turn(words="")
        if self.focused is line or self.focused is None:
            self.choose(DeltasPane.NAME)
        return True
