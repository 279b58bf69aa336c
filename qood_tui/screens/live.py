"""A session that is being swept."""

from __future__ import annotations

from engine import client
from engine.protocol import SessionClosed
from qood_tui import actions
from qood_tui.screens.session import SessionScreen
from qood_tui.sources import LiveSource
from qood_tui.words import clean


class LiveScreen(SessionScreen):
    """The session screen with what can be done to a running sweep."""

    BINDINGS = actions.bindings(actions.LIVE)

    def __init__(self, source: LiveSource) -> None:
        super().__init__(source)
        self._told: SessionClosed | None = None

    def draw(self, *, curves: bool = True) -> None:
        """Draw, and say in full why a session ended, if it did not as it should."""
        super().draw(curves=curves)
        closed = self.source.state.closed
        if closed is not None and closed.outcome in ("failed", "refused") and closed is not self._told:
            self._told = closed
            self.notify(clean(closed.reason), severity="error", timeout=60, markup=False)

    def action_cancel(self) -> None:
        """Stop the sweep."""
        if self.source.state.closed:
            self.notify("This session has ended already.")
            return
        self.notify("Stopping; what is finished is kept.")
        session = self.source.session
        self.run_worker(lambda: client.cancel(session), thread=True)
