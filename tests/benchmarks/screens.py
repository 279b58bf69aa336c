"""The terminal's budgets: bytes, processor, latency, memory, in a pseudo-terminal and in the application."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import signal
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from engine.plan.plan import Plan, preset
from engine.protocol.events import SessionClosed
from engine.service import client
from engine.session import store
from engine.session.layout import JOURNAL
from engine.session.session import Session
from qood_tui.app import QoodApp
from qood_tui.screens.session import SessionScreen
from qood_tui.state.view_options import cycle
from tests.benchmarks.made_up import long_session
from tests.benchmarks.terminal import Terminal
from tests.qood_tui.test_monkey import monkey

Figure = tuple[str, float, float, str]
QUIET_SECONDS = 3.0
PRESSES = {  # a key, and what is on the screen after one press of it or another
    "r": ("% of FP32 lost", "· values", "points lost"),
    "x": ("logarithmic", "Precision", "ROC ·"),
    "a": ("AUROC ·", "AUPR-in ·", "FPR95", "AUPR-out ·"),
    "o": ("narrow · digits", "narrow · photo", "narrow · noise", "narrow · unseen"),
}
LONG_EVENTS = 100_000
DAY_EVENTS, DAY_PART = 24 * 3600 // 5 + 3 * 24 * 360, 20  # telemetry every 5 s, other events every 3 1/3 s
RANDOM_KEYS, KEYS_AT_ONCE = 10_000, 500


def figures() -> Iterator[Figure]:
    """Yield name, value, bound and unit of every figure."""
    yield "first paint of set-up, median of 5", first_paint(), 1.0, "s"
    yield "first paint of a replay, median of 5", first_paint("replay", "demo"), 1.0, "s"
    yield from while_sweeping()
    yield "a key's effect while every core works, 95th percentile", latency() * 1000, 50, "ms"
    yield from of_a_long_session()
    yield "memory that a day of live events adds", asyncio.run(a_day()), 5, "MB"
    yield "random keys until a traceback, short of 10,000", float(asyncio.run(random_keys())), 0, "keys"


@contextmanager
def opened(*arguments: str, columns: int = 120, lines: int = 40) -> Iterator[Terminal]:
    """Open the terminal application and end it after."""
    terminal = Terminal(*arguments, columns=columns, lines=lines)
    try:
        yield terminal
    finally:
        terminal.close()


def first_paint(*arguments: str) -> float:
    """Time from the start of the process to the first screen, once nothing is cold."""
    times = []
    for _ in range(5):
        with opened(*arguments) as terminal:
            times.append(terminal.wait_for("Models|REPLAY", 20))
        client.stop()
        time.sleep(0.5)
    return statistics.median(times)


@contextmanager
def sweeping(plan: Plan) -> Iterator[tuple[Terminal, Path]]:
    """Start a plan from the set-up screen and give the terminal once curves are there."""
    before = set(store.folders())
    file = Path(os.environ["QOOD_RUNTIME"]).parent / "bench.toml"
    from engine.plan.resources import Resources
    from engine.plan.toml import to_toml

    file.write_text(to_toml(plan, Resources()))
    with opened("--plan", str(file)) as terminal:
        terminal.wait_for("Models", 20)
        terminal.press("s")
        terminal.wait_for(r"FP32 +0\.\d\d\d", 120)
        yield terminal, next(iter(set(store.folders()) - before))


def while_sweeping() -> Iterator[Figure]:
    """Watch a sweep without touching a key, then a paused, a suspended and a finished one."""
    with sweeping(preset("demo")) as (terminal, session):
        process, reader = psutil.Process(terminal.process), Session.at(session).follow()
        terminal.read(1.0)
        began, written, used = time.monotonic(), terminal.written, _seconds_of(process)
        while not any(isinstance(entry.event, SessionClosed) for entry in reader.poll()):
            terminal.read(0.5)
        seconds = time.monotonic() - began
        written, used = terminal.written - written, _seconds_of(process) - used
        yield "written while a sweep runs, 120x40", written / seconds / 1000, 10, "KB/s"
        yield "one core of the terminal's process meanwhile", 100 * used / seconds, 12, "%"
        terminal.read(QUIET_SECONDS)
        yield "written while the finished session is idle", _written(terminal) / 1000, 0, "KB/s"
    with sweeping(preset("demo")) as (terminal, _):
        terminal.press(" ")
        terminal.read(1.0)
        yield "written while the screen is paused", _written(terminal) / 1000, 0, "KB/s"
        terminal.press(" ")
        terminal.read(1.0)
        terminal.press("\x1a")
        terminal.read(1.0)
        stopped = psutil.Process(terminal.process).status() == psutil.STATUS_STOPPED
        yield "not stopped by ctrl+z", float(not stopped), 0, ""
        yield "written in the background", _written(terminal) / 1000, 0, "KB/s"
        os.kill(terminal.process, signal.SIGCONT)
        yield "shown again after fg", terminal.wait_for("AUPR-out", 5), 1.0, "s"
    client.stop()


def _seconds_of(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _written(terminal: Terminal) -> float:
    """Return the bytes a second that come in some seconds."""
    before = terminal.written
    terminal.read(QUIET_SECONDS)
    return (terminal.written - before) / QUIET_SECONDS


def latency() -> float:
    """Return the 95th percentile of the seconds from a key to its effect on the screen during a sweep."""
    found: dict[str, list[float]] = {key: [] for key in PRESSES}
    with sweeping(preset("demo")) as (terminal, session):
        reader, closed = Session.at(session).follow(), False
        while not closed:
            for key, after in PRESSES.items():
                for seen in after:
                    terminal.read(0.15)
                    terminal.press(key)
                    found[key].append(terminal.wait_for(seen, 5))
            closed = any(isinstance(entry.event, SessionClosed) for entry in reader.poll())
    client.stop()
    every = sorted(seconds for times in found.values() for seconds in times)
    medians = ", ".join(f"{k} {statistics.median(v) * 1000:.0f}" for k, v in found.items())
    print(f"       {len(every)} keys, medians in ms: {medians}; largest {every[-1] * 1000:.0f}")
    return every[int(len(every) * 0.95)]


def of_a_long_session() -> Iterator[Figure]:
    """Open a session of many events and look at its memory."""
    session = long_session(Path(os.environ["QOOD_SESSIONS"]) / "long", LONG_EVENTS)
    times = []
    for _ in range(5):
        with opened("replay", str(session), "--at", "999999") as terminal:
            times.append(terminal.wait_for("Largest loss", 30))
    yield "100,000 events opened and shown at their end, median of 5", statistics.median(times), 1.5, "s"
    with opened("replay", str(session), "--at", "999999") as terminal:
        terminal.wait_for("Largest loss", 30)
        terminal.read(2.0)
        memory = psutil.Process(terminal.process).memory_info().rss / 1e6
        yield "memory with 100,000 events", memory, 200, "MB"
        terminal.press(",")
        terminal.read(0.5)
        terminal.press("\x1b[H")
        yield "seek to the start", terminal.wait_for(r"0:00 of", 5) * 1000, 150, "ms"
    shutil.rmtree(session)


async def a_day() -> float:
    """Return the megabytes that the second half of a simulated day of live events adds to the application.

    Every event is read from the journal of a session that grows, and everything is drawn some thousand times.
    """
    session = Path(os.environ["QOOD_SESSIONS"]) / "day"
    source = long_session(Path(os.environ["QOOD_SESSIONS"]) / "source", DAY_EVENTS)
    lines = (source / JOURNAL).read_bytes().splitlines(keepends=True)[:-1]
    session.mkdir(parents=True, exist_ok=True)
    path = session / JOURNAL
    path.write_bytes(b"".join(lines[:600]))
    app = QoodApp()
    process, half = psutil.Process(), 0.0
    async with app.run_test(size=(200, 60)) as pilot:
        app.open_session(session, live=True)
        await pilot.pause(0.5)
        screen = app.screen
        assert isinstance(screen, SessionScreen)
        with path.open("ab", buffering=0) as file:
            for start in range(600, len(lines), DAY_PART):
                file.write(b"".join(lines[start : start + DAY_PART]))
                screen.source.tick(0.25)
                screen.set_options(
                    ood_set=cycle(screen.options.ood_set, screen.source.state.header.plan.ood_sets)
                )
                await pilot.pause(0.01)
                if not half and start > len(lines) / 2:
                    gc.collect()
                    half = process.memory_info().rss
        gc.collect()
        seen = screen.source.state.seq
    print(f"       {seen:,} events of {DAY_EVENTS:,} were read and drawn")
    shutil.rmtree(source)
    shutil.rmtree(session)
    return (process.memory_info().rss - half) / 1e6


async def random_keys() -> int:
    """Return how many of 10,000 random keys were left when the application ended with an error."""
    pressed = 0
    os.chdir(tempfile.mkdtemp(prefix="qood-keys-"))  # some of the keys save files
    for seed in range(100, 100 + RANDOM_KEYS // KEYS_AT_ONCE):
        demo = store.find("demo")
        app = QoodApp(demo, at=20.0) if seed % 2 else QoodApp(demo, others=(demo,))
        try:
            await monkey(app, seed, KEYS_AT_ONCE)
        except AssertionError as error:
            print(f"       {error}")
            break
        pressed += KEYS_AT_ONCE
    return RANDOM_KEYS - pressed


if __name__ == "__main__":
    for name, value, bound, unit in figures():
        print(
            f"{'ok    ' if value <= bound else 'MISSED'} {name:<58} {value:9.3f} {unit:<8} bound {bound:g}",
            flush=True,
        )
