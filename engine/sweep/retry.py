"""Waiting for a disk that does not answer: the run pauses; it neither fails nor loses an image."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from engine.datasets.sources.base import TransientError
from engine.protocol.events import AnyEvent, PhaseChanged

RETRY_SECONDS = 5.0
STEP_SECONDS = 0.2

T = TypeVar("T")
Item = TypeVar("Item")
Emit = Callable[[AnyEvent], None]


class Cancelled(Exception):
    """The user asked to stop; what is finished is kept."""


class RetryControl:
    """Retry reads that a disk does not answer; report when the run pauses and resumes.

    All events of a run pass through `emit`, so that the phase to return to is known.
    """

    def __init__(self, emit: Emit, is_cancelled: Callable[[], bool]) -> None:
        self._emit, self._is_cancelled = emit, is_cancelled
        self._phase = PhaseChanged("starting")

    def emit(self, event: AnyEvent) -> None:
        """Pass an event on."""
        if isinstance(event, PhaseChanged):
            self._phase = event
        self._emit(event)

    def stop_if_asked(self) -> None:
        """Raise Cancelled if the user asked to stop."""
        if self._is_cancelled():
            raise Cancelled

    def stoppable(self, work: Callable[[Item], T]) -> Callable[[Item], T]:
        """Return `work` that raises Cancelled instead of starting once the user asked to stop."""

        def guarded(item: Item) -> T:
            self.stop_if_asked()
            return work(item)

        return guarded

    def retrying(self, work: Callable[[], T]) -> T:
        """Return what `work` returns; while a disk does not answer, pause and try again."""
        is_paused = False
        while True:
            self.stop_if_asked()
            try:
                result = work()
            except TransientError as error:
                if not is_paused:
                    interval = f"trying again every {RETRY_SECONDS:.0f} s"
                    self._emit(PhaseChanged("paused", f"{error.strerror}; {interval}"))
                is_paused = True
                self._sleep()
            else:
                if is_paused:
                    self._emit(self._phase)
                return result

    def _sleep(self) -> None:
        until = time.monotonic() + RETRY_SECONDS
        while time.monotonic() < until:
            self.stop_if_asked()
            time.sleep(STEP_SECONDS)
