"""Every action of the table, by its key and by the mouse: both do something, and the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import OptionList

from engine.plan.plan import preset
from engine.service import client
from engine.session import store
from engine.system import paths
from qood_tui.app import QoodApp
from qood_tui.screens.compare import CompareScreen, ComparisonView
from qood_tui.screens.dialogs.help import HelpScreen
from qood_tui.screens.live import LiveScreen
from qood_tui.screens.replay import ReplayScreen
from qood_tui.screens.sessions import SessionsScreen
from qood_tui.screens.setup import SetupScreen
from qood_tui.settings import actions
from qood_tui.settings.actions import GROUPS, SCREENS, Action
from qood_tui.settings.config import Config
from qood_tui.state.markers import Kind
from qood_tui.state.sources import LiveSource
from qood_tui.state.view_options import ViewOptions
from tests.qood_tui.driving import click_part, screen_lines, screen_text, told, until
from tests.running import CPU

ELSEWHERE = {"quit", "suspend_process", "start", "close"}  # they leave the screen: tests of their own
PREPARED: dict[str, Callable[[Any], None]] = {
    "unmark": lambda s: s.set_options(marked=(s.options.pointed.key,)),
    "headline": lambda s: (s.focus_group("scores"), s.picks("scores").action_move(1)),
    "all": lambda s: s.picks("models").tick_all(on=False),
    "pane_deltas": lambda s: s.focus_pane("log"),
    "filter": lambda s: None,
}


def fingerprint(app: QoodApp) -> tuple[Any, ...]:
    """Return everything that an action may change."""
    screen = app.screen
    look = getattr(screen, "options", None)
    player = getattr(screen, "player", None)
    moment = (player.position, player.playing, player.speed, player.state.seq) if player else None
    focus = app.focused.id if app.focused else None
    return type(screen).__name__, screen_text(app), look, moment, app.clipboard, app.theme, told(app), focus


def reset(app: QoodApp, base: Any) -> None:
    """Bring a screen back to how every action finds it."""
    while app.screen is not base:
        app.pop_screen()
    app._notifications.clear()
    app._clipboard = ""
    app.theme = "textual-dark"
    match base:
        case ReplayScreen() | LiveScreen():
            base.close_filter()
            base.options = ViewOptions.at(base.source.state.header.plan)
            base.is_maximised = False
            base.set_class(False, "maximised")
            base.focus_pane("deltas")
            if isinstance(base, ReplayScreen):
                base.player.playing, base.player.speed, base.player.kind = False, 4.0, Kind.ALL
                base.player.seek(base.player.length * 0.9)
            else:
                base.live.paused = False
        case SetupScreen():
            base.take(preset("demo"), CPU)
            base.focus_group("models")
        case SessionsScreen():
            base.close_filter()
            picks = base.query_one("#list")
            picks.ticked, picks.cursor = [], 0  # type: ignore[attr-defined]
            base.offer()
        case CompareScreen():
            base.measure, base.unit, base.view = base_measure()
            base.column, base.other, base.by_difference = "", 1, False
            base.draw()


def base_measure() -> tuple[Any, Any, Any]:
    from engine.measure.measures import AP_OUT
    from qood_tui.state.view_options import Unit

    return AP_OUT, Unit.POINTS, ComparisonView.SIDE


async def by_key(pilot: Pilot[None], action: Action) -> None:
    await pilot.press(action.keys.split(",")[0])


async def by_mouse(pilot: Pilot[None], action: Action) -> None:
    """Open the help with a click and click the action there."""
    assert await click_part(pilot, "keys", "help")
    await until(pilot, lambda: isinstance(pilot.app.screen, HelpScreen))
    options = pilot.app.screen.query_one(OptionList)
    options.highlighted = options.get_option_index(action.id)
    await pilot.pause(0.02)
    words = action.help[:30]
    y = next(y for y, line in enumerate(screen_lines(pilot.app)) if words in line)
    x = screen_lines(pilot.app)[y].index(words)
    await pilot.click(offset=(x, y))


@contextmanager
def swept() -> Iterator[Path]:
    """Give a session that is being written for as long as it is needed."""
    session = store.create(preset("demo"), {}, title="live")
    client.start(session, CPU)
    yield session
    client.cancel(session)


APPS: dict[str, Callable[[Path, Path], QoodApp]] = {
    "Set-up": lambda recorded, live: QoodApp(resources=CPU),
    "While a sweep runs": lambda recorded, live: QoodApp(live),
    "Replay": lambda recorded, live: QoodApp(recorded),
    "List of sessions": lambda recorded, live: QoodApp(resources=CPU),
    "Comparison": lambda recorded, live: QoodApp(store.find("demo"), others=(recorded, store.find("demo"))),
}


@pytest.mark.parametrize("group", APPS)
async def test_every_action_works_by_key_and_by_mouse_alike(group: str, recorded: Path) -> None:
    paths.choice_file("demo").unlink(missing_ok=True)
    found: dict[Callable[..., Any], dict[str, Any]] = {by_key: {}, by_mouse: {}}
    groups = next(groups for groups in SCREENS if group in groups)
    wanted = [a for name in groups for a in GROUPS[name] if a.id not in ELSEWHERE]
    if group == "While a sweep runs":  # what a replay has in common with it is tested there
        wanted = list(GROUPS[group])
    with swept() if group == "While a sweep runs" else nullcontext(recorded) as live:
        for way, effects in found.items():
            app = APPS[group](recorded, live)
            async with app.run_test(size=(120, 40)) as pilot:
                await pilot.pause(0.2)
                if group == "List of sessions":
                    await pilot.press("l")
                    await pilot.pause(0.3)
                    await app.workers.wait_for_complete()
                    assert isinstance(app.screen, SessionsScreen)
                base = app.screen
                if isinstance(base, LiveScreen):
                    base.source.tick(0.0)
                for action in wanted:
                    reset(app, base)
                    PREPARED.get(action.id, lambda screen: None)(base)
                    await pilot.pause()
                    before = fingerprint(app)
                    await way(pilot, action)
                    await pilot.pause(0.05)
                    effects[action.id] = fingerprint(app)
                    assert effects[action.id] != before, f"{action.id} does nothing, {way.__name__}"
    for action in wanted:
        one, other = (effects[action.id] for effects in found.values())
        is_elsewhere = one[0] != type(base).__name__  # what another screen shows has tests of its own
        is_moving = group == "While a sweep runs" or action.id == "toggle_play"
        if is_elsewhere or is_moving:
            assert one[0] == other[0], action.id
        else:
            assert one == other, action.id


async def test_quit_says_that_a_sweep_goes_on_and_close_goes_back(recorded: Path) -> None:
    app = QoodApp(recorded, at=1e9)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.2)
        await pilot.press("C")
        await until(pilot, lambda: isinstance(app.screen, SessionsScreen))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, ReplayScreen))
        await pilot.press("q")
        await pilot.pause(0.1)
    assert app.return_code == 0
    with swept() as live:
        app = QoodApp(live)
        async with app.run_test(size=(120, 40)) as pilot:
            await until(pilot, lambda: isinstance(app.screen, LiveScreen))
            await pilot.press("q")
            assert any("continues in the background" in str(said) for said in app._exit_renderables)
        assert app.return_code == 0


async def test_a_screen_holds_still_while_paused(recorded: Path) -> None:
    source = LiveSource(recorded)
    source.paused = True
    assert not source.tick(1.0) and source.state.seq == 0
    source.paused = False
    assert source.tick(1.0) and source.state.closed is not None


async def test_keys_follow_the_configuration(recorded: Path) -> None:
    app = QoodApp(recorded, at=1e9, config=Config(keys={"next_set": ["ctrl+o", "U"], "next_model": []}))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.2)
        screen = app.screen
        assert isinstance(screen, ReplayScreen)
        await pilot.press("o", "m")
        assert screen.options.ood_set == "unseen-fractals" and screen.options.pointed.model == "vit-narrow"
        await pilot.press("U", "ctrl+o")
        assert screen.options.ood_set == "photo-patches"
        await pilot.pause(0.1)
        assert "^o OOD set" in screen_lines(app)[-1] and " Model" not in screen_lines(app)[-1]
        await pilot.press("question_mark")
        await pilot.pause(0.2)
        assert any("^o U" in line and "Next OOD set" in line for line in screen_lines(app))


async def test_the_palette_finds_actions_by_name(recorded: Path) -> None:
    app = QoodApp(recorded, at=1e9)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.2)
        await pilot.press("colon", *"largest loss")
        await pilot.pause(0.5)
        assert "Go to the variant" in screen_text(app)
        await pilot.press("enter", "enter")
        await until(pilot, lambda: isinstance(app.screen, ReplayScreen))


async def test_a_palette_that_is_opened_again_while_it_closes_is_no_trouble(recorded: Path) -> None:
    app = QoodApp(recorded, at=1e9)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.2)
        for key in ("colon", "ctrl+p", "escape", "ctrl+p", "colon", "escape"):
            app.post_message(events.Key(key, ":" if key == "colon" else None))
        await pilot.pause(0.3)
        await until(pilot, app._message_queue.empty)  # a busy machine may not have come to the last key
    assert app._exception is None


def test_the_table_is_sound() -> None:
    every = [action for group in GROUPS.values() for action in group]
    assert len({action.id for action in every}) == len(every)
    for groups in SCREENS:
        keys = [key for name in groups for action in GROUPS[name] for key in action.keys.split(",")]
        assert len(set(keys)) == len(keys), f"a key stands for two actions of {groups}"
    assert {name for groups in SCREENS for name in groups} == set(GROUPS)
    for action in every:
        assert action.help[0].isupper() and not action.help.endswith("."), action.id
        assert not any(key.startswith(("ctrl+b", "ctrl+a", "alt")) for key in action.keys.split(",")), (
            "tmux and screen"
        )
    assert actions.key_names("slash,ctrl+p") == "/ ^p"
