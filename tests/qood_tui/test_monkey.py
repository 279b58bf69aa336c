"""Random keys, clicks and sizes: whatever is pressed, no screen ever ends in a traceback."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest
from textual import events
from textual.keys import key_to_character

from engine.session import store
from qood_tui.app import QoodApp
from qood_tui.screens.setup import SetupScreen
from qood_tui.settings.actions import GROUPS
from tests.running import CPU

KEYS = 1000
SIZES = ((80, 24), (120, 40), (200, 60), (60, 16), (59, 15), (20, 5), (140, 46))
OTHERS = ("tab", "shift+tab", "up", "down", "pageup", "pagedown", "enter", "escape", "backspace", "x", "4")
STARTS = {"start", "suspend_process", "quit", "cancel"}  # a sweep for every key would only take long


def pressed(random_number: random.Random, count: int) -> list[str]:
    """Return random keys, mostly those that mean something."""
    known = [
        key
        for group in GROUPS.values()
        for action in group
        if action.id not in STARTS
        for key in action.keys.split(",")
    ]
    forbidden = {
        key
        for g in GROUPS.values()
        for a in g
        if a.id in STARTS - {"suspend_process"}
        for key in a.keys.split(",")
    }
    known = [key for key in known if key not in forbidden]
    return [random_number.choice(known if random_number.random() < 0.8 else OTHERS) for _ in range(count)]


def type_at_once(app: QoodApp, keys: list[str]) -> None:
    """Put keys into the queue as somebody does who does not wait for the screen."""
    for key in keys:
        app.post_message(events.Key(key, "/" if key == "slash" else key_to_character(key)))


async def monkey(app: QoodApp, seed: int, count: int) -> None:
    """Press keys in bursts, click somewhere now and then, and change the size."""
    chance = random.Random(seed)
    done: list[str] = []
    keys = pressed(chance, count)
    async with app.run_test(size=(120, 40)) as pilot:
        try:
            while keys and app.is_running:
                burst = keys[: chance.randint(1, 8)]
                keys = keys[len(burst) :]
                if isinstance(app.screen, SetupScreen):
                    burst = [key for key in burst if key not in ("s", "ctrl+g")]
                done += burst
                type_at_once(app, burst)
                await pilot.pause()
                if chance.random() < 0.25:
                    width, height = app.size
                    place = chance.randrange(width), chance.randrange(height)
                    done.append(f"click {place}")
                    await pilot.click(offset=place)
                if chance.random() < 0.15:
                    size = chance.choice(SIZES)
                    done.append(f"size {size}")
                    await pilot.resize_terminal(*size)
        except Exception as error:
            raise AssertionError(f"seed {seed}, after {done[-20:]}") from error
    assert app._exception is None, f"seed {seed}, after {done[-20:]}"


@pytest.mark.parametrize("seed", [1, 2])
async def test_random_keys_in_a_session(
    seed: int, recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QOOD_SESSIONS", str(tmp_path / "sessions"))  # some keys delete what is there
    shutil.copytree(recorded, tmp_path / "sessions" / recorded.name)
    await monkey(QoodApp(store.find("demo"), at=20.0 if seed == 1 else 1e9), seed, KEYS // 4)


async def test_random_keys_in_set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QOOD_SESSIONS", str(tmp_path / "sessions"))
    await monkey(QoodApp(resources=CPU, root=tmp_path), 3, KEYS // 4)


async def test_random_keys_in_a_comparison(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    await monkey(
        QoodApp(store.find("demo"), others=(recorded,)), int(os.environ.get("QOOD_SEED", 4)), KEYS // 4
    )
