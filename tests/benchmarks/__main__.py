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
from pathlib import Path

from engine import report
from engine.plan.plan import preset
from engine.plan.resources import Resources
from engine.protocol.events import SessionClosed, SetsPrepared
from engine.service import client
from engine.session import store
from engine.session.layout import JOURNAL
from engine.session.session import Session
from tests.benchmarks import calibration, of_numbers, recorded, scale, screens
from tests.benchmarks.screens import opened

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
    yield from screens.figures()
    yield from recorded.figures(Path(tempfile.mkdtemp(prefix="qood-recorded-")))
    yield from of_numbers.figures()
    yield from calibration.figures()
    session, seconds, first_curve = demo_sweep()
    yield "demo sweep from a cold engine and empty cache", seconds, 90, "s"
    yield "first curve on the screen after start", first_curve, 10, "s"
    rows = next(e.event.rows for e in Session.at(session).entries if isinstance(e.event, SetsPrepared))
    yield "images fewer than 1,500", max(0, 1500 - rows), 0, "images"
    yield "journal", (session / JOURNAL).stat().st_size / 1e6, 1, "MB"
    yield "arrays", sum(f.stat().st_size for f in (session / "arrays").iterdir()) / 1e6, 8, "MB"
    loss = report.document(Session.at(session)).by_bits["W4A4"]
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


def demo_sweep() -> tuple[Path, float, float]:
    """Start the demo from the set-up screen and watch it to its end."""
    time.sleep(SETTLE_SECONDS)
    shutil.rmtree(os.environ["XDG_CACHE_HOME"], ignore_errors=True)
    before = set(store.folders())
    with opened("--preset", "demo") as terminal:
        terminal.wait_for("Models", 20)
        terminal.press("s")
        began = time.monotonic()
        first_curve = terminal.wait_for(r"FP32 +0\.\d\d\d", 120)
        session = next(iter(set(store.folders()) - before))
        reader, closed = Session.at(session).follow(), False
        while not closed:
            terminal.read(0.2)
            closed = any(isinstance(entry.event, SessionClosed) for entry in reader.poll())
        seconds = time.monotonic() - began
    return session, seconds, first_curve


def differing(session: Path) -> int:
    """Run the demo again without a terminal and count arrays that are not the same bytes."""
    again = store.create(preset("demo"), {})
    client.start(again, Resources())
    for _ in client.watch(again):
        pass
    files = sorted((session / "arrays").iterdir())
    return sum(file.read_bytes() != (again / "arrays" / file.name).read_bytes() for file in files)


if __name__ == "__main__":
    raise SystemExit(main())
