"""The terminal application."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text
from textual import on
from textual.app import App

from engine.errors import QoodError
from engine.journal import is_being_written
from engine.plan import Plan
from engine.resources import Resources
from qood_tui import actions
from qood_tui.defects import keep_traceback
from qood_tui.screens.help import HelpScreen
from qood_tui.screens.live import LiveScreen
from qood_tui.screens.replay import ReplayScreen
from qood_tui.screens.session import SessionScreen
from qood_tui.screens.setup import SetupScreen
from qood_tui.sources import LiveSource, ReplaySource


class QoodApp(App[None]):
    """Begin with the set-up screen, or with a session where one is given."""

    TITLE = "qood-tui"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS = actions.bindings(actions.EVERYWHERE, prefix="app.")

    def __init__(
        self,
        session: Path | None = None,
        *,
        speed: float | None = None,
        at: float | None = None,
        plan: Plan | None = None,
        resources: Resources | None = None,
        root: Path | None = None,
        ascii_only: bool = False,
    ) -> None:
        super().__init__()
        self.session, self.speed, self.at = session, speed, at
        self.plan, self.resources, self.root = plan, resources or Resources(), root
        self.ascii_only = ascii_only

    def on_mount(self) -> None:
        """Open the first screen."""
        if self.session is not None:
            self.open_session(self.session)
        else:
            self._open_setup()

    def open_session(self, session: Path, *, live: bool | None = None) -> None:
        """Show a session: live while it is written, else as a replay."""
        try:
            if live is None:
                live = is_being_written(session)
            screen = LiveScreen(LiveSource(session)) if live else self._replay(session)
        except QoodError as error:
            self.notify(str(error), severity="error", timeout=10, markup=False)
            return
        self.push_screen(screen)

    def _replay(self, session: Path) -> ReplayScreen:
        source = ReplaySource(session)
        source.speed = self.speed or source.speed
        if self.at is not None:
            source.seek(self.at)
            source.playing = False
        return ReplayScreen(source)

    def _open_setup(self) -> None:
        self.push_screen(SetupScreen(self.plan, self.resources, root=self.root))

    @on(SetupScreen.Opened)
    def show_opened(self, event: SetupScreen.Opened) -> None:
        """Show a session that was started or chosen."""
        self.open_session(event.session, live=event.live)

    def _fatal_error(self) -> None:
        """Keep the traceback of a defect in a log instead of writing it over the user's screen."""
        running = "; a running sweep goes on, 'qood-tui sessions' lists it"
        self.panic(Text(f"qood-tui: {keep_traceback()}{running}"))

    async def action_quit(self) -> None:
        """Leave; say that a sweep goes on, if one does."""
        running = [
            s.source for s in self.screen_stack if isinstance(s, LiveScreen) and not s.source.state.closed
        ]
        told = [f"The sweep goes on in the background: {source.session}" for source in running]
        hint = ["Open it again with qood-tui (l lists sessions), end it with qood-tui stop."] if told else []
        self.exit(message=Text("\n".join(told + hint)) if told else None)

    def action_help(self) -> None:
        """Show all keys."""
        self.push_screen(HelpScreen())

    def action_close(self) -> None:
        """Go back one screen; from the first one, nowhere."""
        if len(self.screen_stack) > 2:
            self.pop_screen()
        elif self.session is not None and isinstance(self.screen, SessionScreen):
            self.exit()
