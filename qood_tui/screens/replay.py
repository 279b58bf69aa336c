"""A recorded session that is played again."""

from __future__ import annotations

from textual import on

from qood_tui.bindings import bindings
from qood_tui.screens.session import SessionScreen
from qood_tui.sources import ReplaySource
from qood_tui.widgets.status import Status

SEEK_SECONDS = 5.0


class ReplayScreen(SessionScreen):
    """The session screen with the keys of a player."""

    GROUPS = ("Session", "Replay")
    BINDINGS = bindings("Replay")

    def __init__(self, source: ReplaySource) -> None:
        super().__init__(source)
        self.player = source

    def action_toggle_play(self) -> None:
        """Play or pause."""
        self.player.toggle()
        self.draw()

    def action_back(self) -> None:
        """Go back some seconds."""
        self._seek(self.player.position - SEEK_SECONDS)

    def action_forward(self) -> None:
        """Go on some seconds."""
        self._seek(self.player.position + SEEK_SECONDS)

    def action_to_start(self) -> None:
        """Go to the start."""
        self._seek(0.0)

    def action_to_end(self) -> None:
        """Go to the end."""
        self._seek(self.player.length)

    def action_step_back(self) -> None:
        """Go one event back."""
        self.player.step(-1)
        self.draw()

    def action_step_forward(self) -> None:
        """Go one event on."""
        self.player.step(1)
        self.draw()

    def action_slower(self) -> None:
        """Play more slowly."""
        self.player.faster(-1)
        self.draw_top()

    def action_faster(self) -> None:
        """Play faster."""
        self.player.faster(1)
        self.draw_top()

    @on(Status.Sought)
    def seek_share(self, event: Status.Sought) -> None:
        """Go where the timeline was clicked."""
        self._seek(self.player.length * event.share)

    def _seek(self, position: float) -> None:
        self.player.seek(position)
        self.draw()
