"""Every screen as it is kept as a snapshot and shown in pictures; the shipped session is the only input."""

from __future__ import annotations

import atexit
import shutil
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import msgspec
from textual.pilot import Pilot

from engine.plan.resources import Resources
from engine.session import store
from engine.session.layout import JOURNAL
from qood_tui.app import QoodApp
from qood_tui.panes.layout import NAMES
from qood_tui.settings.config import Config
from qood_tui.setup.choices import KEYS
from tests.qood_tui.driving import SIZES, until

END = 1e9
MIDDLE = 21.0  # seconds into the demo: interim numbers with intervals
Scene = Callable[..., tuple[QoodApp, Callable[[Pilot[None]], Awaitable[None]]]]


def opened(*keys: str, at: float = END, session: str = "demo") -> Scene:
    """Return a replay of a session that ships after some keys."""

    def scene(**options: Any) -> tuple[QoodApp, Callable[[Pilot[None]], Awaitable[None]]]:
        app = QoodApp(store.find(session), at=at, **options)

        async def act(pilot: Pilot[None]) -> None:
            await pilot.press(*keys)

        return app, act

    return scene


def _setup(*keys: str) -> Scene:
    def scene(**options: Any) -> tuple[QoodApp, Callable[[Pilot[None]], Awaitable[None]]]:
        app = QoodApp(resources=Resources(devices="cpu"), **options)

        async def act(pilot: Pilot[None]) -> None:
            await pilot.press(*keys)
            await app.workers.wait_for_complete()

        return app, act

    return scene


@cache
def interrupted() -> Path:
    """Return the demo as if it had been interrupted in the middle."""
    session = Path(mkdtemp(prefix="qood-scenes-")) / "demo-interrupted"
    session.mkdir()
    atexit.register(shutil.rmtree, session.parent, ignore_errors=True)
    lines = (store.find("demo") / JOURNAL).read_bytes().splitlines(keepends=True)
    kept = [line for line in lines[1:] if msgspec.json.decode(line)["t"] < MIDDLE]
    (session / JOURNAL).write_bytes(b"".join([lines[0], *kept]))
    return session


def _compared(*keys: str) -> Scene:
    def scene(**options: Any) -> tuple[QoodApp, Callable[[Pilot[None]], Awaitable[None]]]:
        app = QoodApp(store.find("demo"), others=(interrupted(),), **options)

        async def act(pilot: Pilot[None]) -> None:
            await pilot.press(*keys)

        return app, act

    return scene


SCENES: dict[str, Scene] = {
    "setup": _setup(),
    "setup-scores": _setup(KEYS["scores"], "down", "space"),
    "search": _setup("slash", *"deit"),
    "sessions": _setup("l", "space"),
    **{f"session-{name}": opened("L", str(number)) for number, name in enumerate(NAMES, 1)},
    "session-sorted": opened("L", "s", "5"),
    "session-interim": opened("L", "5", at=MIDDLE),
    "session-beginning": opened(at=0.0),
    "session-marked": opened("L", "v", "m", "v", "1"),
    "session-maximised": opened("L", "5", "z"),
    "session-failures": opened("5", "N", "N", session="failures"),
    "number": opened("L", "d"),
    "export": opened("L", "5", "e"),
    "help": opened("question_mark"),
    "compare": _compared(),
    "compare-cells": _compared("x"),
}
DARK = {"config": Config(theme="dark")}
ASCII = {"config": Config(theme="dark"), "ascii_only": True}
__all__ = ["ASCII", "DARK", "SCENES", "SIZES", "shown"]


async def shown(pilot: Pilot[None], act: Callable[[Pilot[None]], Awaitable[None]]) -> None:
    """Play a scene and wait until nothing moves any more."""
    app = pilot.app
    await until(pilot, lambda: len(app.screen_stack) > 1)
    await pilot.pause(0.05)
    await act(pilot)
    await settled(pilot)


async def settled(pilot: Pilot[None]) -> None:
    """Wait until two looks at the screen are the same."""
    app = pilot.app
    before: list[str] = []
    for _ in range(80):
        await pilot.pause(0.05)
        now = ["".join(s.text for s in strip) for strip in app.screen._compositor.render_strips()]
        if now == before:
            return
        before = now
