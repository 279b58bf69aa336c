"""A session that is being swept."""

from __future__ import annotations

from engine import client
from qood_tui import actions
from qood_tui.screens.session import SessionScreen
from qood_tui.sources import LiveSource


class LiveScreen(SessionScreen):
    """The session screen with what can be done to a running sweep."""

    BINDINGS = actions.bindings(actions.LIVE)

    def __init__(self, source: LiveSource) -> None:
        super().__init__(source)

    def action_cancel(self) -> None:
        """Stop the sweep."""
        if self.source.state.closed:
            self.notify("This session has ended already.")
            return
        self.notify("Stopping; what is finished is kept.")
        session = self.source.session
        self.run_worker(lambda: client.cancel(session), thread=True)
