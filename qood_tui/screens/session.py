"""The session screen: curves, deltas and engine of one session, whatever its source."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Container
from textual.screen import Screen
from textual.widgets import Footer

from engine import catalog
from qood_tui import actions
from qood_tui.plot.curve import View
from qood_tui.screens.bits import BitsScreen
from qood_tui.screens.number import NumberScreen
from qood_tui.sources import Source
from qood_tui.widgets.curves import Curves
from qood_tui.widgets.deltas import MEASURES, Deltas
from qood_tui.widgets.engine import Engine
from qood_tui.widgets.lines import Lines
from qood_tui.widgets.status import Status

TICK = 0.25  # seconds between two looks at the journal
CURVE_TICKS = 4  # curves are drawn again at most every so many ticks
PANES = ("curves", "deltas", "engine")


class SessionScreen(Screen[None]):
    """Show a source; every pane is a function of its state and of what is chosen here."""

    CSS_PATH = "../styles/session.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-normal"), (140, "-wide")]
    BINDINGS = actions.bindings(actions.SESSION)

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.source = source
        plan = source.state.header.plan
        self.pointed = plan.variants()[0]
        self.ood_set, self.score = plan.ood_sets[0], plan.headline
        self.measure = 0
        self.relative, self.view = False, View.ROC
        self._ticks = 0
        self._stale = True

    def compose(self) -> ComposeResult:
        """Lay out the panes; the style sheet says what is visible at which width."""
        yield Status(id="status")
        with Container(id="panes"):
            yield Curves(id="curves")
            yield Deltas(id="deltas")
            yield Engine(id="engine")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Begin to look at the source."""
        self.set_class(bool(getattr(self.app, "ascii_only", False)), "ascii")
        self.show_pane("curves")
        self.query_one(Deltas).focus()
        self.source.tick(0.0)
        self.set_interval(TICK, self._tick)

    @on(Lines.Resized)
    def fit(self) -> None:
        """Draw for the new size."""
        self.draw()

    def _tick(self) -> None:
        changed = self.source.tick(TICK)
        self._ticks += 1
        self._stale = self._stale or changed
        if changed or self.source.is_moving:
            self.draw(curves=False)
        due = self._ticks % CURVE_TICKS == 0 or not self.query_one(Curves).has_curves
        if self._stale and due:
            self.draw()

    def draw(self, *, curves: bool = True) -> None:
        """Draw every pane from the state; the curves only when asked, they cost most."""
        if not self.is_mounted:
            return
        state = self.source.state
        with self.app.batch_update():
            self.query_one(Status).draw(self.source)
            self.query_one(Deltas).draw(state, MEASURES[self.measure], self.ood_set, relative=self.relative)
            self.query_one(Engine).draw(state)
            if curves:
                self._stale = False
                self.query_one(Curves).draw(
                    state,
                    self.source.rows(),
                    self.pointed,
                    self.ood_set,
                    self.score,
                    view=self.view,
                )

    def show_pane(self, pane: str) -> None:
        """Choose the pane that a small terminal shows and that can be maximised."""
        self.set_class(False, *[f"show-{other}" for other in PANES])
        self.add_class(f"show-{pane}")
        if pane == "deltas":
            self.call_after_refresh(self.query_one(Deltas).focus)

    def _turn(self, chosen: str, all_of: tuple[str, ...], steps: int) -> str:
        self.call_after_refresh(self.draw)
        return all_of[(all_of.index(chosen) + steps) % len(all_of)]

    def action_next_model(self, steps: int = 1) -> None:
        """Show another model; the table's cursor goes along."""
        plan = self.source.state.header.plan
        model = self._turn(self.pointed.model, plan.models, steps)
        self.pointed = next(variant for variant in plan.variants() if variant.model == model)
        self.query_one(Deltas).show_variant(self.pointed)

    def action_previous_model(self) -> None:
        """Show the model before."""
        self.action_next_model(-1)

    def action_next_set(self, steps: int = 1) -> None:
        """Show another OOD set."""
        self.ood_set = self._turn(self.ood_set, self.source.state.header.plan.ood_sets, steps)

    def action_previous_set(self) -> None:
        """Show the OOD set before."""
        self.action_next_set(-1)

    def action_next_score(self) -> None:
        """Draw the curves of another score; the table stays with the headline score."""
        self.score = self._turn(self.score, self.source.state.header.plan.scores, 1)
        if (
            self.source.state.rows
            and self.source.rows() is None
            and self.score != self.source.state.header.plan.headline
        ):
            label = catalog.label_of(self.score)
            self.notify(f"The score arrays are not there, so {label} has no curves.", severity="warning")

    def action_next_measure(self) -> None:
        """Show another measure in the delta table."""
        self.measure = (self.measure + 1) % len(MEASURES)
        self.draw(curves=False)

    def action_toggle_relative(self) -> None:
        """Show deltas in points or relative to FP32."""
        self.relative = not self.relative
        self.draw(curves=False)

    def action_next_view(self) -> None:
        """Draw ROC curves, ROC curves over a logarithmic axis, or precision over recall."""
        views = list(View)
        self.view = views[(views.index(self.view) + 1) % len(views)]
        self.draw()

    def action_show_bits(self) -> None:
        """Show the bit table of the variant under the cursor, or of the next quantized one."""
        state = self.source.state
        keys = [variant.key for variant in state.header.plan.variants()]
        first = keys.index(self.pointed.key)
        key = next((key for key in keys[first:] if key in state.bits), None)
        if key is None:
            self.notify("No variant from here on has a bit table at this moment.")
        else:
            self.app.push_screen(BitsScreen(state.bits[key]))

    def action_show_number(self) -> None:
        """Show definition, source, counts, interval and test of the number under the cursor."""
        state, measure, session = self.source.state, MEASURES[self.measure], self.source.session.name
        self.app.push_screen(NumberScreen(state, self.pointed, self.ood_set, measure, session))

    def action_show_curves(self) -> None:
        """Show the curves."""
        self.set_class(bool(getattr(self.app, "ascii_only", False)), "ascii")
        self.show_pane("curves")

    def action_show_deltas(self) -> None:
        """Show the delta table."""
        self.show_pane("deltas")

    def action_show_engine(self) -> None:
        """Show engine and log."""
        self.show_pane("engine")

    def action_toggle_maximise(self) -> None:
        """Give the chosen pane the whole screen, or take it back."""
        self.toggle_class("maximised")

    @on(Deltas.Moved)
    def follow_cursor(self, event: Deltas.Moved) -> None:
        """Show the curves of the model and calibration draw under the table's cursor."""
        before, self.pointed = self.pointed, event.variant
        if (before.model, before.draw) != (self.pointed.model, self.pointed.draw):
            self.draw()
