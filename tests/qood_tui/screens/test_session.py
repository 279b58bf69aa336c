"""The session screen, driven by keys and mouse, on sessions that a real engine recorded."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from textual.widgets import Static

from engine import report
from engine.session import store
from engine.session.layout import JOURNAL
from engine.session.session import Session
from qood_tui.app import QoodApp
from qood_tui.panes.deltas import DeltasPane
from qood_tui.panes.layout import NAMES, visible_panes
from qood_tui.plot.kinds import KINDS
from qood_tui.screens.dialogs.number import NumberScreen
from qood_tui.screens.replay import ReplayScreen
from qood_tui.state.view_options import CurvesOf, RowOrder, Unit
from qood_tui.widgets.lines import Lines
from tests.qood_tui.driving import SIZES, at_end, screen_lines, screen_text, text_of, title_of, until
from tests.running import small_plan, sweep


def replay(app: QoodApp) -> ReplayScreen:
    assert isinstance(app.screen, ReplayScreen)
    return app.screen


@pytest.mark.parametrize("size", SIZES)
async def test_the_end_of_a_replay_tells_the_finding_and_every_pane_fits(
    recorded: Path, size: tuple[int, int]
) -> None:
    app = QoodApp(recorded)
    async with app.run_test(size=size) as pilot:
        await at_end(pilot)
        assert "W4A4: no clear cost" in text_of(app, "status") and "ImageNet" in text_of(app, "status")
        assert "Largest loss: " in text_of(app, "status")
        for number, name in enumerate(NAMES, 1):
            await pilot.press(str(number))
            await pilot.pause(0.05)
            assert app.focused is not None and app.focused.id == name and app.focused.display
            assert text_of(app, name).strip()
        for pane in app.screen.query(Lines):
            if pane.display:
                assert all(line.cell_len <= pane.inner.width for line in pane._lines[: pane.inner.height]), (
                    pane
                )
        assert all(len(line) <= size[0] for line in screen_lines(app))


async def test_a_narrow_terminal_shows_one_pane_and_a_wide_one_all_slots(recorded: Path) -> None:
    app = QoodApp(recorded, at=1e9)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause(0.2)
        assert [p.NAME for p in replay(app).panes()] == ["deltas"]
        await pilot.resize_terminal(120, 40)
        await pilot.pause(0.2)
        assert [p.NAME for p in replay(app).panes()] == ["curves", "deltas", "engine"]
        await pilot.press("3")
        await pilot.pause(0.1)
        assert [p.NAME for p in replay(app).panes()] == ["matrix", "deltas", "engine"]
        await pilot.resize_terminal(200, 60)
        await pilot.pause(0.2)
        assert [p.NAME for p in replay(app).panes()] == [
            "curves",
            "matrix",
            "deltas",
            "bits",
            "engine",
            "log",
        ]
        await pilot.press("z")
        await pilot.pause(0.1)
        assert [p.NAME for p in replay(app).panes()] == ["matrix"]
        assert app.screen.query_one("#matrix", Lines).inner.width > 190
        await pilot.press("z")
        await pilot.pause(0.1)
        assert len(replay(app).panes()) == 6


@pytest.mark.parametrize("columns", [20, 99, 100, 139, 140, 300])
@pytest.mark.parametrize("chosen", NAMES)
def test_the_chosen_pane_is_always_in_sight(columns: int, chosen: str) -> None:
    slots = {"figures": NAMES[:4], "tables": NAMES[4:6], "machine": NAMES[6:]}
    recent = {
        slot: (chosen, *(n for n in names if n != chosen)) if chosen in names else names
        for slot, names in slots.items()
    }
    for lines in (10, 24, 60):
        for maximised in (True, False):
            assert chosen in visible_panes(columns, lines, chosen, recent, maximised=maximised)


async def test_each_key_changes_what_is_looked_at_and_what_is_drawn(recorded: Path) -> None:
    app = QoodApp(recorded, at=1e9)
    async with app.run_test(size=(160, 50)) as pilot:
        await pilot.pause(0.3)
        seen = {text_of(app, "curves") + title_of(app, "curves")}
        for key in ("m", "o", "c", "x", "x", "g", "v"):
            await pilot.press(key)
            await pilot.pause(0.05)
            seen.add(text_of(app, "curves") + title_of(app, "curves"))
        assert len(seen) == 8
        await pilot.press("V", "M", "O")
        look = replay(app).options
        assert look.pointed.key == "vit-narrow FP32" and look.curves_of is CurvesOf.MODEL
        seen = {text_of(app, "deltas")}
        for key in ("r", "r", "a", "s", "t"):
            await pilot.press(key)
            await pilot.pause(0.05)
            seen.add(text_of(app, "deltas"))
        assert len(seen) == 6


async def test_variants_and_bit_settings_are_one_key_away(recorded: Path) -> None:
    app = QoodApp(recorded, at=1e9)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.2)
        found = []
        for key in ("j", "j", "j", "k", "w", "w", "W", "down", "up", "pagedown"):
            await pilot.press(key)
            await pilot.pause(0.02)
            found.append(replay(app).options.pointed.key)
        assert found == [
            "vit-narrow W8A8",
            "vit-narrow W4A4",
            "deit3-wide FP32",
            "vit-narrow W4A4",
            "vit-narrow FP32",
            "vit-narrow W8A8",
            "vit-narrow FP32",
            "vit-narrow W8A8",
            "vit-narrow FP32",
            "deit3-wide W4A4",
        ]
        assert "> deit3-wide W4A4" in text_of(app, "deltas")


async def test_marked_variants_are_drawn_over_each_other(recorded: Path) -> None:
    app = QoodApp(recorded, at=1e9)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.2)
        await pilot.press("v", "m", "j", "v")
        await pilot.pause(0.1)
        assert replay(app).options.marked == ("vit-narrow FP32", "deit3-wide W8A8")
        assert "vit-narrow FP32 0." in text_of(app, "curves") and "deit3-wide W8A8 0." in text_of(
            app, "curves"
        )
        assert "*vit-narrow FP32" in text_of(app, "deltas")
        await pilot.press("v")
        await pilot.pause(0.1)
        assert replay(app).options.marked == ("vit-narrow FP32",)


async def test_the_filter_is_live_and_escape_clears_it_before_it_leaves(recorded: Path) -> None:
    app = QoodApp(recorded, at=1e9)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.2)
        await pilot.press("slash", *"w4 deit")
        await pilot.pause(0.1)
        assert "deit3-wide W4A4" in text_of(app, "deltas") and "vit-narrow" not in text_of(app, "deltas")
        assert "1 of 6 rows" in title_of(app, "deltas")
        await pilot.press("enter")
        await pilot.pause(0.1)
        assert isinstance(app.focused, DeltasPane) and replay(app).options.words == "w4 deit"
        await pilot.press("escape")
        await pilot.pause(0.1)
        assert replay(app).options.words == "" and "vit-narrow" in text_of(app, "deltas")


async def test_l_goes_to_what_was_lost_most() -> None:
    app = QoodApp(store.find("demo"), at=1e9)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.3)
        await pilot.press("L")
        await pilot.pause(0.1)
        assert (replay(app).options.pointed.key, replay(app).options.ood_set) == ("vit-wide W4A4", "digits")
        await pilot.press("s")
        assert replay(app).options.order is RowOrder.MEAN
        await pilot.pause(0.1)
        assert text_of(app, "deltas").splitlines()[1].startswith("> vit-wide W4A4")


async def test_a_replay_pauses_seeks_and_steps(recorded: Path) -> None:
    app = QoodApp(recorded)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = replay(app)
        await pilot.press("space", "home")
        assert not screen.player.playing and screen.player.state.seq <= 1
        await pilot.press("full_stop", "full_stop")
        assert screen.player.state.seq >= 2
        await pilot.press("end", "comma")
        assert screen.player.state.closed is None
        await pilot.press("plus")
        assert screen.player.speed == 8
        await pilot.pause(0.1)
        await pilot.click("#status", offset=(0, 1))
        assert screen.player.position == 0


async def test_a_session_without_arrays_draws_the_curves_of_its_journal(copied: Path) -> None:
    for file in (copied / "arrays").iterdir():
        file.unlink()
    app = QoodApp(copied)
    async with app.run_test(size=(120, 40)) as pilot:
        await at_end(pilot)
        assert "W4A4" in text_of(app, "curves")
        for kind in KINDS:
            is_shown = replay(app).options.curve_kind is kind and kind.title in title_of(app, "curves")
            words = "W4A4" if kind.is_journaled else f"{kind.title} needs the score arrays"
            assert is_shown and words in text_of(app, "curves")
            await pilot.press("x")
            await pilot.pause(0.1)
        await pilot.press("2")
        await pilot.pause(0.1)
        assert "missing" in text_of(app, "histogram")


@pytest.mark.parametrize("size", [(59, 24), (80, 15), (40, 10), (20, 5), (1, 1)])
async def test_too_small_a_terminal_says_so_with_the_finding_and_comes_back(
    recorded: Path, size: tuple[int, int]
) -> None:
    app = QoodApp(recorded)
    async with app.run_test(size=(120, 40)) as pilot:
        await at_end(pilot)
        await pilot.resize_terminal(*size)
        await pilot.pause(0.1)
        if size[0] >= 20:
            assert "enlarge to 60x16" in screen_text(app) and "W4A4" in screen_text(app)
        await pilot.press("2", "3", "1", "z", "o", "question_mark")
        await pilot.pause(0.1)
        await pilot.press("escape")
        await pilot.resize_terminal(120, 40)
        await pilot.pause(0.2)
        assert "FP32" in text_of(app, "curves") and "enlarge" not in screen_text(app)


async def test_names_with_markup_are_shown_as_text(copied: Path) -> None:
    hostile = copied.with_name("x[bold red]y")
    copied.rename(hostile)
    app = QoodApp(hostile)
    async with app.run_test(size=(120, 40)) as pilot:
        await at_end(pilot)
        assert "x[bold red]y" in text_of(app, "status")


async def test_what_was_typed_is_shown_as_text_where_it_is_refused(recorded: Path) -> None:
    app = QoodApp(recorded, at=1e9)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await pilot.pause(0.2)
        await pilot.press("G")
        await pilot.pause(0.1)
        await pilot.press("left_square_bracket", "slash", "b", "right_square_bracket", "enter")
        await pilot.pause(0.3)
        assert any("[/b]" in str(toast.render()) for toast in app.screen.query("Toast"))
    assert app._exception is None


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


async def test_the_bit_pane_shows_calibration_and_every_tensor(recorded: Path) -> None:
    app = QoodApp(recorded)
    async with app.run_test(size=(120, 40)) as pilot:
        await at_end(pilot)
        await pilot.press("6")
        await pilot.pause(0.1)
        assert "FP32 is not quantized" in text_of(app, "bits")
        await pilot.press("w", "z")
        await pilot.pause(0.1)
        shown = text_of(app, "bits")
        assert "calibrated on 32 images of fractals-calibration" in shown and "% of" in shown
        assert f"of {6 * (4 * 2 + 4) + 4}, ↑↓" in title_of(app, "bits")
        await pilot.press("pagedown", "pagedown", "pagedown", "pagedown")
        await pilot.pause(0.1)
        assert "head.weight" in text_of(app, "bits")


async def test_the_table_fills_its_height_again_after_it_was_small(recorded: Path) -> None:
    app = QoodApp(recorded)
    async with app.run_test(size=(80, 24)) as pilot:
        await at_end(pilot)
        await pilot.press("m")
        await pilot.resize_terminal(80, 16)
        await pilot.pause(0.1)
        await pilot.resize_terminal(80, 40)
        await pilot.pause(0.1)
        assert "vit-narrow FP32" in text_of(app, "deltas")


async def test_a_number_says_where_it_comes_from(recorded: Path) -> None:
    app = QoodApp(recorded, at=1e9)
    async with app.run_test(size=(100, 40)) as pilot:
        await pilot.pause(0.3)
        await pilot.press("j", "j", "d")
        await pilot.pause()
        screen = app.screen
        assert isinstance(screen, NumberScreen)
        text = str(screen.query_one(Static).render())
        for words in (
            "vit-narrow W4A4",
            "150 ID and 60 OOD",
            "interval",
            "Holm-corrected across the table",
            "resamples",
        ):
            assert words in text
        assert f"qood-tui report {recorded.name}" in text and "average precision" in text
        await pilot.press("escape")
        assert not isinstance(app.screen, NumberScreen)


async def test_every_row_shows_the_headline_score_even_where_it_is_not_the_first() -> None:
    plan = small_plan(
        models=("vit-narrow",),
        bits=("FP32", "W4A4"),
        scores=("msp", "energy"),
        headline="energy",
        calibration_draws=2,
    )
    session = sweep(plan)
    rows = report.document(Session.at(session)).variants
    aps = [[c.value("ap_out") for c in row.sets if c.score == "energy"] for row in rows]
    lost = [np.mean(np.subtract(aps[0], draw)) * 100 for draw in aps[1:]]
    app = QoodApp(session, at=1e9)
    async with app.run_test(size=(120, 40)) as pilot:
        await at_end(pilot)
        await pilot.pause(0.3)
        lines = text_of(app, "deltas").splitlines()
        assert f"{aps[0][0]:.3f}" in lines[1] and f"{np.mean(aps[0]):.3f}" in lines[1]
        assert "SD of 2 draws" in lines[4] and f"±{np.std(lost, ddof=1):.1f}" in lines[4]
        await pilot.press("down", "down", "down")
        await pilot.pause(0.1)
        assert replay(app).options.pointed.draw == 1, "the cursor passes over rows that are no variants"
        await pilot.press("1", "2", "6")
        await pilot.pause(0.1)
        assert "draw 2" in title_of(app, "curves")


async def test_the_mouse_points_at_rows_columns_cells_tabs_and_findings() -> None:
    app = QoodApp(store.find("demo"), at=1e9)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.3)
        screen = replay(app)
        await pilot.click("#deltas", offset=(38, 5))
        await pilot.pause(0.05)
        assert (screen.options.pointed.key, screen.options.ood_set) == ("vit-narrow W4A8", "digits")
        await pilot.click("#deltas", offset=(58, 1))
        await pilot.pause(0.05)
        assert (screen.options.pointed.key, screen.options.ood_set) == ("vit-narrow W4A8", "noise")
        await pilot.click("#status", offset=(4, 3))
        await pilot.pause(0.05)
        assert screen.options.pointed.key == "vit-wide W4A4"
        await pilot.click("#tabs", offset=(30, 0))
        await pilot.pause(0.1)
        assert screen.current_pane == "matrix"
        await pilot.click("#matrix", offset=(20, 5))
        await pilot.pause(0.05)
        assert screen.options.pointed.key == "deit3-narrow W8A8"


async def test_the_same_numbers_in_every_unit_are_told_apart(recorded: Path) -> None:
    app = QoodApp(recorded, at=1e9)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.3)
        for unit in (Unit.RELATIVE, Unit.VALUE, Unit.POINTS):
            await pilot.press("r")
            await pilot.pause(0.05)
            assert unit.value in title_of(app, "deltas")


async def test_an_interrupted_session_can_be_looked_at(copied: Path) -> None:
    path = copied / JOURNAL
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: len(lines) // 2]) + b'{"seq":')
    assert store.summary(copied).state == "interrupted"
    app = QoodApp(copied)
    async with app.run_test(size=(120, 40)) as pilot:
        await at_end(pilot)
        await until(pilot, lambda: "1 damaged" in text_of(app, "status"))


async def test_a_session_that_is_removed_while_it_is_shown_is_called_lost(copied: Path) -> None:
    app = QoodApp()
    async with app.run_test(size=(120, 40)) as pilot:
        app.open_session(copied, live=True)
        await until(pilot, lambda: "Largest loss" in text_of(app, "status"))
        shutil.rmtree(copied)
        await until(pilot, lambda: "ENGINE LOST" in text_of(app, "status"))


async def test_less_false_positives_are_no_loss_in_the_heat_map() -> None:
    app = QoodApp(store.find("demo"), at=1e9)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.2)
        await pilot.press("3", "a", "a", "a")
        await pilot.pause(0.1)
        lines = text_of(app, "matrix")
        assert "FPR95" in title_of(app, "matrix") and "█-" in lines and "█+" not in lines


@pytest.mark.parametrize("size", [(100, 24), (60, 16)])
async def test_what_does_not_fit_into_the_matrix_can_be_scrolled_to(size: tuple[int, int]) -> None:
    app = QoodApp(store.find("demo"), at=1e9)
    async with app.run_test(size=size) as pilot:
        await pilot.pause(0.2)
        await pilot.press("3")
        await pilot.pause(0.1)
        if "deit3-wide" not in text_of(app, "matrix"):
            assert "lines 1-" in title_of(app, "matrix")
            await pilot.press(*["down"] * 8)
            await pilot.pause(0.1)
        assert "deit3-wide" in text_of(app, "matrix")
