"""A session with very many events, made of those that the shipped demo recorded."""

from __future__ import annotations

from pathlib import Path

import msgspec

from engine.protocol.events import Entry, Logged, Measured, Telemetry
from engine.session import store
from engine.session.layout import JOURNAL
from engine.session.seal import sealed
from engine.session.session import Session

EVERY_MEASURED = 50  # of so many made-up events one is a measure, one a log line, the rest telemetry


def long_session(folder: Path, events: int) -> Path:
    """Write the demo's journal with made-up events before its last ones; return its folder."""
    read = Session.at(store.find("demo"))
    header, entries = read.header, read.entries
    *first, last = entries
    telemetry = [e.event for e in first if isinstance(e.event, Telemetry)]
    measured = [e.event for e in first if isinstance(e.event, Measured)]
    folder.mkdir(parents=True, exist_ok=True)
    t, seq = first[-1].t, len(first)
    with (folder / JOURNAL).open("wb") as file:
        file.write(sealed(msgspec.json.encode(header)))
        file.writelines(sealed(msgspec.json.encode(entry)) for entry in first)
        for number in range(events - len(entries)):
            seq, t = seq + 1, t + 0.5
            event = telemetry[number % len(telemetry)]
            if number % EVERY_MEASURED == 0:
                event = measured[number // EVERY_MEASURED % len(measured)]
            elif number % EVERY_MEASURED == 1:
                event = Logged("info", f"line {number}")
            file.write(sealed(msgspec.json.encode(Entry(seq, t, event))))
        file.write(sealed(msgspec.json.encode(Entry(seq + 1, t, last.event))))
    return folder
