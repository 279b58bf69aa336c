"""Measure what must be fast: `make bench`. Prints figures and bounds; exits with 1 where one is missed."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine import client, journal, report, sessions
from engine.plan import preset
from engine.protocol import SessionClosed, SetsPrepared
from engine.resources import Resources
from tests.benchmarks import calibration, of_numbers, scale
from tests.benchmarks.terminal import Terminal

QUIET_SECONDS = 3.0
SETTLE_SECONDS = 8.0  # until the engines of earlier figures have ended


def main() -> int:
    """Run all benchmarks in a home of their own."""
    missed = 0
    with tempfile.TemporaryDirectory(prefix="qood-bench-") as home:
        os.environ.update(
            QOOD_SESSIONS=f"{home}/sessions",
            QOOD_LOGS=f"{home}/logs",
            QOOD_RUNTIME=f"{home}/run",
            XDG_CACHE_HOME=f"{home}/cache",
        )
        try:
            for name, value, bound, unit in measurements():
                fine = value <= bound
                missed += not fine
                print(
                    f"{'ok    ' if fine else 'MISSED'} {name:<58} {value:9.3f} {unit:<8} bound {bound:g}",
                    flush=True,
                )
        finally:
            client.stop()
    return min(missed, 1)


def measurements() -> Iterator[tuple[str, float, float, str]]:
    """Yield name, value, bound and unit of every figure."""
    yield "qood-tui --help, median of 7", help_seconds(), 0.4, "s"
    yield "first paint of set-up, median of 5", first_paint(), 1.2, "s"
    yield "first paint of a replay, median of 5", first_paint("replay", "demo"), 1.2, "s"
    yield from of_numbers.figures()
    yield from calibration.figures()
    session, seconds, first_curve, keys, idle = demo_sweep()
    yield "demo sweep from a cold engine and empty cache", seconds, 90, "s"
    yield "first curve on the screen after start", first_curve, 10, "s"
    yield "a key's effect at full load, 95th percentile", keys * 1000, 100, "ms"
    yield "written while the finished session is idle", idle / 1000, 0.001, "KB/s"
    rows = next(e.event.rows for e in journal.read(session)[1] if isinstance(e.event, SetsPrepared))
    yield "images fewer than 1,500", max(0, 1500 - rows), 0, "images"
    yield "journal", (session / journal.NAME).stat().st_size / 1e6, 1, "MB"
    yield "arrays", sum(f.stat().st_size for f in (session / "arrays").iterdir()) / 1e6, 8, "MB"
    loss = report.document(session).by_bits["W4A4"]
    print(f"       mean AUPR-out loss at W4A4: {loss.value:.4f}, interval {loss.low:.4f} to {loss.high:.4f}")
    yield "minus the lower end of the W4A4 loss interval", -loss.low, 0, ""
    yield "arrays that differ when the same plan runs again", differing(session), 0, "files"
    yield from scale.figures()


def help_seconds() -> float:
    """Time `--help` as a whole process."""
    times = []
    for _ in range(7):
        began = time.monotonic()
        subprocess.run([sys.executable, "-m", "qood_tui", "--help"], check=True, capture_output=True)
        times.append(time.monotonic() - began)
    return statistics.median(times)


def first_paint(*arguments: str) -> float:
    """Time from the start of the process to the first screen, once nothing is cold."""
    times = []
    for _ in range(5):
        with opened(*arguments) as terminal:
            times.append(terminal.wait_for("Models|REPLAY", 20))
        client.stop()
        time.sleep(0.5)
    return statistics.median(times)


def demo_sweep() -> tuple[Path, float, float, float, float]:
    """Start the demo from the set-up screen and watch it to its end."""
    time.sleep(SETTLE_SECONDS)
    shutil.rmtree(os.environ["XDG_CACHE_HOME"], ignore_errors=True)
    before = set(sessions.folders())
    keys = []
    with opened() as terminal:
        terminal.wait_for("Models", 20)
        terminal.press("s")
        began = time.monotonic()
        first_curve = terminal.wait_for(r"FP32 +0\.\d\d\d", 120)
        session = next(iter(set(sessions.folders()) - before))
        reader, closed = journal.Reader(session), False
        while not closed:
            for seen in ("% of FP32", "MSP · points"):
                terminal.press("r")
                keys.append(terminal.wait_for(seen, 5))
                terminal.read(0.3)
            closed = any(isinstance(entry.event, SessionClosed) for entry in reader.poll())
        seconds = time.monotonic() - began
        terminal.read(QUIET_SECONDS)
        written = terminal.written
        terminal.read(QUIET_SECONDS)
        idle = (terminal.written - written) / QUIET_SECONDS
    print(f"       keys pressed: {len(keys)}, median {statistics.median(keys) * 1000:.0f} ms")
    return session, seconds, first_curve, sorted(keys)[int(len(keys) * 0.95)], idle


def differing(session: Path) -> int:
    """Run the demo again without a terminal and count arrays that are not the same bytes."""
    again = sessions.create(preset("demo"), {})
    client.start(again, Resources())
    for _ in client.watch(again):
        pass
    files = sorted((session / "arrays").iterdir())
    return sum(file.read_bytes() != (again / "arrays" / file.name).read_bytes() for file in files)


@contextmanager
def opened(*arguments: str) -> Iterator[Terminal]:
    """Open the terminal application and end it after."""
    terminal = Terminal(*arguments)
    try:
        yield terminal
    finally:
        terminal.close()


if __name__ == "__main__":
    raise SystemExit(main())
