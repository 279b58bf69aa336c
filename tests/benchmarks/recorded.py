"""What must hold of recorded sessions: damage, seeks, checks and reports, on the sessions that ship."""

from __future__ import annotations

import os
import random
import shutil
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from engine import report
from engine.archive.verify import verify
from engine.session import store
from engine.session.layout import JOURNAL
from engine.session.place import Folder
from engine.session.session import Session
from qood_tui.state.sources import ReplaySource
from qood_tui.state.state import fold
from tests.benchmarks.made_up import long_session

MANY_EVENTS = 100_000
SEEKS = 200


def figures(place: Path) -> Iterator[tuple[str, float, float, str]]:
    """Yield name, value, bound and unit of every figure."""
    wrong, cuts = cut_everywhere(store.find("failures"), place / "cut")
    yield f"journal cut at each of {cuts:,} bytes, shown wrongly", wrong, 0, "cuts"
    median, most = seek_milliseconds(place / "long")
    yield "seek in a session of 100,000 events, largest of 200", most, 50, "ms"
    yield "the same, median", median, 50, "ms"
    began = time.perf_counter()
    found = report.document(Session.at(store.find("demo")))
    yield "demo measured again from its arrays", time.perf_counter() - began, 20, "s"
    yield "numbers of the demo that do not agree", len(found.mismatches), 0, "numbers"
    began = time.perf_counter()
    verify(Folder(store.find("demo")), quick=True)
    yield "demo verified by check sums alone", time.perf_counter() - began, 1, "s"


def cut_everywhere(session: Path, place: Path) -> tuple[int, int]:
    """Cut a journal at every byte; return how often not just the whole events were shown, and of how many."""
    entries = Session.at(session).entries
    shutil.copytree(session, place)
    path = place / JOURNAL
    whole = path.read_bytes()
    ends = [at + 1 for at, byte in enumerate(whole) if byte == ord("\n")]
    states = [fold(Session.at(session).header, entries[:count]) for count in range(len(entries) + 1)]
    wrong, count = 0, len(entries)
    for cut in range(len(whole) - 1, ends[0] - 1, -1):
        os.truncate(path, cut)
        while ends[count] > cut:
            count -= 1
        read = Session.at(place)
        header, there, reader = read.header, read.entries, read.journal
        is_right = there == entries[:count] and reader.torn == cut - ends[count] and not reader.skipped
        is_right = is_right and ReplaySource(place).missing != []
        wrong += not (is_right and (cut not in ends or fold(header, there) == states[count]))
    return wrong, len(whole) - ends[0]


def seek_milliseconds(place: Path) -> tuple[float, float]:
    """Return the median and the largest time of random seeks in a long session, the first ones included."""
    source = ReplaySource(long_session(place, MANY_EVENTS))
    chance, times = random.Random(0), []
    for share in (1.0, 0.0, *(chance.random() for _ in range(SEEKS))):
        began = time.perf_counter()
        source.seek(source.length * share)
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times), max(times)
