"""Draw the pictures of the README from the scenes that the snapshots are of: `make pictures`."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from pathlib import Path

from engine.session import store
from qood_tui.screens import setup
from tests.qood_tui.scenes import DARK, SCENES, SIZES, shown

TARGET = Path(__file__).resolve().parents[1] / "docs" / "screens"
EVERY_SIZE = ("setup", "session-deltas", "compare", "sessions", "number", "help", "export", "search")
NARROW = tuple(name for name in SCENES if name.startswith("session-") and name not in EVERY_SIZE)
WEB = re.compile(r"@font-face\s*\{.*?\}|<!--.*?-->", re.DOTALL)


async def picture(scene: str, size: tuple[int, int]) -> str:
    """Return a scene as an SVG that asks nothing of the network."""
    app, act = SCENES[scene](**DARK)
    async with app.run_test(size=size) as pilot:
        await shown(pilot, act)
        drawn = app.export_screenshot(title="qood-tui")
    drawn = WEB.sub("", drawn).replace("Fira Code", "DejaVu Sans Mono")
    return re.sub(r"terminal-\d+-", "t-", drawn)


def main() -> None:
    """Draw every screen at three sizes, and every pane in a narrow terminal."""
    with tempfile.TemporaryDirectory(prefix="qood-pictures-") as home:
        os.environ.update(
            QOOD_SESSIONS=f"{home}/sessions", QOOD_STATE=home, QOOD_LOGS=home, QOOD_RUNTIME=home
        )
        os.environ.update(QOOD_CONFIG=f"{home}/none.toml", TEXTUAL_ANIMATIONS="none")
        setup.measured_pace = lambda is_real: None  # type: ignore[assignment]
        setup.client.warm = lambda: None  # type: ignore[assignment]
        os.chdir(store.find("demo"))
        TARGET.mkdir(parents=True, exist_ok=True)
        wanted = [(scene, size) for scene in EVERY_SIZE for size in SIZES]
        wanted += [(scene, SIZES[0]) for scene in NARROW] + [("session-interim", SIZES[2])]
        for scene, size in wanted:
            file = TARGET / f"{scene}-{size[0]}x{size[1]}.svg"
            file.write_text(asyncio.run(picture(scene, size)), "utf-8")
            print(file.name, f"{file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
