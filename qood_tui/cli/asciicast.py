"""A replay as an asciicast: what the terminal would show, for people who do not have this program.

The format is asciicast v2 (docs.asciinema.org): a header, then `[seconds, "o", text]` and markers
`[seconds, "m", label]`, one per line.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO

from rich.color import ColorSystem
from rich.segment import Segment
from textual.pilot import Pilot
from textual.strip import Strip

from engine.archive.transfer import replacing
from engine.errors import InputError
from qood_tui.app import QoodApp
from qood_tui.screens.replay import ReplayScreen
from qood_tui.settings.config import Config
from qood_tui.state.markers import Kind
from qood_tui.state.sources import SPEEDS, ReplaySource
from qood_tui.terminal_size import LEAST
from qood_tui.words import clean

FRAME_SECONDS = 0.25
WANTED_SECONDS = 60  # longest cast if no speed is given
LAST_SECONDS = 2.0  # for which the last frame stays
LARGEST = (400, 200)  # columns and lines
LONGEST_LABEL = 80
MARKED = (Kind.PHASE, Kind.WARNING)
SETTLE_TURNS = 40

Frame = tuple[float, list[Strip]]


class Recorded(ReplaySource):
    """A replay whose time is set only by the recorder."""

    def tick(self, elapsed: float) -> bool:
        """Let no time pass."""
        return False


class Stage(QoodApp):
    """The application with one replay and no user."""

    def __init__(self, source: ReplaySource, theme: str) -> None:
        super().__init__(source.session, config=Config(theme=theme))  # type: ignore[arg-type]
        self.source = source

    def open_session(self, session: Path, *, live: bool | None = None) -> None:
        """Show the replay."""
        self.push_screen(ReplayScreen(self.source))


def check_size(text: str) -> tuple[int, int]:
    """Read `120x40`; raise InputError."""
    columns, _, lines = text.partition("x")
    try:
        size = int(columns), int(lines)
    except ValueError:
        size = 0, 0
    if not all(least <= side <= most for side, least, most in zip(size, LEAST, LARGEST, strict=True)):
        right = f"give COLUMNSxLINES, e.g. 120x40, from {LEAST[0]}x{LEAST[1]} to {LARGEST[0]}x{LARGEST[1]}"
        raise InputError("size", text, right)
    return size


def write(
    session: Path,
    target: Path,
    *,
    size: tuple[int, int] = (120, 40),
    speed: float | None = None,
    theme: str = "dark",
    force: bool = False,
) -> float:
    """Write what the screen shows while a session is replayed; return the length in seconds.

    Without a speed, the lowest one that ends within a minute is used. Raises InputError, JournalError.
    """
    source = Recorded(session)
    if speed is None:
        speed = next((s for s in SPEEDS if s >= 1 and source.length / s <= WANTED_SECONDS), SPEEDS[-1])
    source.speed = speed
    with replacing(target, force=force) as file:
        return asyncio.run(_write(source, file, size, theme))


async def _write(source: ReplaySource, file: IO[bytes], size: tuple[int, int], theme: str) -> float:
    columns, lines = size
    title = clean(source.session.resolve().name)
    _line(file, {"version": 2, "width": columns, "height": lines, "title": title})
    marks = [mark for mark in source.markers if mark.kind in MARKED]
    shown: list[Strip] = []
    _line(file, [0.0, "o", "\x1b[?25l\x1b[?7l\x1b[0m\x1b[2J"])
    now = 0.0
    async for now, strips in frames(source, size, theme):
        while marks and marks[0].time / source.speed <= now:
            mark = marks.pop(0)
            _line(file, [round(mark.time / source.speed, 3), "m", clean(mark.text)[:LONGEST_LABEL]])
        if text := changed(shown, strips):
            _line(file, [round(now, 3), "o", text])
        shown = strips
    _line(file, [round(now + LAST_SECONDS, 3), "o", "\x1b[0m\x1b[?7h\x1b[?25h"])
    return now + LAST_SECONDS


def _line(file: IO[bytes], content: object) -> None:
    file.write(json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")


async def frames(source: ReplaySource, size: tuple[int, int], theme: str) -> AsyncIterator[Frame]:
    """Yield what the screen shows, four times per second from start to end."""
    app = Stage(source, theme)
    async with app.run_test(size=size) as pilot:
        now = 0.0
        while True:
            position = min(now * source.speed, source.length)
            source.playing = position < source.length
            source.seek(position)
            yield now, await _settled(pilot)
            if not source.playing:
                return
            now += FRAME_SECONDS


async def _settled(pilot: Pilot[None]) -> list[Strip]:
    """Return the lines of the screen once they no longer change."""
    screen = pilot.app.screen
    before: list[Strip] = []
    for _ in range(SETTLE_TURNS):
        if isinstance(screen, ReplayScreen):
            screen.draw()
        await pilot.pause()
        now = screen._compositor.render_strips()
        if now == before:
            break
        before, screen = now, pilot.app.screen
    return before


def changed(before: list[Strip], after: list[Strip]) -> str:
    """Return what turns some lines on a terminal into others: only the cells that differ."""
    parts = []
    for row, strip in enumerate(after):
        old = before[row] if row < len(before) else Strip.blank(0)
        if old == strip:
            continue
        first, end = _span(_cells(old), _cells(strip))
        if first < end:
            parts.append(f"\x1b[{row + 1};{first + 1}H{_ansi(strip.crop(first, end))}")
    return "".join(parts)


def _cells(strip: Strip) -> list[tuple[str, object]]:
    """Return the content of each cell; a wide character is in the first of its two cells."""
    cells: list[tuple[str, object]] = []
    for segment in strip:
        style = segment.style
        for character in segment.text:
            width = Segment(character).cell_length
            cells += [(character, style), *[("", style)] * (width - 1)]
    return cells


def _span(old: list[tuple[str, object]], new: list[tuple[str, object]]) -> tuple[int, int]:
    """Return the first and the end of the cells that differ, extended to whole characters."""
    differing = [at for at, cell in enumerate(new) if at >= len(old) or old[at] != cell]
    if not differing:
        return 0, 0
    first, end = differing[0], differing[-1] + 1
    while first and new[first][0] == "":
        first -= 1
    while end < len(new) and new[end][0] == "":
        end += 1
    return first, end


def _ansi(strip: Strip) -> str:
    """Return a line with colour codes, one per run of equal style."""
    parts: list[str] = []
    for text, style, control in Segment.simplify(strip):
        if not control and text:
            parts.append(style.render(text, color_system=ColorSystem.TRUECOLOR) if style else text)
    return "".join(parts)
