"""A session that is being swept."""

from __future__ import annotations

from engine.protocol.events import SessionClosed
from engine.service import client
from qood_tui.screens.dialogs.dialog import Question
from qood_tui.screens.session import SessionScreen
from qood_tui.settings.bindings import bindings
from qood_tui.state.sources import LiveSource
from qood_tui.words import clean


class LiveScreen(SessionScreen):
    """The session screen with what can be done to a running sweep."""

    GROUPS = ("Session", "While a sweep runs")
    BINDINGS = bindings("While a sweep runs")

    def __init__(self, source: LiveSource) -> None:
        super().__init__(source)
        self.live = source
        self._told: SessionClosed | None = None

    def draw_top(self) -> None:
        """Draw, and say in full why a session ended, if it did not as it should."""
        super().draw_top()
        closed = self.source.state.closed
        if closed is not None and closed.outcome in ("failed", "refused") and closed is not self._told:
            self._told = closed
            self.notify(clean(closed.reason), severity="error", timeout=60, markup=False)

    def action_pause(self) -> None:
        """Hold the screen still, or show what happened meanwhile."""
        if self.source.state.closed and not self.live.paused:
            self.notify("This session has ended: nothing moves any more.")
            return
        self.live.paused = not self.live.paused
        self.live.tick(0.0)
        self.draw()

    def action_cancel(self) -> None:
        """Stop the sweep, if the user is sure."""
        state = self.source.state
        if state.closed:
            self.notify("This session has ended already.")
            return
        words = f"Stop the sweep after {state.rows:,} of {state.total:,} images? What is finished is kept."
        self.app.push_screen(Question(words, "Stop it"), self._cancel)

    def _cancel(self, is_sure: bool | None) -> None:
        if is_sure:
            session = self.source.session
            self.notify("Stopping; what is finished is kept.")
            self.run_worker(lambda: client.cancel(session), thread=True)
