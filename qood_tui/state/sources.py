"""Where a State comes from: a journal that still grows, or one that is played again."""

from __future__ import annotations

import bisect
import math
import re
from pathlib import Path
from typing import Protocol

from engine.errors import InputError, JournalError
from engine.protocol.events import Entry
from engine.session.arrays import Arrays, FinishedRows
from engine.session.layout import JOURNAL
from engine.session.place import Place
from engine.session.session import Session
from engine.text import counted
from qood_tui.state.markers import Kind, Marker, markers, of_kind
from qood_tui.state.state import State, reduce

KEYFRAME_EVENTS = 200
SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
LOST_SECONDS = 3.0
LONGEST_PAUSE = 2.0  # seconds between events in a replay; longer pauses are cut


class SessionSource(Protocol):
    """What the session screen needs, live or not."""

    session: Path
    is_live: bool

    @property
    def state(self) -> State:
        """Return the state at the moment shown."""
        ...

    @property
    def is_moving(self) -> bool:
        """Return whether time passes on the screen even without new events."""
        ...

    def tick(self, elapsed: float) -> bool:
        """Let `elapsed` seconds pass; return whether the state changed."""
        ...

    def rows(self) -> FinishedRows | None:
        """Return the per-sample numbers at the moment shown, None where the arrays are missing."""
        ...


