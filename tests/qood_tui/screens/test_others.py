"""The list of sessions, the comparison, export and help."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from textual.widgets import Input, OptionList

from engine.archive.transfer import export
from engine.session import store
from qood_tui.app import QoodApp
from qood_tui.screens.compare import CompareScreen
from qood_tui.screens.dialogs.export import ExportScreen
from qood_tui.screens.dialogs.help import HelpScreen
from qood_tui.screens.live import LiveScreen
from qood_tui.screens.replay import ReplayScreen
from qood_tui.screens.sessions import SessionsScreen
from qood_tui.screens.setup import SetupScreen
from qood_tui.widgets.picks import Picks
from tests.journals import RECORDED
from tests.qood_tui.driving import SIZES, screen_text, text_of, title_of, told, until


@pytest.fixture
def few(recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with one session of its own: other tests leave theirs in the common one."""
    monkeypatch.setenv("QOOD_SESSIONS", str(tmp_path / "few"))
    shutil.copytree(recorded, tmp_path / "few" / recorded.name)
    return tmp_path / "few"


async def listed(pilot: object) -> None:
    app = pilot.app  # type: ignore[attr-defined]
    await until(pilot, lambda: isinstance(app.screen, SessionsScreen))  # type: ignore[arg-type]
    await app.workers.wait_for_complete()
    await pilot.pause(0.1)  # type: ignore[attr-defined]


async def test_the_list_opens_filters_marks_and_compares(recorded: Path, few: Path) -> None:
    app = QoodApp()
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("l")
        await listed(pilot)
        assert recorded.name[:20] in text_of(app, "list") and "demo" in text_of(app, "list")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ReplayScreen | LiveScreen))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, SessionsScreen))
        await pilot.press("space", "c")
        await pilot.pause(0.1)
        assert isinstance(app.screen, SessionsScreen), "one is not enough to compare"
        await pilot.press("slash", *"demo", "enter", "space", "escape")
        await pilot.pause(0.1)
        assert len(app.screen.query_one(Picks).ticked) == 2
        await pilot.press("c")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen))
        await pilot.press("escape", "escape")
        await until(pilot, lambda: isinstance(app.screen, SetupScreen))


async def test_a_click_on_a_line_opens_it_and_one_on_its_box_marks_it(few: Path) -> None:
    app = QoodApp()
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("l")
        await listed(pilot)
        await pilot.click("#list", offset=(3, 1))
        await pilot.pause(0.1)
        assert len(app.screen.query_one(Picks).ticked) == 1
        await pilot.click("#list", offset=(40, 1))
        await until(pilot, lambda: isinstance(app.screen, ReplayScreen | LiveScreen))


@pytest.mark.parametrize("size", [*SIZES, (50, 12)])
async def test_sessions_side_by_side(recorded: Path, size: tuple[int, int]) -> None:
    app = QoodApp(store.find("demo"), others=(recorded, recorded))
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: isinstance(app.screen, CompareScreen))
        await pilot.pause(0.2)
        if size[0] < 60:
            assert "enlarge" in screen_text(app) and "A demo" in screen_text(app)
            return
        text = text_of(app, "comparison")
        assert "B-A" in text and "vit-wide W8A8" in text
        assert "id images: A 1500, B 150, C 150" in text_of(app, "sessions")
        assert "different images" in text_of(app, "sessions")
        seen = {text + title_of(app, "comparison")}
        for key in ("x", "n", "x", "o", "o", "O", "a", "r", "s"):
            await pilot.press(key)
            await pilot.pause(0.05)
            seen.add(text_of(app, "comparison") + title_of(app, "comparison"))
        assert len(seen) >= 8
        await pilot.press("y")
        assert "variant" in app.clipboard


async def test_another_session_is_compared_from_the_screen_of_one(recorded: Path) -> None:
    app = QoodApp(recorded, at=1e9)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.2)
        await pilot.press("C")
        await listed(pilot)
        assert recorded.name in text_of(app, "heading")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen))
        assert text_of(app, "sessions").startswith(f"A {recorded.name}")


async def test_panes_and_tables_are_saved_and_copied(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app = QoodApp(recorded, at=1e9)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.2)
        await pilot.press("y")
        assert "vit-narrow W4A4" in app.clipboard
        for steps, ending, words in (
            (0, ".svg", "<svg"),
            (1, ".txt", "vit-narrow"),
            (2, "-table.csv", "model,bits"),
            (3, "-table.md", "| variant"),
            (4, "-table.tex", r"\toprule"),
        ):
            await pilot.press("e")
            await until(pilot, lambda: isinstance(app.screen, ExportScreen))
            await pilot.press(*["down"] * steps, "enter")
            await until(pilot, lambda: isinstance(app.screen, ReplayScreen))
            (file,) = tmp_path.glob(f"*{ending}")
            assert words in file.read_text()
        kept = (tmp_path / f"{recorded.name}-deltas.svg").read_text()
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, ExportScreen))
        await pilot.press("enter")
        await pilot.pause(0.2)
        assert "already exists" in told(app) and isinstance(app.screen, ExportScreen)
        assert (tmp_path / f"{recorded.name}-deltas.svg").read_text() == kept
        app.screen.query_one(Input).value = "/nowhere/at/all.svg"
        await pilot.press("ctrl+s")
        await pilot.pause(0.2)
        assert "Cannot write" in told(app)
        app.screen.query_one("#copy").focus()
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ReplayScreen))
        assert app.clipboard.startswith("<svg") and len(list(tmp_path.iterdir())) == 5
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, ExportScreen))
        await pilot.press("down", "down", "ctrl+y")
        await until(pilot, lambda: isinstance(app.screen, ReplayScreen))
        assert app.clipboard.startswith("model,bits")


async def test_help_lists_the_keys_of_the_screen_first_and_runs_what_is_chosen(recorded: Path) -> None:
    app = QoodApp(recorded, at=1e9)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause(0.2)
        await pilot.press("question_mark")
        await pilot.pause(0.2)
        assert isinstance(app.screen, HelpScreen)
        options = app.screen.query_one(OptionList)
        assert str(options.get_option_at_index(0).prompt) == "Session"
        options.highlighted = options.get_option_index("next_set")
        await pilot.press("enter")
        await pilot.pause(0.2)
        assert isinstance(app.screen, ReplayScreen) and app.screen.options.ood_set == "digits"
        await pilot.press("question_mark", "escape")
        assert isinstance(app.screen, ReplayScreen)


async def test_damaged_sessions_are_listed_with_what_is_wrong(copied: Path, few: Path) -> None:
    place = few / "20200101-000000-damaged"
    shutil.copytree(copied, place)
    (place / "journal.jsonl").write_bytes(b"\x1b[31mnonsense\n")
    app = QoodApp()
    async with app.run_test(size=(160, 40)) as pilot:
        await pilot.press("l")
        await listed(pilot)
        assert "damaged" in text_of(app, "list") and "\x1b" not in screen_text(app)


async def test_a_file_is_replayed_and_compared_where_it_is(tmp_path: Path) -> None:
    file = export(RECORDED / "2", tmp_path / "one.qood").file
    app = QoodApp(file, speed=64.0, at=1e9)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, ReplayScreen))
        await until(pilot, lambda: "one.qood" in screen_text(app) and "120/120" in screen_text(app))
    app = QoodApp(file, others=(RECORDED / "1",))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, CompareScreen))
        await until(pilot, lambda: "one.qood" in screen_text(app))
