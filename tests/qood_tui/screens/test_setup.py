"""The set-up screen, driven by keys and mouse."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from engine import catalog
from engine.plan.plan import preset
from engine.plan.resources import Resources
from engine.plan.toml import read_toml
from engine.protocol.events import SessionClosed
from engine.session.session import Session
from engine.system import paths
from qood_tui.app import QoodApp
from qood_tui.screens.dialogs.prompt import Prompt
from qood_tui.screens.live import LiveScreen
from qood_tui.screens.setup import SetupScreen
from qood_tui.setup import last_choice
from qood_tui.setup.choices import KEYS, ORDER
from qood_tui.setup.cost import in_words, outputs_size
from qood_tui.widgets.numbers import Numbers
from qood_tui.widgets.picks import Picks
from tests.qood_tui.driving import SIZES, click_part, screen_lines, screen_text, text_of, told, until
from tests.real import openood_root
from tests.running import CPU


@pytest.fixture(autouse=True)
def forgetful() -> None:
    """Begin with no last choice."""
    for kind in ("demo", "real"):
        paths.choice_file(kind).unlink(missing_ok=True)


def setup_of(app: QoodApp) -> SetupScreen:
    assert isinstance(app.screen, SetupScreen)
    return app.screen


def picks(app: QoodApp, group: str) -> Picks:
    return app.screen.query_one(f"#{group}", Picks)


async def typed(pilot: Pilot[None], key: str, words: str) -> None:
    """Press a key that asks for a line, and answer it."""
    await pilot.press(key)
    await until(pilot, lambda: isinstance(pilot.app.screen, Prompt))
    pilot.app.screen.query_one(Input).value = words
    await pilot.press("enter")
    await pilot.pause(0.1)


@pytest.mark.parametrize("size", SIZES)
async def test_the_demo_is_ready_to_start_and_costs_are_told(size: tuple[int, int]) -> None:
    app = QoodApp(resources=CPU)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "variants" in text_of(app, "cost"))
        assert "30 variants × 3,500 images" in text_of(app, "cost")
        assert "of memory" in text_of(app, "cost") or size[0] == 80
        assert setup_of(app).valid_plan() == preset("demo")
        assert all(len(line) <= size[0] for line in screen_lines(app))


async def test_each_choice_changes_the_cost(tmp_path: Path) -> None:
    app = QoodApp(root=tmp_path, resources=CPU)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.2)
        await pilot.press(KEYS["models"], "down", "space")
        await pilot.pause(0.05)
        assert "24 variants" in text_of(app, "cost")
        await pilot.press(KEYS["bits"], "down", "enter")
        await pilot.pause(0.05)
        assert "20 variants" in text_of(app, "cost")
        await pilot.press(KEYS["sizes"], "enter", "2", "0", "0", "enter")
        await pilot.pause(0.05)
        assert "× 2,200 images" in text_of(app, "cost")
        await pilot.press("enter", "9", "backspace", "2", "0", "enter", "down", "plus")
        await pilot.pause(0.05)
        assert "× 2,220 images" in text_of(app, "cost")
        await pilot.press(KEYS["ood_sets"], "n", "space")
        await pilot.pause(0.05)
        plan = setup_of(app).valid_plan()
        assert plan.ood_sets == ("unseen-fractals",) and plan.id_images == 20 and plan.ood_images == 550
        assert plan.models == ("vit-narrow", "deit-narrow", "deit3-narrow", "deit3-wide")


async def test_digits_leave_numbers_alone_unless_one_is_edited() -> None:
    app = QoodApp(resources=CPU)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.2)
        await pilot.press(KEYS["sizes"], "down", "down", KEYS["method"])
        await pilot.pause(0.05)
        assert setup_of(app).group == "method" and setup_of(app).valid_plan() == preset("demo")
        await pilot.press(KEYS["sizes"], "enter", "9", "escape")
        assert setup_of(app).valid_plan() == preset("demo") and isinstance(app.screen, SetupScreen)
        assert "calibration: images to calibrate on" in text_of(app, "cost")


async def test_what_cannot_be_combined_says_why(tmp_path: Path) -> None:
    app = QoodApp(root=tmp_path, resources=CPU)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.2)
        await pilot.press(KEYS["models"], *["down"] * 3)
        await pilot.pause(0.05)
        assert "no deit has been published with this pretraining" in text_of(app, "cost")
        await pilot.press("space")
        assert len(picks(app, "models").chosen) == 5
        await pilot.press(*["down"] * 3)
        await pilot.pause(0.05)
        assert "needs photographs" in text_of(app, "cost")
        await pilot.press("n")
        await pilot.pause(0.05)
        assert "models" in text_of(app, "cost")
        await pilot.press("s")
        await pilot.pause(0.2)
        assert isinstance(app.screen, SetupScreen)
    assert not list(tmp_path.iterdir())


async def test_presets_choose_everything_and_another_choice_unticks_them() -> None:
    app = QoodApp(resources=CPU)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause(0.2)
        await pilot.press(KEYS["presets"], "down", "space")
        await pilot.pause(0.1)
        plan = setup_of(app).valid_plan()
        assert plan == preset("quick") and picks(app, "presets").chosen == ("quick",)
        await pilot.press(KEYS["models"], "down", "down", "space")
        await pilot.pause(0.1)
        assert picks(app, "presets").chosen == ()


async def test_h_makes_a_score_the_headline() -> None:
    app = QoodApp(resources=CPU)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.2)
        place = list(catalog.SCORES).index("vim")
        await pilot.press(KEYS["scores"], *["down"] * place, "h")
        await pilot.pause(0.05)
        plan = setup_of(app).valid_plan()
        assert plan.headline == "vim" and plan.scores == ("msp", "maxlogit", "energy", "vim")


async def test_search_finds_and_ticks_across_groups() -> None:
    app = QoodApp(resources=CPU)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause(0.2)
        await pilot.press("slash", *"ptq", "enter")
        await pilot.pause(0.05)
        await pilot.press("escape", "slash", *"w6a6", "enter", "escape")
        await pilot.pause(0.1)
        plan = setup_of(app).valid_plan()
        assert plan.method == "ptq4vit" and "W6A6" not in plan.bits
        assert "4 Bit settings" in screen_text(app)


async def test_parameters_belong_to_the_method_that_they_were_given_for() -> None:
    plan = msgspec.structs.replace(preset("demo"), method="percentile", method_parameters={"share": 0.99})
    app = QoodApp(plan=plan, resources=CPU)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause(0.2)
        assert setup_of(app).valid_plan() == plan
        await pilot.press("slash", *"ptq", "enter", "escape")
        await pilot.pause(0.1)
        other = setup_of(app).valid_plan()
        assert other.method == "ptq4vit" and not other.method_parameters


async def test_a_sweep_is_started_watched_paused_stopped_and_remembered(tmp_path: Path) -> None:
    app = QoodApp(root=tmp_path, resources=CPU)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause(0.2)
        setup = setup_of(app)
        for group, names in (
            ("models", {"vit-narrow"}),
            ("bits", {"FP32", "W4A4"}),
            ("ood_sets", {"noise", "digits"}),
        ):
            picks(app, group).ticked = sorted(names)
        numbers = setup.query_one(Numbers)
        numbers.fields = [
            f._replace(value={"id_images": 60, "ood_images": 30}.get(f.name, f.value)) for f in numbers.fields
        ]
        setup.draw()
        await pilot.pause(0.1)
        assert "2 variants × 120 images" in text_of(app, "cost")
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, LiveScreen), 20)
        screen = app.screen
        assert isinstance(screen, LiveScreen)
        await pilot.press("space")
        await pilot.pause(0.3)
        assert "FROZEN" in text_of(app, "status")
        seen = screen.source.state.seq
        await pilot.pause(0.6)
        assert screen.source.state.seq == seen
        await pilot.press("space")
        await until(pilot, lambda: screen.source.state.closed is not None, 40)
        await until(pilot, lambda: "DONE" in text_of(app, "status"))
        await pilot.press("1")
        await until(pilot, lambda: "W4A4" in text_of(app, "curves"))
        await pilot.press("K")
        await pilot.pause(0.1)
        assert isinstance(app.screen, LiveScreen), "there is nothing to stop any more"
    (session,) = tmp_path.iterdir()
    closed = Session.at(session).entries[-1].event
    assert isinstance(closed, SessionClosed) and closed.outcome == "finished"
    remembered = last_choice.recall(is_real=False)
    assert remembered is not None and remembered[0] == Session.at(session).header.plan
    again = QoodApp(root=tmp_path, resources=CPU)
    async with again.run_test(size=(80, 24)) as pilot:
        await pilot.pause(0.2)
        assert setup_of(again).valid_plan() == remembered[0]


async def test_stopping_a_sweep_asks_first(tmp_path: Path) -> None:
    app = QoodApp(root=tmp_path, resources=CPU, plan=preset("demo"))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.2)
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, LiveScreen), 20)
        screen = app.screen
        assert isinstance(screen, LiveScreen)
        await pilot.press("K")
        await pilot.pause(0.2)
        assert "Stop the sweep after" in screen_text(app)
        await pilot.press("n")
        await pilot.pause(0.2)
        assert app.screen is screen and screen.source.state.closed is None
        await pilot.press("K", "y")
        await until(pilot, lambda: screen.source.state.closed is not None, 30)
        assert screen.source.state.closed is not None and screen.source.state.closed.outcome == "cancelled"


async def test_a_plan_is_saved_and_opened_again(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    app = QoodApp(resources=CPU)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.2)
        await pilot.press(KEYS["models"], "n", "space", KEYS["method"], "down", "space")
        await pilot.press(KEYS["scores"], "down", "space", "h")
        await typed(pilot, "w", str(file))
        plan = setup_of(app).valid_plan()
        assert read_toml(file)[0] == plan
        assert (plan.models, plan.method, plan.headline) == (("vit-narrow",), "percentile", "maxlogit")
        await typed(pilot, "w", str(file))
        assert "already" in told(app), "a file is never written over"
        await pilot.press("escape")
        await pilot.press(KEYS["presets"], "down", "space")
        await pilot.pause(0.1)
        assert setup_of(app).valid_plan() != plan
        await typed(pilot, "o", str(file))
        assert setup_of(app).valid_plan() == plan
        file.write_text("models = ['vit-narow']")
        await typed(pilot, "o", str(file))
        assert "vit-narrow" in told(app) and setup_of(app).valid_plan() == plan


async def test_a_folder_of_images_joins_the_sets(tmp_path: Path, photographs: Path) -> None:
    for image in sorted(photographs.rglob("*.JPEG"))[:25]:
        shutil.copy(image, tmp_path)
    app = QoodApp(resources=CPU)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.2)
        await typed(pilot, "f", f"mine={tmp_path}")
        plan = setup_of(app).valid_plan()
        assert plan.ood_sets[-1] == "mine" and "25 images" in text_of(app, "ood_sets")
        for wrong in (f"digits={tmp_path}", f"mine={tmp_path}", "x=/nowhere", "nonsense"):
            before = setup_of(app).valid_plan()
            await typed(pilot, "f", wrong)
            assert setup_of(app).valid_plan() == before


async def test_a_root_of_image_sets_offers_the_study(tmp_path: Path) -> None:
    root = openood_root(tmp_path)
    app = QoodApp(resources=CPU)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.2)
        await typed(pilot, "k", "vit_base_patch16_224")
        assert "need photographs" in told(app)
        await typed(pilot, "d", str(root))
        await until(pilot, lambda: setup_of(app).offer.is_real)
        plan = setup_of(app).valid_plan()
        assert plan.id_set == "imagenet" and len(plan.models) == 5 and plan.share == 1.0
        assert picks(app, "presets").chosen == ("kuang-wong-2026",)
        assert "not in the data folder" in text_of(app, "ood_sets")
        await typed(pilot, "k", "vit_base_patch16_224")
        assert "vit_base_patch16_224" in setup_of(app).valid_plan().models
        await typed(pilot, "d", "/nowhere")
        await pilot.pause(0.3)
        assert setup_of(app).offer.is_real


async def test_the_mouse_ticks_chooses_groups_and_starts(tmp_path: Path) -> None:
    app = QoodApp(root=tmp_path, resources=CPU)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause(0.2)
        await pilot.click("#summary", offset=(5, ORDER.index("bits")))
        await pilot.pause(0.1)
        assert setup_of(app).group == "bits"
        await pilot.click("#bits", offset=(5, 2))
        await pilot.pause(0.1)
        assert "W8A8" not in setup_of(app).valid_plan().bits
        await pilot.click("#summary", offset=(5, ORDER.index("sizes")))
        await pilot.pause(0.1)
        await pilot.click("#sizes", offset=(5, 2))
        await pilot.press("3", "0", "enter")
        await pilot.pause(0.1)
        assert setup_of(app).valid_plan().ood_images == 30
        await pilot.press("up", "enter", "6", "0")
        assert await click_part(pilot, "keys", "start")
        await until(pilot, lambda: isinstance(app.screen, LiveScreen), 20)
        await pilot.press("K", "y")
        screen = app.screen
        assert isinstance(screen, LiveScreen)
        await until(pilot, lambda: screen.source.state.closed is not None, 40)


async def test_outputs_are_kept_where_that_is_chosen_and_their_size_is_shown(tmp_path: Path) -> None:
    app = QoodApp(root=tmp_path, resources=CPU)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.2)
        setup = setup_of(app)
        numbers = setup.query_one(Numbers)
        assert not setup.valid_plan().keep_outputs and " outputs)" not in text_of(app, "cost")
        setup.focus_group("sizes")
        await pilot.press(*["down"] * 9)
        assert numbers.current.name == "keep_outputs" and numbers.current.text == "no"
        size = in_words(outputs_size(setup.valid_plan(), CPU))
        await pilot.press("enter")
        await pilot.pause(0.1)
        assert setup.valid_plan().keep_outputs and numbers.current.text == "yes"
        assert f"({size} outputs)" in text_of(app, "cost")
        assert f"keep outputs: {size} of logits and features" in text_of(app, "cost")
        await pilot.press("plus")
        assert setup.valid_plan().keep_outputs
        await pilot.press("minus", "minus")
        assert not setup.valid_plan().keep_outputs
        await pilot.press("space")
        assert setup.valid_plan().keep_outputs


async def test_tab_goes_through_the_groups_at_every_width() -> None:
    for size in ((80, 24), (120, 40)):
        app = QoodApp(resources=CPU)
        async with app.run_test(size=size) as pilot:
            await pilot.pause(0.2)
            seen = []
            for _ in range(9):
                seen.append(setup_of(app).group)
                assert app.focused is not None and app.focused.id == seen[-1] and app.focused.display
                await pilot.press("tab")
                await pilot.pause(0.02)
            assert len(set(seen)) == 9
            await pilot.press("shift+tab")
            await pilot.pause(0.02)
            assert setup_of(app).group == seen[-1]


def test_an_unreadable_last_choice_is_no_trouble() -> None:
    path = paths.choice_file("demo")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\xff\x00")
    assert last_choice.recall(is_real=False) is None
    last_choice.remember(preset("quick"), Resources())
    assert last_choice.recall(is_real=False) == (preset("quick"), Resources())


async def test_a_share_that_is_no_whole_percentage_stays_what_it_is() -> None:
    plan = msgspec.structs.replace(preset("demo"), share=0.125, stop_width=0.5)
    app = QoodApp(plan=plan, resources=CPU)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause(0.2)
        assert setup_of(app).valid_plan() == plan
        await pilot.press(KEYS["sizes"], "plus")
        assert setup_of(app).valid_plan().share == pytest.approx(0.17)
