"""The screens, driven by keys, on a session that a real engine recorded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Select, Static

from engine import journal, report, sessions
from engine.protocol import SessionClosed
from qood_tui.app import QoodApp
from qood_tui.screens.bits import BitsScreen
from qood_tui.screens.help import HelpScreen
from qood_tui.screens.live import LiveScreen
from qood_tui.screens.number import NumberScreen
from qood_tui.screens.replay import ReplayScreen
from qood_tui.screens.setup import SetupScreen
from qood_tui.widgets.choices import Tick
from qood_tui.widgets.lines import Lines
from tests.running import CPU, small_plan, sweep

SIZES = [(80, 24), (120, 40), (200, 60)]


def text_of(app: QoodApp, widget: str) -> str:
    lines = app.screen.query_one(f"#{widget}", Lines)
    return "\n".join(line.plain for line in lines._lines)


async def at_end(pilot: Pilot[None]) -> None:
    await pilot.press("end")
    await pilot.pause(0.1)


@pytest.mark.parametrize("size", SIZES)
async def test_a_replay_shows_finding_curves_and_deltas(recorded: Path, size: tuple[int, int]) -> None:
    app = QoodApp(recorded)
    async with app.run_test(size=size) as pilot:
        await at_end(pilot)
        assert isinstance(app.screen, ReplayScreen)
        assert "W4A4: no clear cost" in text_of(app, "status") and "ImageNet" in text_of(app, "status")
        assert "FP32" in text_of(app, "curves") and "W4A4" in text_of(app, "curves")
        await pilot.press("2")
        await pilot.pause(0.1)
        deltas = text_of(app, "deltas")
        assert "vit-narrow W4A4" in deltas and "noise"[:4] in deltas and " to " in deltas
        await pilot.press("3")
        await pilot.pause(0.1)
        assert "finished" in text_of(app, "engine")
        for pane in app.screen.query(Lines):
            assert all(line.cell_len <= size[0] for line in pane._lines)


async def test_keys_change_model_set_score_and_measure(recorded: Path) -> None:
    app = QoodApp(recorded)
    async with app.run_test(size=(160, 50)) as pilot:
        await at_end(pilot)
        first = text_of(app, "curves")
        seen = {first}
        for key in ("m", "o", "c", "x"):
            await pilot.press(key)
            await pilot.pause(0.05)
            seen.add(text_of(app, "curves"))
        assert len(seen) == 5
        title = app.screen.query_one("#curves").border_title
        assert title is not None and "deit3-wide" in title and "digits" in title
        points = text_of(app, "deltas")
        await pilot.press("r")
        assert text_of(app, "deltas") != points
        await pilot.press("r", "a")
        assert text_of(app, "deltas") != points
        await pilot.press("down", "down", "down", "up", "up", "up")
        assert app.screen.query_one("#curves").border_title != title


async def test_a_replay_pauses_seeks_and_steps(recorded: Path) -> None:
    app = QoodApp(recorded)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = app.screen
        assert isinstance(screen, ReplayScreen)
        await pilot.press("space", "home")
        assert not screen.player.playing and screen.player.state.seq <= 1
        await pilot.press("full_stop", "full_stop")
        assert screen.player.state.seq >= 2
        await pilot.press("end", "comma")
        assert screen.player.state.closed is None
        await pilot.press("plus")
        assert screen.player.speed == 8


async def test_a_session_without_arrays_draws_the_curves_of_its_journal(copied: Path) -> None:
    for file in (copied / "arrays").iterdir():
        file.unlink()
    app = QoodApp(copied)
    async with app.run_test(size=(120, 40)) as pilot:
        await at_end(pilot)
        assert "W4A4" in text_of(app, "curves")


async def test_help_lists_every_key_and_closes(recorded: Path) -> None:
    app = QoodApp(recorded)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("question_mark")
        assert isinstance(app.screen, HelpScreen)
        await pilot.press("escape")
        assert isinstance(app.screen, ReplayScreen)


@pytest.mark.parametrize("size", [*SIZES, (40, 10), (20, 5)])
async def test_no_size_breaks_a_screen(recorded: Path, size: tuple[int, int]) -> None:
    app = QoodApp(recorded)
    async with app.run_test(size=(120, 40)) as pilot:
        await at_end(pilot)
        await pilot.resize_terminal(*size)
        await pilot.pause(0.1)
        await pilot.press("2", "3", "1", "z")
        await pilot.resize_terminal(120, 40)
        await pilot.pause(0.1)
        assert "FP32" in text_of(app, "curves")


async def test_picking_and_starting_runs_a_real_sweep(tmp_path: Path, recorded: Path) -> None:
    app = QoodApp(root=tmp_path, resources=CPU)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = app.screen
        assert isinstance(screen, SetupScreen)
        for box in screen.query(Tick):
            box.value = box.name in ("vit-narrow", "FP32", "W4A4", "noise", "digits")
        screen.query_one("#id_images").value = "60"  # type: ignore[attr-defined]
        screen.query_one("#ood_images").value = "30"  # type: ignore[attr-defined]
        await pilot.pause(0.1)
        cost = str(screen.query_one("#cost", Static).render())
        assert "2 variants × 120 images" in cost
        await pilot.press("s")
        for _ in range(400):
            await pilot.pause(0.1)
            if isinstance(app.screen, LiveScreen) and app.screen.source.state.closed:
                break
        assert isinstance(app.screen, LiveScreen)
        await pilot.pause(1.5)
        assert "W4A4" in text_of(app, "curves") and "DONE" in text_of(app, "status")
    (session,) = tmp_path.iterdir()
    closed = journal.read(session)[1][-1].event
    assert isinstance(closed, SessionClosed) and closed.outcome == "finished"


async def test_a_choice_that_cannot_be_says_why_and_starts_nothing(tmp_path: Path) -> None:
    app = QoodApp(root=tmp_path, resources=CPU)
    async with app.run_test(size=(80, 24)) as pilot:
        for box in app.screen.query("#models Tick").results(Tick):
            box.value = False
        await pilot.pause(0.1)
        assert "models" in str(app.screen.query_one("#cost", Static).render())
        await pilot.press("s")
        await pilot.pause(0.2)
        assert isinstance(app.screen, SetupScreen)
    assert not list(tmp_path.iterdir())


async def test_the_list_of_sessions_opens_one(recorded: Path) -> None:
    app = QoodApp()
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("l")
        await pilot.pause(0.5)
        await app.workers.wait_for_complete()
        await pilot.press("enter")
        await pilot.pause(0.3)
        assert isinstance(app.screen, ReplayScreen | LiveScreen)
        await pilot.press("escape")
        assert isinstance(app.screen, SetupScreen)


async def test_markup_and_escapes_in_names_are_shown_as_text(copied: Path) -> None:
    hostile = copied.with_name("x[bold red]y")
    copied.rename(hostile)
    app = QoodApp(hostile)
    async with app.run_test(size=(120, 40)) as pilot:
        await at_end(pilot)
        assert "x[bold red]y" in text_of(app, "status")


def test_interrupted_sessions_are_listed_as_such(copied: Path) -> None:
    path = copied / journal.NAME
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    assert sessions.summary(copied).state == "interrupted"


async def test_a_defect_in_the_terminal_goes_to_a_log(recorded: Path, home: Path) -> None:
    class Broken(QoodApp):
        def action_help(self) -> None:
            raise ZeroDivisionError("secret detail of the screen")

    app = Broken(recorded)
    with pytest.raises(ZeroDivisionError):
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.press("question_mark")
            await pilot.pause(0.2)
    told = "".join(segment.text for s in app._exit_renderables for segment in s.segments)  # type: ignore[attr-defined]
    assert "secret detail" not in told and "Traceback" not in told
    assert "secret detail" in (home / "logs" / "terminal.log").read_text()


async def test_the_bit_table_is_one_key_away(recorded: Path) -> None:
    app = QoodApp(recorded)
    async with app.run_test(size=(120, 40)) as pilot:
        await at_end(pilot)
        await pilot.press("b")
        await pilot.pause(0.1)
        assert isinstance(app.screen, BitsScreen)
        assert app.screen.table.variant == "vit-narrow W8A8"
        table = app.screen.query_one(DataTable)
        assert table.row_count == 6 * (4 * 2 + 4) + 4
        await pilot.press("escape")
        assert isinstance(app.screen, ReplayScreen)


async def test_the_table_fills_its_height_again_after_it_was_small(recorded: Path) -> None:
    app = QoodApp(recorded)
    async with app.run_test(size=(80, 24)) as pilot:
        await at_end(pilot)
        await pilot.press("m", "2")
        await pilot.resize_terminal(80, 12)
        await pilot.pause(0.1)
        assert "of 6 rows" in str(app.screen.query_one("#deltas").border_subtitle)
        await pilot.resize_terminal(80, 40)
        await pilot.pause(0.1)
        assert "vit-narrow FP32" in text_of(app, "deltas")


async def test_in_a_small_terminal_arrows_move_in_the_table_at_once(recorded: Path) -> None:
    app = QoodApp(recorded)
    async with app.run_test(size=(80, 24)) as pilot:
        await at_end(pilot)
        await pilot.press("2")
        await pilot.pause(0.1)
        await pilot.press("down", "down", "down")
        await pilot.pause(0.1)
        assert ">deit3-wide FP32" in text_of(app, "deltas")


async def test_a_number_says_where_it_comes_from(recorded: Path) -> None:
    app = QoodApp(recorded, at=1e9)
    async with app.run_test(size=(100, 40)) as pilot:
        await pilot.pause(0.3)
        await pilot.press("down", "down", "d")
        await pilot.pause()
        screen = app.screen
        assert isinstance(screen, NumberScreen)
        text = str(screen.query_one(Static).render())
        for words in (
            "vit-narrow W4A4",
            "150 ID and 60 OOD",
            "interval",
            "adjusted over the table",
            "resamples",
        ):
            assert words in text
        assert f"qood-tui report {recorded.name}" in text and "average precision" in text
        await pilot.press("escape")
        assert not isinstance(app.screen, NumberScreen)


async def test_a_headline_score_joins_the_scores_that_are_ticked() -> None:
    app = QoodApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause(0.3)
        screen = app.screen
        assert isinstance(screen, SetupScreen)
        screen.query_one("#headline", Select).value = "vim"
        await pilot.pause()
        plan = screen.chosen_plan()
        assert plan.headline == "vim" and plan.scores == ("msp", "maxlogit", "energy", "vim")


async def test_every_row_shows_the_headline_score_even_where_it_is_not_the_first() -> None:
    plan = small_plan(
        models=("vit-narrow",),
        bits=("FP32", "W4A4"),
        scores=("msp", "energy"),
        headline="energy",
        calibration_draws=2,
    )
    session = sweep(plan)
    rows = report.document(session).variants
    aps = [[c.ap_out for c in row.sets if c.score == "energy"] for row in rows]
    lost = [np.mean(np.subtract(aps[0], draw)) * 100 for draw in aps[1:]]
    app = QoodApp(session, at=1e9)
    async with app.run_test(size=(120, 40)) as pilot:
        await at_end(pilot)
        await pilot.pause(0.3)
        lines = text_of(app, "deltas").splitlines()
        assert f"{aps[0][0]:.3f}" in lines[1] and f"{np.mean(aps[0]):.3f}" in lines[1]
        assert "SD of 2 draws" in lines[4] and f"±{np.std(lost, ddof=1):.1f}" in lines[4]
