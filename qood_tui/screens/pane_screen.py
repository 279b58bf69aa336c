"""A screen of panes: which of them are visible, and when each of them is drawn."""

from __future__ import annotations

from typing import Any

import msgspec
from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.containers import Container

from qood_tui.panes.base import Pane, PaneInput, ScrollingPane
from qood_tui.panes.curves import CurvesPane
from qood_tui.panes.deltas import DeltasPane
from qood_tui.panes.layout import NAMES, PANES, SLOTS, visible_panes
from qood_tui.panes.status_line import StatusLine
from qood_tui.screens.base import BaseScreen
from qood_tui.state import findings
from qood_tui.state.sources import SessionSource
from qood_tui.state.view_options import ViewOptions
from qood_tui.widgets.entry import TextEntry
from qood_tui.widgets.lines import Lines
from qood_tui.widgets.strips import Strip, StripPart

TICK = 0.25  # seconds between two reads of the journal
BYTES_PER_SECOND = 6000  # that panes may write while a session moves: an SSH line can be slow
MANY_IMAGES = 20_000  # from which curves take longer to draw than a key may
TABLE_TICKS, CURVE_TICKS = 2, 4  # ticks between two redraws of tables, and of figures


class PaneScreen(BaseScreen[None]):
    """Show a source in panes; each pane is a function of the source's state and of the view options."""

    CSS_PATH = "../styles/session.tcss"
    AUTO_FOCUS = ""

    def __init__(self, source: SessionSource) -> None:
        super().__init__()
        self.source = source
        self.options = ViewOptions.at(source.state.header.plan)
        self.current_pane = DeltasPane.NAME
        self.recent = {slot: tuple(p.NAME for p in PANES if slot == p.SLOT) for slot in SLOTS}
        self.is_maximised = False
        self._ticks = 0
        self._byte_budget = 0.0
        self._stale: set[str] = set()

    def contents(self) -> ComposeResult:
        """Lay out the panes; the style sheet sizes their slots."""
        yield StatusLine(id="status")
        yield Strip(id="tabs")
        with Container(id="panes"):
            for slot in SLOTS:
                with Container(id=slot):
                    for pane in PANES:
                        if slot == pane.SLOT:
                            yield pane()
        placeholder = "parts of a variant's name, e.g. deit w4; enter keeps the filter, escape clears it"
        yield TextEntry(placeholder=placeholder, id="filter")

    def on_mount(self) -> None:
        """Start following the source."""
        self.query_one("#filter").display = False
        self.focus_pane(self.current_pane)
        self.source.tick(0.0)
        self.set_interval(TICK, self._tick)

    def in_brief(self, width: int) -> list[Text]:
        """Return the findings for a terminal too small for panes."""
        return findings.in_brief(self.source.state, width)

    def set_options(self, **changes: Any) -> None:
        """Change view options; for many images, figures are drawn after everything else."""
        self.options = msgspec.structs.replace(self.options, **changes)
        self._stale.update(NAMES)
        is_quick = self.source.state.rows <= MANY_IMAGES
        with self.app.batch_update():
            for pane in self.panes():
                if is_quick or not pane.IS_COSTLY:
                    self.draw_pane(pane)
        if not is_quick:
            self.call_after_refresh(self._draw_stale)

    # When panes are drawn

    @on(Lines.Resized)
    def fit(self) -> None:
        """Draw for the new size."""
        self.draw()

    @on(ScrollingPane.Scrolled)
    def scroll(self, event: ScrollingPane.Scrolled) -> None:
        """Show another part of a pane."""
        self.draw_pane(event.pane)

    @on(events.ScreenResume)
    def resumed(self) -> None:
        """Show what happened while another screen was on top."""
        self.draw()

    def _tick(self) -> None:
        """Read the source, and redraw what is due within the byte budget."""
        changed = self.source.tick(TICK)
        self._ticks += 1
        if changed:
            self._stale.update(NAMES)
        if not self.is_current:
            return
        if changed or self.source.is_moving:
            self.draw_top()
        self._byte_budget = min(self._byte_budget + BYTES_PER_SECOND * TICK, BYTES_PER_SECOND)
        is_due = {True: self._ticks % CURVE_TICKS == 0, False: self._ticks % TABLE_TICKS == 0}
        curves = self.query_one(CurvesPane)
        is_first = curves.display and not curves.has_curves
        for pane in self.panes():
            if pane.NAME in self._stale and self._byte_budget > 0 and (is_due[pane.IS_COSTLY] or is_first):
                before = pane.sent
                self.draw_pane(pane)
                self._byte_budget -= pane.sent - before

    def draw(self) -> None:
        """Draw everything that is visible."""
        if not self.is_mounted or not self.is_current:
            return
        with self.app.batch_update():
            self.draw_frame()
            self.draw_top()
            self._stale.update(NAMES)
            for pane in self.panes():
                self.draw_pane(pane)

    def draw_top(self) -> None:
        """Draw the status."""
        self.query_one(StatusLine).draw(self.source)
        if self.has_class("-tiny"):
            self.draw_frame()

    def draw_pane(self, pane: Pane) -> None:
        """Draw one pane."""
        self._stale.discard(pane.NAME)
        pane.draw(PaneInput(self.source.state, self.options, self.source.rows))

    def _draw_stale(self) -> None:
        for pane in self.panes():
            if pane.NAME in self._stale:
                self.draw_pane(pane)

    def draw_tabs(self) -> None:
        """Show all panes by key: visible ones underlined, the focused one reversed."""
        visible = {pane.NAME for pane in self.panes()}
        styles = dict.fromkeys(visible, "underline") | {self.current_pane: "reverse"}
        actions = {pane.NAME: pane.action for pane in self.query(Pane)}
        parts = [
            StripPart(
                self.key_of(actions[name]), actions[name].label, f"pane_{name}", styles.get(name, "dim")
            )
            for name in NAMES
        ]
        self.query_one("#tabs", Strip).draw(parts)

    # Which panes are visible

    def panes(self) -> list[Pane]:
        """Return the visible panes."""
        return [pane for pane in self.query(Pane) if pane.display]

    def focus_pane(self, name: str) -> None:
        """Show and focus a pane."""
        slot = next(pane.SLOT for pane in PANES if name == pane.NAME)
        visible = visible_panes(*self.app.size, name, self.recent, maximised=False)
        if name not in visible or name != self.current_pane:
            self.recent[slot] = (name, *(other for other in self.recent[slot] if other != name))
        self.current_pane = name
        self.lay_out()
        self.query_one(f"#{name}").focus()

    def ensure_visible(self, *names: str) -> None:
        """Show the first of some panes unless one of them is visible."""
        if not any(self.query_one(f"#{name}").display for name in names):
            self.focus_pane(names[0])

    @on(events.Resize)
    def lay_out(self) -> None:
        """Show as many panes as fit."""
        if not self.query(Pane):
            return
        columns, lines = self.app.size
        visible = visible_panes(columns, lines, self.current_pane, self.recent, maximised=self.is_maximised)
        with self.app.batch_update():
            for pane in self.query(Pane):
                pane.display = pane.NAME in visible
            for slot in SLOTS:
                self.query_one(f"#{slot}").display = any(slot == p.SLOT and p.NAME in visible for p in PANES)
            self.draw_tabs()
        self.call_after_refresh(self.draw)

    @on(events.DescendantFocus)
    def follow_focus(self, event: events.DescendantFocus) -> None:
        """Make the focused pane the current one."""
        if isinstance(event.widget, Pane) and self.current_pane != event.widget.NAME:
            self.current_pane = event.widget.NAME
            self.draw_tabs()

    def action_pane(self, name: str) -> None:
        """Show a pane by its key or tab."""
        self.focus_pane(name)

    def action_toggle_maximise(self) -> None:
        """Give the current pane the whole screen, or restore the layout."""
        self.is_maximised = not self.is_maximised
        self.set_class(self.is_maximised, "maximised")
        self.lay_out()
