"""The terminal application."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from rich.text import Text
from textual import on
from textual.app import App, SystemCommand
from textual.command import CommandPalette
from textual.screen import Screen
from textual.scrollbar import ScrollBar, ScrollBarRender

from engine.errors import QoodError
from engine.plan.plan import Plan
from engine.plan.resources import Resources
from engine.session.session import place_at
from qood_tui.defects import keep_traceback
from qood_tui.screens.base import BaseScreen
from qood_tui.screens.compare import CompareScreen
from qood_tui.screens.dialogs.help import HelpScreen
from qood_tui.screens.live import LiveScreen
from qood_tui.screens.replay import ReplayScreen
from qood_tui.screens.session import SessionScreen
from qood_tui.screens.sessions import SessionsScreen
from qood_tui.screens.setup import SetupScreen
from qood_tui.settings.actions import GROUPS, key_names
from qood_tui.settings.bindings import bindings
from qood_tui.settings.config import Config, keymap
from qood_tui.state.sources import LiveSource, ReplaySource

THEMES = {"dark": "textual-dark", "light": "textual-light", "terminal": "ansi-dark"}
LIGHT_BACKGROUNDS = ("7", "15")  # in COLORFGBG


class PlainScrollBar(ScrollBarRender):
    """A scroll bar without characters, for ASCII-only terminals."""

    VERTICAL_BARS = HORIZONTAL_BARS = [" "] * 8


class QoodApp(App[None]):
    """Open the set-up screen, or the given sessions."""

    TITLE = "qood-tui"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS = bindings("Everywhere", prefix="app.")
    CSS = "ToastRack { dock: top; align: right top; margin-top: 4; }"  # the status stays visible

    def __init__(
        self,
        session: Path | None = None,
        *,
        others: tuple[Path, ...] = (),
        speed: float | None = None,
        at: float | None = None,
        plan: Plan | None = None,
        resources: Resources | None = None,
        root: Path | None = None,
        ascii_only: bool = False,
        config: Config | None = None,
    ) -> None:
        super().__init__()
        self.config = config or Config()
        self.session, self.others, self.speed, self.at = session, others, speed, at
        self.plan, self.resources, self.root = plan, resources or Resources(), root
        self.ascii_only = ascii_only or self.config.ascii
        ScrollBar.renderer = PlainScrollBar if self.ascii_only else ScrollBarRender
        self.keys = keymap(self.config)
        self.set_keymap(self.keys)
        self.theme = THEMES[preferred_theme(self.config)]

    def on_mount(self) -> None:
        """Open the first screen."""
        if self.session is not None and self.others:
            self.compare((self.session, *self.others))
        elif self.session is not None:
            self.open_session(self.session)
        else:
            self.push_screen(SetupScreen(self.plan, self.resources, root=self.root))

    def open_session(self, session: Path, *, live: bool | None = None) -> None:
        """Show a session: live if it is being written, otherwise as a replay."""
        try:
            if live is None:
                live = place_at(session).is_being_written()
            screen = LiveScreen(LiveSource(session)) if live else self._replay(session)
        except QoodError as error:
            self.notify(str(error), severity="error", timeout=10, markup=False)
            return
        self.push_screen(screen)

    def compare(self, sessions: tuple[Path, ...]) -> None:
        """Show sessions side by side."""
        try:
            screen = CompareScreen(sessions)
        except QoodError as error:
            self.notify(str(error), severity="error", timeout=10, markup=False)
            return
        self.push_screen(screen)

    def _replay(self, session: Path) -> ReplayScreen:
        source = ReplaySource(session)
        source.speed = self.speed or source.speed
        if self.at is not None:
            source.seek_time(self.at)
            source.playing = False
        return ReplayScreen(source)

    @on(SetupScreen.Opened)
    def show_opened(self, event: SetupScreen.Opened) -> None:
        """Show a session that was started."""
        self.open_session(event.session, live=event.live)

    @on(SessionsScreen.Chosen)
    def show_chosen(self, event: SessionsScreen.Chosen) -> None:
        """Show the sessions chosen from the list."""
        if len(event.sessions) > 1:
            self.compare(event.sessions)
        else:
            self.open_session(event.sessions[0])

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Offer the actions of the current screen in the palette."""
        groups = (*screen.GROUPS, "Everywhere") if isinstance(screen, BaseScreen) else ("Everywhere",)
        for group in groups:
            for action in GROUPS[group]:
                if action.id != "command_palette":
                    keys = key_names(self.keys.get(action.id, action.keys))
                    run = _runner(screen, action.id)
                    yield SystemCommand(
                        f"{action.label} ({keys})" if keys else action.label, action.help, run
                    )

    def _fatal_error(self) -> None:
        """Write the traceback of a defect to a log instead of the user's screen."""
        running = "; a running sweep continues, 'qood-tui sessions' lists it"
        self.panic(Text(f"qood-tui: {keep_traceback()}{running}"))

    def action_command_palette(self) -> None:
        """Find an action by name; without an id, as the previous palette may still be closing."""
        if not any(isinstance(screen, CommandPalette) for screen in self.screen_stack):
            self.push_screen(CommandPalette())

    async def action_quit(self) -> None:
        """Quit, and say whether a sweep continues."""
        running = [
            s.source for s in self.screen_stack if isinstance(s, LiveScreen) and not s.source.state.closed
        ]
        lines = [f"The sweep continues in the background: {source.session}" for source in running]
        hint = "Run qood-tui and press l to open it again; qood-tui stop ends it."
        self.exit(message=Text("\n".join([*lines, hint])) if lines else None)

    def action_help(self) -> None:
        """Show all keys, and run the action chosen there."""
        screen = self.screen
        groups = screen.GROUPS if isinstance(screen, BaseScreen) else ()

        async def run(identity: str | None) -> None:
            if identity is not None:
                await _runner(screen, identity)()

        self.push_screen(HelpScreen(groups, self.keys), run)

    def action_toggle_theme(self) -> None:
        """Switch between dark, light and the terminal's own colours."""
        names = list(THEMES.values())
        at = names.index(self.theme) if self.theme in names else -1
        self.theme = names[(at + 1) % len(names)]
        self.notify(f"Theme: {list(THEMES)[(at + 1) % len(names)]}", timeout=2)
        if isinstance(self.screen, SessionScreen | CompareScreen):
            self.call_after_refresh(self.screen.draw)

    def action_close(self) -> None:
        """Clear a filter, or go back one screen unless this is the first."""
        if isinstance(self.screen, SessionScreen | SessionsScreen) and self.screen.close_filter():
            return
        if len(self.screen_stack) > 2:
            self.pop_screen()
        else:
            self.notify("This is the first screen. Press q to quit.", timeout=2)


def _runner(screen: Screen[object], identity: str) -> Callable[[], Awaitable[None]]:
    """Return a function that runs an action on the screen from which the palette was opened."""

    async def run() -> None:
        if isinstance(screen, BaseScreen):
            await screen.run_named(identity)
        else:
            await screen.app.run_action(identity)

    return run


def preferred_theme(config: Config) -> str:
    """Return dark, light or terminal: as configured, otherwise by the terminal's background."""
    if config.theme != "auto":
        return config.theme
    background = os.environ.get("COLORFGBG", "").rpartition(";")[2]
    return "light" if background in LIGHT_BACKGROUNDS else "dark"
