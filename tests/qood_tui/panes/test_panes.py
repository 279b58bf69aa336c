"""Panes on sessions that the tests' machine cannot record: several GPUs, wide letters, forty OOD sets."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.protocol.events import (
    AnyEvent,
    CurvesDrawn,
    DeltasMeasured,
    DeviceLoad,
    Header,
    Logged,
    PhaseChanged,
    Telemetry,
    WorkerStarted,
)
from engine.session.layout import JOURNAL
from engine.session.seal import sealed
from engine.session.session import Session
from qood_tui.app import QoodApp
from tests.qood_tui.driving import SIZES, at_end, screen_lines, text_of, title_of, until


def rewritten(
    session: Path,
    change: Callable[[AnyEvent], AnyEvent],
    header: Callable[[dict[str, Any]], None] = lambda plain: None,
) -> Path:
    """Change every event of a session, and its header."""
    read = Session.at(session)
    before, entries = read.header, read.entries
    plain = msgspec.to_builtins(before)
    header(plain)
    lines = [msgspec.json.encode(msgspec.convert(plain, Header))]
    lines += [msgspec.json.encode(msgspec.structs.replace(e, event=change(e.event))) for e in entries]
    (session / JOURNAL).write_bytes(b"".join(map(sealed, lines)))
    return session


@pytest.mark.parametrize("size", SIZES)
async def test_every_gpu_has_a_line_with_what_it_tells(copied: Path, size: tuple[int, int]) -> None:
    gib = 2**30
    loads = (
        DeviceLoad(97.0, 40 * gib, 80 * gib, 612.0, 700.0, 71.0),
        DeviceLoad(3.0, 1 * gib, 80 * gib, None, None, None),
    )

    def change(event: AnyEvent) -> AnyEvent:
        if isinstance(event, Telemetry):
            return msgspec.structs.replace(event, devices=loads)
        if isinstance(event, WorkerStarted):
            names = {"GPU-a": "NVIDIA H100 80GB HBM3", "GPU-b": "NVIDIA H100 80GB HBM3"}
            return msgspec.structs.replace(event, device="cuda:0, cuda:1", accelerators=names)
        return event

    app = QoodApp(rewritten(copied, change))
    async with app.run_test(size=size) as pilot:
        await at_end(pilot)
        await pilot.press("7")
        await pilot.pause(0.1)
        lines = [line for line in text_of(app, "engine").splitlines() if line.startswith("NVIDIA")]
        assert len(lines) == 2
        assert "97 %" in lines[0] and "40.0 GiB of 80.0 GiB, 612 of 700 W, 71 °C" in lines[0]
        assert "3 %" in lines[1] and " W" not in lines[1]


async def test_wide_letters_and_escapes_in_the_log_stay_in_their_pane(copied: Path) -> None:
    words = "漢字" * 60 + "\x1b[31m[bold]x[/bold]"

    def change(event: AnyEvent) -> AnyEvent:
        return Logged("warning", words) if isinstance(event, PhaseChanged) else event

    app = QoodApp(rewritten(copied, change))
    async with app.run_test(size=(80, 24)) as pilot:
        await at_end(pilot)
        await pilot.press("8", "pageup")
        await until(pilot, lambda: any("漢字" in line for line in screen_lines(app)))
        assert all(line.rstrip().endswith(("│", "╮", "╯")) for line in screen_lines(app)[5:-1])
        assert "warning" in title_of(app, "log")


@pytest.mark.parametrize("size", SIZES)
async def test_forty_ood_sets_can_all_be_reached(copied: Path, size: tuple[int, int]) -> None:
    names = [f"set-{number:02d}" for number in range(40)]
    rows = {"unseen-fractals": names[0], "digits": names[1], "photo-patches": names[2], "noise": names[3]}

    def header(plain: dict[str, Any]) -> None:
        plain["plan"]["ood_sets"] = names

    def change(event: AnyEvent) -> AnyEvent:
        text = msgspec.json.encode(event).decode()
        for old, new in rows.items():
            text = text.replace(f'"{old}"', f'"{new}"')
        return msgspec.json.decode(text, type=AnyEvent)

    app = QoodApp(rewritten(copied, change, header))
    async with app.run_test(size=size) as pilot:
        await at_end(pilot)
        seen = set()
        for _ in names:
            seen |= {name for name in names if name in text_of(app, "deltas").splitlines()[0]}
            await pilot.press("o")
        assert size[0] < 100 or seen == set(names)
        assert "more sets: press o" in title_of(app, "deltas")


@pytest.mark.parametrize("huge", ["1e308", "-1e308", "1e20"])
async def test_numbers_of_any_size_are_drawn_somehow(copied: Path, huge: str) -> None:
    for file in (copied / "arrays").iterdir():
        file.unlink()

    def change(event: AnyEvent) -> AnyEvent:
        if not isinstance(event, DeltasMeasured | CurvesDrawn):
            return event
        text = re.sub(
            r'("(?:value|low|high)":|"fpr":\[)-?[0-9.e-]+',
            rf"\g<1>{huge}",
            msgspec.json.encode(event).decode(),
        )
        return msgspec.json.decode(text, type=AnyEvent)

    app = QoodApp(rewritten(copied, change))
    async with app.run_test(size=(200, 60)) as pilot:
        await at_end(pilot)
        for key in (*"12345678", "r", "x", "x", "s", "L", "d", "escape", "e", "escape"):
            await pilot.press(key)
        await pilot.pause(0.1)
    assert app._exception is None


async def test_what_the_study_states_stands_beside_each_calibration_draw(copied: Path) -> None:
    names = {"vit-narrow W8A8": "", "vit-narrow W4A4": " #2"}

    def change(event: AnyEvent) -> AnyEvent:
        if not isinstance(event, DeltasMeasured):
            return event
        stated = "vit_small_patch16_224.augreg_in1k W4A4"
        variants = (
            msgspec.structs.replace(
                v, variant=f"{stated}{names[v.variant]}" if v.variant in names else v.variant
            )
            for v in event.variants
        )
        return msgspec.structs.replace(event, variants=tuple(variants))

    app = QoodApp(rewritten(copied, change))
    async with app.run_test(size=(200, 60)) as pilot:
        await at_end(pilot)
        await pilot.press("4")
        await pilot.pause(0.1)
        told = [line for line in text_of(app, "study").splitlines() if "stated 9.5 %" in line]
        assert len(told) == 2
        assert "#" not in told[0] and " #2, AUPR-out" in told[1]
