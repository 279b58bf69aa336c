"""Waiting for a disk that does not answer: a run pauses, it neither fails nor loses an image."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from engine.datasets.sources.base import TransientError
from engine.protocol.events import AnyEvent, PhaseChanged

RETRY_SECONDS = 5.0
STEP_SECONDS = 0.2

T = TypeVar("T")


class Cancelled(Exception):
    """The user asked to stop; what is finished is kept."""


class RetryControl:
    """Try again until it works; say that the run is paused, and when it goes on."""

    def __init__(self, emit: Callable[[AnyEvent], None], cancelled: Callable[[], bool]) -> None:
        self._emit, self._cancelled = emit, cancelled
        self._phase = PhaseChanged("starting")

    def emit(self, event: AnyEvent) -> None:
        """Pass an event on, and remember what the run was at."""
        if isinstance(event, PhaseChanged):
            self._phase = event
        self._emit(event)

    def stop_if_asked(self) -> None:
        """Raise Cancelled if the user asked to stop."""
        if self._cancelled():
            raise Cancelled

    def patiently(self, work: Callable[[], T]) -> T:
        """Return what `work` returns; while a disk does not answer, pause and try again."""
        paused = False
        while True:
            self.stop_if_asked()
            try:
                found = work()
            except TransientError as error:
                if not paused:
                    every = f"trying again every {RETRY_SECONDS:.0f} s"
                    self._emit(PhaseChanged("paused", f"{error.strerror}; {every}"))
                paused = True
                self._sleep()
            else:
                if paused:
                    self._emit(self._phase)
                return found

    def _sleep(self) -> None:
        until = time.monotonic() + RETRY_SECONDS
        while time.monotonic() < until:
            self.stop_if_asked()
            time.sleep(STEP_SECONDS)
