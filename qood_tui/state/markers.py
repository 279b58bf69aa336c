"""What happened when in a recorded session: the places that a replay can jump to."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from engine.protocol.events import (
    BatchSized,
    Entry,
    ImageUnreadable,
    Logged,
    PhaseChanged,
    ScoresAdded,
    SessionClosed,
    SessionResumed,
    VariantFailed,
    VariantReady,
    WorkerDied,
)
from qood_tui.state.state import describe


class Kind(Enum):
    """What a marker is of, least urgent first; `ALL` is a choice of all of them."""

    ALL = "everything"
    VARIANT = "variants"
    PHASE = "phases"
    WARNING = "warnings"


class Marker(NamedTuple):
    """An event worth going to: how many events are shown there, when, and what happened."""

    shown: int
    time: float
    kind: Kind
    text: str


_OF_PHASES = (PhaseChanged, SessionResumed, ScoresAdded, SessionClosed)
_MARKED = (*_OF_PHASES, VariantReady, VariantFailed, ImageUnreadable, BatchSized, Logged, WorkerDied)
SIGNS = {Kind.VARIANT: "•", Kind.PHASE: "┃", Kind.WARNING: "▲"}


def markers(entries: Sequence[Entry], times: Sequence[float]) -> list[Marker]:
    """Return the markers of a session; `times` says when each entry is shown."""
    found = []
    for at, entry in enumerate(entries):
        event = entry.event
        if not isinstance(event, _MARKED) or (said := describe(event)) is None:
            continue
        level, text = said
        if level != "info":
            found.append(Marker(at + 1, times[at], Kind.WARNING, text))
        elif isinstance(event, VariantReady):
            found.append(Marker(at + 1, times[at], Kind.VARIANT, text))
        elif isinstance(event, _OF_PHASES):
            found.append(Marker(at + 1, times[at], Kind.PHASE, text))
    return found


def of_kind(found: Sequence[Marker], kind: Kind) -> list[Marker]:
    """Return the markers of one kind, or all of them."""
    return [marker for marker in found if kind in (Kind.ALL, marker.kind)]


def on_line(found: Sequence[Marker], length: float, width: int) -> dict[int, Kind]:
    """Return what to mark in each of `width` cells; where several are, the most urgent."""
    cells: dict[int, Kind] = {}
    urgency = list(Kind)
    for marker in found:
        cell = min(int(marker.time / length * width), width - 1) if length else 0
        before = cells.get(cell, Kind.ALL)
        cells[cell] = max(before, marker.kind, key=urgency.index)
    return cells
