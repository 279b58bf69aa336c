"""Every screen at three sizes, in dark, light, NO_COLOR and ASCII, against what was seen and found good.

`make snapshots` writes the files anew; a change of them is read in the diff like code.
"""

from __future__ import annotations

import os
from itertools import groupby
from pathlib import Path
from string import ascii_letters, digits

import pytest
from rich.segment import Segment

from engine.session import store
from qood_tui.app import QoodApp
from qood_tui.screens import setup
from tests.qood_tui.driving import SIZES
from tests.qood_tui.scenes import ASCII, DARK, SCENES, settled, shown

FOLDER = Path(__file__).parent / "snapshots"
NAMES_OF_STYLES = ascii_letters + digits
Cells = list[list[tuple[str, str]]]


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Show nothing that differs between machines: no session of the user's, no measured pace, no engine."""
    monkeypatch.setenv("QOOD_SESSIONS", str(tmp_path / "sessions"))
    monkeypatch.setenv("QOOD_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("TEXTUAL_ANIMATIONS", "none")
    monkeypatch.setattr(setup, "measured_pace", lambda is_real: None)
    monkeypatch.setattr(setup.client, "warm", lambda: None)
    monkeypatch.setattr(setup.client, "call", lambda command: None)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.chdir(store.find("demo"))


def cells_of(app: QoodApp) -> Cells:
    """Return every character on the screen with its style."""
    strips = app.screen._compositor.render_strips()
    return [[(s.text, _style(s)) for s in strip if s.text] for strip in strips]


def _style(segment: Segment) -> str:
    style = segment.style
    if style is None:
        return ""
    words = [word for word in ("bold", "dim", "italic", "underline", "reverse") if getattr(style, word)]
    colour, ground = (c.get_truecolor().hex if c else "-" for c in (style.color, style.bgcolor))
    return " ".join([*words, colour, "on", ground])


def text_of(cells: Cells) -> list[str]:
    return ["".join(text for text, _ in row).rstrip() for row in cells]


def styles_of(cells: Cells) -> list[str]:
    """Return the styles as a letter and a count for each run, and what the letters stand for."""
    known: dict[str, str] = {}
    lines = []
    for row in cells:
        spread = [style for text, style in row for _ in text]
        runs = [(style, len(list(run))) for style, run in groupby(spread)]
        for style, _ in runs:
            known.setdefault(style, NAMES_OF_STYLES[len(known) % len(NAMES_OF_STYLES)])
        lines.append("".join(f"{known[style]}{count} " for style, count in runs).rstrip())
    return [*lines, *(f"{letter} = {style}" for style, letter in known.items())]


def snapshot(sections: dict[str, list[str]]) -> str:
    return "".join(
        f"== {name}\n" + "".join(f"{line}\n" for line in lines) for name, lines in sections.items()
    )


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("scene", SCENES)
async def test_a_screen_is_as_it_was_found_good(
    scene: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    app, act = SCENES[scene](**DARK)
    async with app.run_test(size=size) as pilot:
        await shown(pilot, act)
        dark = cells_of(app)
        app.theme = "textual-light"
        await settled(pilot)
        light = cells_of(app)
    monkeypatch.setenv("NO_COLOR", "1")
    app, act = SCENES[scene](**ASCII)
    async with app.run_test(size=size) as pilot:
        await shown(pilot, act)
        plain = cells_of(app)
    assert text_of(light) == text_of(dark)
    assert not "".join(c for line in text_of(plain) for c in line if not c.isascii())
    for _, style in (cell for row in plain for cell in row):
        for colour in (word for word in style.split() if word.startswith("#")):
            assert colour[1:3] == colour[3:5] == colour[5:7], f"{colour} is a colour"
    assert all(sum(len(text) for text, _ in row) == size[0] for row in dark)
    found = snapshot(
        {
            "text": text_of(dark),
            "ascii": text_of(plain),
            "dark": styles_of(dark),
            "light": styles_of(light),
            "ascii without colours": styles_of(plain),
        }
    )
    file = FOLDER / f"{scene}-{size[0]}x{size[1]}.txt"
    if os.environ.get("QOOD_UPDATE_SNAPSHOTS"):
        FOLDER.mkdir(exist_ok=True)
        file.write_text(found, "utf-8")
    assert found == file.read_text("utf-8"), f"{file.name} is another now; make snapshots, and read the diff"
