"""A run pauses while a disk does not answer."""

from __future__ import annotations

import errno

import pytest

from engine.datasets.sources.base import TransientError
from engine.protocol.events import AnyEvent, PhaseChanged
from engine.sweep import retry
from engine.sweep.retry import Cancelled, RetryControl


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "RETRY_SECONDS", 0.02)
    monkeypatch.setattr(retry, "STEP_SECONDS", 0.01)


class Disk:
    """A disk that answers after so many failures."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    def read(self) -> str:
        if self.failures:
            self.failures -= 1
            raise TransientError(errno.EIO, "Input/output error")
        return "data"


def test_a_disk_that_answers_pauses_nothing() -> None:
    events: list[AnyEvent] = []
    assert RetryControl(events.append, lambda: False).retrying(Disk(0).read) == "data"
    assert not events


def test_a_pause_is_reported_once_and_the_phase_again_when_it_ends() -> None:
    events: list[AnyEvent] = []
    control = RetryControl(events.append, lambda: False)
    phase = PhaseChanged("checking", "the contents of 3 images")
    control.emit(phase)
    assert control.retrying(Disk(3).read) == "data"
    assert [event.phase for event in events if isinstance(event, PhaseChanged)] == [
        "checking",
        "paused",
        "checking",
    ]
    assert "Input/output error" in str(events[1]) and events[2] == phase


def test_a_paused_run_can_be_cancelled() -> None:
    events: list[AnyEvent] = []
    control = RetryControl(events.append, lambda: bool(events))
    with pytest.raises(Cancelled):
        control.retrying(Disk(10**9).read)
    assert len(events) == 1


def test_other_errors_are_not_retried() -> None:
    def defect() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        RetryControl(lambda _: None, lambda: False).retrying(defect)
