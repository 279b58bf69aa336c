"""The session screen: panes of one session, whatever its source."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import msgspec
from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.containers import Container

from qood_tui.panes.base import Pane, PaneInput, ScrollingPane
from qood_tui.panes.curves import CurvesPane
from qood_tui.panes.deltas import DeltasPane
from qood_tui.panes.layout import NAMES, PANES, SLOTS, in_sight
from qood_tui.panes.status_line import StatusLine
from qood_tui.plot.palette import LIGHT
from qood_tui.screens.dialogs.export import ExportScreen, Form
from qood_tui.screens.dialogs.number import NumberScreen
from qood_tui.screens.session_actions import SessionActions
from qood_tui.screens.sessions import SessionsScreen
from qood_tui.settings.bindings import bindings
from qood_tui.state import findings
from qood_tui.state.delta_table import table
from qood_tui.state.sources import Source
from qood_tui.state.table_export import TABLES, as_svg, as_text
from qood_tui.widgets.entry import TextEntry
from qood_tui.widgets.lines import Lines
from qood_tui.widgets.strips import Strip, StripPart

TICK = 0.25  # seconds between two looks at the journal
BYTES_PER_SECOND = 6000  # what panes may write while a session moves: lines can be thin
MANY_IMAGES = 20_000  # from which curves take longer than a key may
TABLE_TICKS, CURVE_TICKS = 2, 4  # tables and figures are drawn again at most every so many ticks


class SessionScreen(SessionActions):
    """Show a source; every pane is a function of its state and of how it is looked at."""

    CSS_PATH = "../styles/session.tcss"
    AUTO_FOCUS = ""
    GROUPS: ClassVar[tuple[str, ...]] = ("Session",)
    BINDINGS = bindings("Session")

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self.chosen = DeltasPane.NAME
        self.recent = {slot: tuple(p.NAME for p in PANES if slot == p.SLOT) for slot in SLOTS}
        self.is_maximised = False
        self._ticks = 0
        self._allowed = 0.0
        self._stale: set[str] = set()

    def contents(self) -> ComposeResult:
        """Lay out the panes; the style sheet says how large each slot is."""
        yield StatusLine(id="status")
        yield Strip(id="tabs")
        with Container(id="panes"):
            for slot in SLOTS:
                with Container(id=slot):
                    for pane in PANES:
                        if slot == pane.SLOT:
                            yield pane()
        yield TextEntry(
            placeholder="parts of a variant's name, such as: deit w4; enter keeps, escape clears", id="filter"
        )

    def on_mount(self) -> None:
        """Begin to look at the source."""
        self.query_one("#filter").display = False
        self.choose(self.chosen)
        self.source.tick(0.0)
        self.set_interval(TICK, self._tick)

    def in_brief(self, width: int) -> list[Text]:
        """Return the findings for a terminal that shows no more."""
        return findings.in_brief(self.source.state, width)

    def panes(self) -> list[Pane]:
        """Return the panes that are in sight."""
        return [pane for pane in self.query(Pane) if pane.display]

    # What is drawn, and when

    @on(Lines.Resized)
    def fit(self) -> None:
        """Draw for the new size."""
        self.draw()

    @on(events.Resize)
    def refit(self) -> None:
        """Show the panes for which there is room now."""
        self.lay_out()

    @on(ScrollingPane.Scrolled)
    def scroll(self, event: ScrollingPane.Scrolled) -> None:
        """Show another part of a pane."""
        self.draw_pane(event.pane)

    @on(events.ScreenResume)
    def resumed(self) -> None:
        """Show what happened meanwhile."""
        self.draw()

    def _tick(self) -> None:
        changed = self.source.tick(TICK)
        self._ticks += 1
        if changed:
            self._stale.update(NAMES)
        if not self.is_current:
            return
        if changed or self.source.is_moving:
            self.draw_top()
        self._allowed = min(self._allowed + BYTES_PER_SECOND * TICK, BYTES_PER_SECOND)
        is_due = {True: self._ticks % CURVE_TICKS == 0, False: self._ticks % TABLE_TICKS == 0}
        curves = self.query_one(CurvesPane)
        first = curves.display and not curves.has_curves
        for pane in self.panes():
            if pane.NAME in self._stale and self._allowed > 0 and (is_due[pane.IS_COSTLY] or first):
                before = pane.sent
                self.draw_pane(pane)
                self._allowed -= pane.sent - before

    def draw(self) -> None:
        """Draw everything that is in sight."""
        if not self.is_mounted or not self.is_current:
            return
        with self.app.batch_update():
            self.draw_frame()
            self.draw_top()
            self._stale.update(NAMES)
            for pane in self.panes():
                self.draw_pane(pane)

    def draw_top(self) -> None:
        """Draw status and tabs."""
        self.query_one(StatusLine).draw(self.source)
        if self.has_class("-tiny"):
            self.draw_frame()

    def draw_pane(self, pane: Pane) -> None:
        """Draw one pane."""
        self._stale.discard(pane.NAME)
        pane.draw(PaneInput(self.source.state, self.look, self.source.rows))

    def draw_tabs(self) -> None:
        """Show all panes by key, those in sight underlined and the chosen one reversed."""
        seen = {pane.NAME for pane in self.panes()}
        styles = dict.fromkeys(seen, "underline") | {self.chosen: "reverse"}
        parts = [
            StripPart(str(place), pane.LABEL, f"pane_{pane.NAME}", styles.get(pane.NAME, "dim"))
            for place, pane in enumerate(PANES, 1)
        ]
        self.query_one("#tabs", Strip).draw(parts)

    # Which panes are in sight

    def choose(self, name: str) -> None:
        """Bring a pane into sight and into focus."""
        slot = next(pane.SLOT for pane in PANES if name == pane.NAME)
        if name not in in_sight(*self.app.size, name, self.recent, maximised=False) or name != self.chosen:
            self.recent[slot] = (name, *(other for other in self.recent[slot] if other != name))
        self.chosen = name
        self.lay_out()
        self.query_one(f"#{name}").focus()

    def lay_out(self) -> None:
        """Show the panes that there is room for."""
        if not self.query(Pane):
            return
        columns, lines = self.app.size
        seen = in_sight(columns, lines, self.chosen, self.recent, maximised=self.is_maximised)
        with self.app.batch_update():
            for pane in self.query(Pane):
                pane.display = pane.NAME in seen
            for slot in SLOTS:
                self.query_one(f"#{slot}").display = any(slot == p.SLOT and p.NAME in seen for p in PANES)
            self.draw_tabs()
        self.call_after_refresh(self.draw)

    def action_pane(self, name: str) -> None:
        """Choose a pane by its key or tab."""
        self.choose(name)

    @on(events.DescendantFocus)
    def follow_focus(self, event: events.DescendantFocus) -> None:
        """Make the pane that has the focus the chosen one."""
        if isinstance(event.widget, Pane) and self.chosen != event.widget.NAME:
            self.chosen = event.widget.NAME
            self.draw_tabs()

    def action_toggle_maximise(self) -> None:
        """Give the chosen pane the whole screen, or take it back."""
        self.is_maximised = not self.is_maximised
        self.set_class(self.is_maximised, "maximised")
        self.lay_out()

    def turn(self, **changes: Any) -> None:
        """Look at it in another way; of many images, figures are drawn after the rest is on the screen."""
        self.look = msgspec.structs.replace(self.look, **changes)
        self._stale.update(NAMES)
        at_once = self.source.state.rows <= MANY_IMAGES
        with self.app.batch_update():
            for pane in self.panes():
                if at_once or not pane.IS_COSTLY:
                    self.draw_pane(pane)
        if not at_once:
            self.call_after_refresh(self._draw_stale)

    def _draw_stale(self) -> None:
        for pane in self.panes():
            if pane.NAME in self._stale:
                self.draw_pane(pane)

    # Other screens

    def action_show_number(self) -> None:
        """Show definition, source, counts, interval and test of the number under the cursor."""
        look = self.look
        self.app.push_screen(
            NumberScreen(
                self.source.state, look.pointed, look.ood_set, look.measure, self.source.session.name
            )
        )

    def action_compare(self) -> None:
        """Choose a session to compare this one with."""
        self.app.push_screen(SessionsScreen(self.source.session))

    def action_copy(self) -> None:
        """Copy the chosen pane as text."""
        pane = self.query_one(f"#{self.chosen}", Pane)
        text = "\n".join(pane.plain(line.plain).rstrip() for line in pane.whole())
        self.app.copy_to_clipboard(text)
        self.notify(f"Copied the pane {pane.LABEL}: {len(pane.whole())} lines.")

    def action_export(self) -> None:
        """Ask what to save or copy, in which form."""
        pane = self.query_one(f"#{self.chosen}", Pane)
        found, name = table(self.source.state, self.look), pane.LABEL.lower()
        lines, width, title = pane.whole(), pane.inner.width, f"{pane.LABEL} · {self.source.session.name}"
        is_light = pane.ink is LIGHT
        forms = [
            Form(
                f"{name} as SVG", f"-{pane.NAME}.svg", lambda: as_svg(lines, width, title, is_light=is_light)
            ),
            Form(f"{name} as text", f"-{pane.NAME}.txt", lambda: as_text(lines)),
            *(
                Form(f"delta table as {label}", f"-table.{suffix}", partial(make, found))
                for suffix, (label, make) in TABLES.items()
            ),
        ]
        self.app.push_screen(ExportScreen(forms, self.source.session.name))
