"""The screen of a replay."""

from __future__ import annotations

from textual import on

from engine.errors import InputError
from engine.text import counted
from qood_tui.panes.status_line import StatusLine
from qood_tui.screens.dialogs.prompt import Prompt
from qood_tui.screens.session import SessionScreen
from qood_tui.settings.bindings import bindings
from qood_tui.state.markers import Kind, of_kind
from qood_tui.state.sources import ReplaySource, seconds_of
from qood_tui.words import clean, duration

SEEK_SECONDS = 5.0


class ReplayScreen(SessionScreen):
    """The session screen with a player's actions."""

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
        """Go forward some seconds."""
        self._seek(self.player.position + SEEK_SECONDS)

    def action_to_start(self) -> None:
        """Go to the start."""
        self._seek(0.0)

    def action_to_end(self) -> None:
        """Go to the end."""
        self._seek(self.player.length)

    def action_step_back(self) -> None:
        """Go back one event."""
        self.player.step(-1)
        self.draw()

    def action_step_forward(self) -> None:
        """Go forward one event."""
        self.player.step(1)
        self.draw()

    def action_next_marker(self, steps: int = 1) -> None:
        """Go to the next marker of the chosen kind."""
        if self.player.jump(steps) is None:
            direction = "next" if steps > 0 else "previous"
            of_kind = "" if self.player.kind is Kind.ALL else f" (only {self.player.kind.value})"
            self.notify(f"No {direction} mark{of_kind}.")
        self.draw()

    def action_previous_marker(self) -> None:
        """Go to the previous marker of the chosen kind."""
        self.action_next_marker(-1)

    def action_marker_kind(self) -> None:
        """Choose which markers to jump to."""
        kinds = list(Kind)
        self.player.kind = kinds[(kinds.index(self.player.kind) + 1) % len(kinds)]
        count = len(of_kind(self.player.markers, self.player.kind))
        self.app.clear_notifications()
        self.notify(f"Jumping to {self.player.kind.value}: {counted(count, 'mark')}.", timeout=3)

    def action_go_to_time(self) -> None:
        """Ask for a time and go there."""
        text = f"Seconds, 1:23, 50% or end. The session ends at {duration(self.player.ends)}."
        self.app.push_screen(Prompt("Go to a time", text, placeholder="1:23"), self._go_to)

    def _go_to(self, time: str | None) -> None:
        if time is None:
            return
        try:
            self.player.seek_time(seconds_of(time, self.player.ends))
        except InputError as error:
            self.notify(clean(str(error)), severity="warning", markup=False)
        self.draw()

    def action_no_cancel(self) -> None:
        """Say that nothing is running."""
        self.notify("Nothing to stop: this is a replay.")

    def action_slower(self) -> None:
        """Halve the speed."""
        self.player.faster(-1)
        self.draw_top()

    def action_faster(self) -> None:
        """Double the speed."""
        self.player.faster(1)
        self.draw_top()

    @on(StatusLine.Sought)
    def seek_share(self, event: StatusLine.Sought) -> None:
        """Go to the clicked place of the timeline."""
        self._seek(self.player.length * event.share)

    def _seek(self, position: float) -> None:
        self.player.seek(position)
        self.draw()
