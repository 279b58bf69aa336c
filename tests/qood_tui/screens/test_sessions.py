"""Looking after sessions from their list."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from engine.session import notes, store
from engine.session.layout import JOURNAL
from engine.session.place import Folder
from qood_tui.app import QoodApp
from qood_tui.screens.dialogs.dialog import Question
from qood_tui.screens.dialogs.prompt import Prompt
from qood_tui.screens.sessions import SessionsScreen
from qood_tui.widgets.picks import Picks
from tests.qood_tui.driving import text_of, told, until


@pytest.fixture
def place(recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of sessions with two in it."""
    monkeypatch.setenv("QOOD_SESSIONS", str(tmp_path / "sessions"))
    monkeypatch.chdir(tmp_path)
    for name in ("20260102-first", "20260101-second"):
        shutil.copytree(recorded, tmp_path / "sessions" / name)
    return tmp_path / "sessions"


async def listed(pilot: Pilot[None], name: str) -> SessionsScreen:
    """Open the list with the cursor on one session."""
    await pilot.press("l")
    await until(pilot, lambda: isinstance(pilot.app.screen, SessionsScreen))
    await pilot.app.workers.wait_for_complete()
    screen = pilot.app.screen
    assert isinstance(screen, SessionsScreen)
    await put_cursor(pilot, screen, name)
    return screen


async def put_cursor(pilot: Pilot[None], screen: SessionsScreen, name: str) -> None:
    picks = screen.query_one(Picks)
    await until(pilot, lambda: any(name in key for key in screen.summaries))
    for _ in screen.order:
        if screen.current is not None and screen.current.name == name:
            return
        picks.action_move(1)
        await pilot.pause()
    raise AssertionError(f"{name} is not in the list")


async def answer(pilot: Pilot[None], text: str) -> None:
    await until(pilot, lambda: isinstance(pilot.app.screen, Prompt))
    pilot.app.screen.query_one(Input).value = text
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(pilot.app.screen, SessionsScreen))


async def test_a_note_is_kept_and_shown(place: Path) -> None:
    app = QoodApp()
    async with app.run_test(size=(120, 40)) as pilot:
        await listed(pilot, "20260101-second")
        await pilot.press("n")
        await answer(pilot, "the one with [b]ReAct[/b]")
        await until(pilot, lambda: "the one with [b]ReAct[/b]" in text_of(app, "heading"))
        assert notes.read(Folder(place / "20260101-second")) == "the one with [b]ReAct[/b]"
        assert app.screen.order == [
            str(place / "20260102-first"),
            str(place / "20260101-second"),
            *app.screen.order[2:],
        ]  # type: ignore[attr-defined]


async def test_a_session_is_renamed_and_names_that_cannot_be_are_refused(place: Path) -> None:
    app = QoodApp()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await listed(pilot, "20260101-second")
        for wrong in ("../elsewhere", "20260102-first", "demo"):
            await pilot.press("R")
            await answer(pilot, wrong)
            await until(pilot, lambda: "cannot be used" in told(app))
            app._notifications.clear()
        assert (place / "20260101-second" / JOURNAL).exists()
        await pilot.press("R")
        await answer(pilot, "better")
        await until(pilot, lambda: str(place / "better") in screen.summaries)
        assert str(place / "20260101-second") not in screen.summaries
        assert store.find("better") == place / "better"


async def test_a_session_is_deleted_only_when_the_user_is_sure(place: Path) -> None:
    app = QoodApp()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await listed(pilot, "20260101-second")
        await pilot.press("D")
        await until(pilot, lambda: isinstance(app.screen, Question))
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)
        assert (place / "20260101-second").exists()
        await pilot.press("D")
        await until(pilot, lambda: isinstance(app.screen, Question))
        await pilot.press("y")
        await until(pilot, lambda: not (place / "20260101-second").exists())
        await until(pilot, lambda: str(place / "20260101-second") not in screen.summaries)
        await put_cursor(pilot, screen, "demo")
        await pilot.press("D")
        await until(pilot, lambda: "ships with the program" in told(app))
        assert app.screen is screen


async def test_a_session_is_exported_and_never_over_another_file(place: Path, tmp_path: Path) -> None:
    app = QoodApp()
    async with app.run_test(size=(120, 40)) as pilot:
        await listed(pilot, "20260102-first")
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, Prompt))
        await pilot.press("enter")
        await until(pilot, lambda: "20260102-first.qood (" in told(app))
        assert (tmp_path / "20260102-first.qood").stat().st_size > 10_000
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, Prompt))
        await pilot.press("enter")
        await until(pilot, lambda: "already exists" in told(app))


async def test_a_check_says_that_a_session_is_whole_or_what_is_not(place: Path) -> None:
    app = QoodApp()
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await listed(pilot, "20260102-first")
        await pilot.press("V")
        await until(pilot, lambda: "is intact" in told(app))
        path = place / "20260101-second" / "arrays" / "nll.npy"
        path.write_bytes(path.read_bytes()[:-1])
        await put_cursor(pilot, screen, "20260101-second")
        await pilot.press("V")
        await until(pilot, lambda: "is damaged" in told(app) and "nll.npy" in told(app))
