"""The screen of a session that is being swept."""

from __future__ import annotations

from engine.protocol.events import SessionClosed
from engine.service import client
from qood_tui.screens.dialogs.dialog import Question
from qood_tui.screens.session import SessionScreen
from qood_tui.settings.bindings import bindings
from qood_tui.state.sources import LiveSource
from qood_tui.words import clean


class LiveScreen(SessionScreen):
    """The session screen with the actions for a running sweep."""

    GROUPS = ("Session", "While a sweep runs")
    BINDINGS = bindings("While a sweep runs")

    def __init__(self, source: LiveSource) -> None:
        super().__init__(source)
        self.live = source
        self._notified: SessionClosed | None = None

    def draw_top(self) -> None:
        """Draw, and show the full reason once if the session failed."""
        super().draw_top()
        closed = self.source.state.closed
        if closed is not None and closed.outcome in ("failed", "refused") and closed is not self._notified:
            self._notified = closed
            self.notify(clean(closed.reason), severity="error", timeout=60, markup=False)

    def action_pause(self) -> None:
        """Freeze the screen, or show what has happened since."""
        if self.source.state.closed and not self.live.paused:
            self.notify("This session has ended.")
            return
        self.live.paused = not self.live.paused
        self.live.tick(0.0)
        self.draw()

    def action_cancel(self) -> None:
        """Stop the sweep after a question."""
        state = self.source.state
        if state.closed:
            self.notify("This session has already ended.")
            return
        text = f"Stop the sweep after {state.rows:,} of {state.total:,} images? Finished work is kept."
        self.app.push_screen(Question(text, "Stop"), self._cancel)

    def _cancel(self, is_sure: bool | None) -> None:
        if is_sure:
            session = self.source.session
            self.notify("Stopping; finished work is kept.")
            self.run_worker(lambda: client.cancel(session), thread=True)
