"""The session screen: the panes of one session with the actions that change what they show."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import msgspec
from textual import on
from textual.widgets import Input

from engine import catalog
from engine.plan.variants import Variant
from qood_tui.panes.base import Pane
from qood_tui.panes.curves import CurvesPane
from qood_tui.panes.deltas import DeltasPane
from qood_tui.panes.histogram import HistogramPane
from qood_tui.panes.status_line import StatusLine
from qood_tui.plot.kinds import KINDS
from qood_tui.plot.palette import LIGHT
from qood_tui.screens.dialogs.export import ExportScreen, Form
from qood_tui.screens.dialogs.number import NumberScreen
from qood_tui.screens.pane_screen import PaneScreen
from qood_tui.screens.sessions import SessionsScreen
from qood_tui.settings.bindings import bindings
from qood_tui.state import findings
from qood_tui.state.delta_table import table
from qood_tui.state.table_export import TABLES, as_svg, as_text
from qood_tui.state.view_options import CurvesOf, RowOrder, Unit, cycle


class SessionScreen(PaneScreen):
    """One session, live or replayed."""

    GROUPS: ClassVar[tuple[str, ...]] = ("Session",)
    BINDINGS = bindings("Session")

    # The variant and OOD set under the cursor

    @on(DeltasPane.Pointed)
    def point(self, event: DeltasPane.Pointed) -> None:
        """Select the variant and the OOD set that were clicked."""
        self.set_options(pointed=event.variant, ood_set=event.ood_set or self.options.ood_set)

    def _go(self, candidates: list[Variant], steps: int) -> None:
        """Select another of these variants."""
        now = self.options.pointed
        keys = [variant.key for variant in candidates]
        at = keys.index(now.key) if now.key in keys else -1 if steps > 0 else 0
        if candidates:
            self.set_options(pointed=candidates[(at + steps) % len(candidates)])

    def action_next_variant(self, steps: int = 1) -> None:
        """Select another row of the table."""
        rows = table(self.source.state, self.options).rows
        self._go([row.variant for row in rows if not row.is_spread], steps)

    def action_previous_variant(self) -> None:
        """Select the previous row."""
        self.action_next_variant(-1)

    def action_next_model(self, steps: int = 1) -> None:
        """Select another model at the same bit setting."""
        plan, now = self.source.state.header.plan, self.options.pointed
        model = cycle(now.model, plan.models, steps)
        of_model = [variant for variant in plan.variants() if variant.model == model]
        same = [v for v in of_model if (v.bits, v.draw) == (now.bits, now.draw)]
        self.set_options(pointed=(same or of_model)[0])

    def action_previous_model(self) -> None:
        """Select the previous model."""
        self.action_next_model(-1)

    def action_next_bits(self, steps: int = 1) -> None:
        """Select another bit setting of the model."""
        plan, now = self.source.state.header.plan, self.options.pointed
        self._go([v for v in plan.variants() if v.model == now.model], steps)

    def action_previous_bits(self) -> None:
        """Select the previous bit setting."""
        self.action_next_bits(-1)

    def action_next_set(self, steps: int = 1) -> None:
        """Select another OOD set."""
        self.set_options(ood_set=cycle(self.options.ood_set, self.source.state.header.plan.ood_sets, steps))

    def action_previous_set(self) -> None:
        """Select the previous OOD set."""
        self.action_next_set(-1)

    @on(StatusLine.WorstAsked)
    def action_worst(self) -> None:
        """Select the largest loss."""
        worst = findings.worst(self.source.state)
        variants = {variant.key: variant for variant in self.source.state.header.plan.variants()}
        if worst is None or worst.variant not in variants:
            self.notify("Nothing has been compared yet.")
            return
        self.set_options(pointed=variants[worst.variant], ood_set=worst.ood_set, words="", only_changes=False)

    # What is shown of them

    def action_next_score(self) -> None:
        """Draw the curves of another score; the table keeps the headline score."""
        plan = self.source.state.header.plan
        self.ensure_visible(CurvesPane.NAME, HistogramPane.NAME)
        self.set_options(score=cycle(self.options.score, plan.scores))
        if self.source.state.rows and self.source.rows() is None and self.options.score != plan.headline:
            label = catalog.label_of(self.options.score)
            message = f"No curves for {label}: the score arrays are missing."
            self.notify(message, severity="warning", markup=False)

    def action_next_view(self) -> None:
        """Draw another kind of curve."""
        self.ensure_visible(CurvesPane.NAME)
        self.set_options(curve_kind=cycle(self.options.curve_kind, KINDS))

    def action_next_measure(self) -> None:
        """Show another measure."""
        self.set_options(measure=cycle(self.options.measure, self.source.state.measures))

    def action_next_unit(self) -> None:
        """Show points, percent of FP32, or values."""
        self.set_options(unit=cycle(self.options.unit, list(Unit)))

    def action_next_order(self) -> None:
        """Sort the table in another order, and select its first row."""
        order = cycle(self.options.order, list(RowOrder))
        rows = table(self.source.state, msgspec.structs.replace(self.options, order=order)).rows
        self.set_options(order=order, pointed=rows[0].variant if rows else self.options.pointed)

    def action_toggle_changes(self) -> None:
        """Show only significant changes, or all variants."""
        self.set_options(only_changes=not self.options.only_changes)

    def action_next_curves(self) -> None:
        """Draw the curves of a model, of a bit setting, or of the marked variants."""
        choices = [one for one in CurvesOf if one is not CurvesOf.MARKED or self.options.marked]
        now = self.options.curves_of
        self.ensure_visible(CurvesPane.NAME)
        self.set_options(curves_of=cycle(now, choices) if now in choices else CurvesOf.MODEL)

    def action_mark(self) -> None:
        """Mark or unmark the selected variant, and draw the marked ones."""
        key, marked = self.options.pointed.key, self.options.marked
        marked = tuple(k for k in marked if k != key) if key in marked else (*marked, key)
        self.set_options(marked=marked, curves_of=CurvesOf.MARKED if marked else CurvesOf.MODEL)

    def action_unmark(self) -> None:
        """Clear all marks."""
        self.set_options(marked=(), curves_of=CurvesOf.MODEL)

    # The filter

    def action_filter(self) -> None:
        """Ask for parts of variants' names."""
        line = self.query_one("#filter", Input)
        line.value, line.display = self.options.words, True
        line.focus()

    @on(Input.Changed, "#filter")
    def filter_changed(self, event: Input.Changed) -> None:
        """Filter while typing."""
        if self.query_one("#filter").display:
            self.set_options(words=event.value)

    @on(Input.Submitted, "#filter")
    def filter_kept(self) -> None:
        """Keep the filter."""
        self.query_one("#filter").display = False
        self.focus_pane(DeltasPane.NAME)

    def close_filter(self) -> bool:
        """Clear the filter; return whether there was one."""
        line = self.query_one("#filter", Input)
        if not line.display and not self.options.words:
            return False
        line.display = False
        self.set_options(words="")
        if self.focused is line or self.focused is None:
            self.focus_pane(DeltasPane.NAME)
        return True

    # Other screens

    def action_show_number(self) -> None:
        """Show definition, source, counts, interval and test of the number under the cursor."""
        options, session = self.options, self.source.session.name
        self.app.push_screen(
            NumberScreen(self.source.state, options.pointed, options.ood_set, options.measure, session)
        )

    def action_compare(self) -> None:
        """Choose a session to compare this one with."""
        self.app.push_screen(SessionsScreen(self.source.session))

    def action_copy(self) -> None:
        """Copy the current pane as text."""
        pane = self.query_one(f"#{self.current_pane}", Pane)
        lines = pane.whole()
        self.app.copy_to_clipboard("\n".join(pane.plain(line.plain).rstrip() for line in lines))
        self.notify(f"Copied the {pane.action.label} pane: {len(lines)} lines.")

    def action_export(self) -> None:
        """Ask what to save or copy, and in which format."""
        pane, session = self.query_one(f"#{self.current_pane}", Pane), self.source.session.name
        label, rows = pane.action.label, table(self.source.state, self.options)
        lines, width, title = pane.whole(), pane.inner.width, f"{label} · {session}"
        svg = partial(as_svg, lines, width, title, is_light=pane.ink is LIGHT)
        forms = [
            Form(f"{label.lower()} as SVG", f"-{pane.NAME}.svg", svg),
            Form(f"{label.lower()} as text", f"-{pane.NAME}.txt", partial(as_text, lines)),
            *(
                Form(f"delta table as {format}", f"-table.{suffix}", partial(make, rows))
                for suffix, (format, make) in TABLES.items()
            ),
        ]
        self.app.push_screen(ExportScreen(forms, session))