class _LazyArrays:
    """The arrays beside a journal, opened when they are first needed."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._arrays: Arrays | None = None

    def first(self, state: State) -> FinishedRows | None:
        """Return the finished rows of a state."""
        if state.rows == 0:
            return None
        try:
            if self._arrays is None or self._arrays.plan != state.header.plan:
                self._arrays = Arrays(self.place, state.header.plan)
            return self._arrays.first(state.rows)
        except (JournalError, OSError, ValueError):
            return None


class LiveSource:
    """Follow the journal of a session that is being written."""

    is_live = True

    def __init__(self, session: Path) -> None:
        self.session = session
        self._reader = Session.at(session).follow()
        self._arrays = _LazyArrays(self._reader.place)
        self._state = State(self._reader.header)
        self._unwatched = 0.0
        self.lost = False
        self.paused = False  # the screen holds still; the journal is read again later

    @property
    def state(self) -> State:
        """Return the state after everything read so far."""
        return self._state

    @property
    def is_moving(self) -> bool:
        """Return False: only events move a live session."""
        return False

    def tick(self, elapsed: float) -> bool:
        """Read what has been appended, unless the screen is paused."""
        if self.paused:
            return False
        try:
            entries = self._reader.poll()
        except OSError:  # the folder was removed, or its disk does not answer
            was_lost, self.lost = self.lost, True
            return not was_lost
        for entry in entries:
            self._state = reduce(self._state, entry)
        return self._look_for_writer(elapsed) or bool(entries)

    def _look_for_writer(self, elapsed: float) -> bool:
        """Find out now and then whether somebody still writes; return whether that changed."""
        self._unwatched += elapsed
        if self._unwatched < LOST_SECONDS:
            return False
        self._unwatched = 0.0
        before = self.lost
        self.lost = self._state.closed is None and not self._reader.place.is_being_written()
        return self.lost != before

    def rows(self) -> FinishedRows | None:
        """Return the finished rows."""
        return self._arrays.first(self._state)


class ReplaySource:
    """Play a recorded session: pause, speed, seek. Long pauses in it are cut short."""

    is_live = False

    def __init__(self, session: Path) -> None:
        self.session = session
        self._opened = Session.at(session)
        self.entries = self._opened.entries
        self._arrays = _LazyArrays(self._opened.place)
        self.times = play_times(self.entries)
        self.markers = markers(self.entries, self.times)
        self.kind = Kind.ALL  # of the markers that are jumped to
        self._keyframes = _keyframes(State(self._opened.header), self.entries)
        self.playing = True
        self.speed = 4.0
        self.position = 0.0
        self._shown = 0
        self._state = self._keyframes[0]

    @property
    def state(self) -> State:
        """Return the state at the moment shown."""
        return self._state

    @property
    def is_moving(self) -> bool:
        """Return whether the replay plays."""
        return self.playing

    @property
    def length(self) -> float:
        """Return the playing time in seconds."""
        return self.times[-1] if self.times else 0.0

    def tick(self, elapsed: float) -> bool:
        """Play on, if playing."""
        if not self.playing:
            return False
        changed = self.seek(self.position + elapsed * self.speed)
        if self.position >= self.length:
            self.playing = False
            return True
        return changed

    @property
    def ends(self) -> float:
        """Return when the session ended, in seconds since it began."""
        swept = self._opened.sweep
        return swept[-1].t if swept else 0.0

    @property
    def damaged(self) -> int:
        """Return how many lines of the journal are damaged."""
        return self._opened.damaged

    @property
    def missing(self) -> list[str]:
        """List what is damaged in the journal, or missing."""
        journal = self._opened.journal
        missing = [f"{JOURNAL} {what}" for what in journal.damage]
        if journal.torn:
            missing.append(f"{JOURNAL}: its last line ({counted(journal.torn, 'byte')}) is incomplete")
        if journal.unknown:
            missing.append(f"{counted(journal.unknown, 'event')} of a later version, not shown")
        if not self._opened.is_closed:
            missing.append("no closing event: the session was interrupted, or its journal was cut off")
        return missing

    def seek_time(self, seconds: float) -> None:
        """Show the moment so many seconds after the session began, pauses that a replay skips included."""
        shown = bisect.bisect_right([entry.t for entry in self.entries], seconds)
        self.seek(self.times[shown - 1] if shown else 0.0)

    def seek(self, position: float) -> bool:
        """Show the moment `position` seconds into the replay; return whether the state changed."""
        self.position = min(max(position, 0.0), self.length)
        return self._show(bisect.bisect_right(self.times, self.position))

    def step(self, events: int) -> None:
        """Step some events forward or back and pause there."""
        self.playing = False
        wanted = min(max(self._shown + events, 0), len(self.entries))
        self.position = self.times[wanted - 1] if wanted else 0.0
        self._show(wanted)

    @property
    def marker(self) -> Marker | None:
        """Return the marker that the replay stands at, if it stands at one."""
        return next((one for one in self.markers if one.shown == self._shown), None)

    def jump(self, steps: int) -> Marker | None:
        """Go to the next marker of the chosen kind, or the previous one, and pause; return it."""
        there = [one for one in of_kind(self.markers, self.kind) if (one.shown - self._shown) * steps > 0]
        if not there:
            return None
        marker = there[0] if steps > 0 else there[-1]
        self.step(marker.shown - self._shown)
        return marker

    def toggle(self) -> None:
        """Play or pause; at the end, play from the start."""
        self.playing = not self.playing
        if self.playing and self.position >= self.length:
            self.seek(0.0)

    def faster(self, steps: int) -> None:
        """Change the speed by one or more of SPEEDS."""
        at = SPEEDS.index(self.speed) + steps
        self.speed = SPEEDS[min(max(at, 0), len(SPEEDS) - 1)]

    def rows(self) -> FinishedRows | None:
        """Return the rows that were finished at the moment shown."""
        return self._arrays.first(self._state)

    def _show(self, wanted: int) -> bool:
        if wanted == self._shown:
            return False
        frame = wanted // KEYFRAME_EVENTS
        start = frame * KEYFRAME_EVENTS
        if start <= self._shown <= wanted:
            state, start = self._state, self._shown
        else:
            state = self._keyframes[frame]
        for place in range(start, wanted):
            state = reduce(state, self.entries[place])
        self._state, self._shown = state, wanted
        return True


def _keyframes(state: State, entries: list[Entry]) -> list[State]:
    """Return the state after every KEYFRAME_EVENTS events, from which any other is a few steps away."""
    frames = [state]
    for place, entry in enumerate(entries, 1):
        state = reduce(state, entry)
        if place % KEYFRAME_EVENTS == 0:
            frames.append(state)
    return frames


def seconds_of(text: str, whole: float, field: str = "time") -> float:
    """Read a time: `83` seconds, `1:23`, `1:02:03`, `50%` of the whole, or `end`; raise InputError."""
    given = text.strip().lower()
    if given == "end":
        return whole
    if share := re.fullmatch(r"(\d{1,3}(?:\.\d+)?) ?%", given):
        return whole * min(float(share.group(1)), 100.0) / 100.0
    parts = given.split(":")
    if 1 <= len(parts) <= 3 and all(re.fullmatch(r"\d{1,9}(\.\d{1,9})?", part) for part in parts):
        return math.fsum(float(part) * 60**power for power, part in enumerate(reversed(parts)))
    raise InputError(field, text, "give seconds, 1:23, 1:02:03, 50% or end")


def play_times(entries: list[Entry]) -> list[float]:
    """Return when each event is shown, with pauses longer than LONGEST_PAUSE cut to it."""
    times: list[float] = []
    before = now = 0.0
    for entry in entries:
        now += min(max(entry.t - before, 0.0), LONGEST_PAUSE)
        before = max(before, entry.t)
        times.append(now)
    return times
