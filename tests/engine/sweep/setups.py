"""Set up sweeps in this process, for tests of what comes after."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from engine.plan.plan import Plan
from engine.protocol.events import AnyEvent
from engine.protocol.messages import Job
from engine.session import store
from engine.sweep.retry import RetryControl
from engine.sweep.setup import Setup, set_up
from engine.sweep.worker import started
from engine.sweep.workers import Workers
from tests.running import CPU, small_plan
from tests.sweeping import DecodersHere, workers_here


class Here(NamedTuple):
    """A sweep that is set up, and what was emitted meanwhile and since."""

    setup: Setup
    workers: Workers
    control: RetryControl
    events: list[AnyEvent]

    def of(self, kind: type) -> list[Any]:
        """Return the events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]


def tiny_plan(**changes: Any) -> Plan:
    """Return a plan of one small model on 100 images, in chunks of 30."""
    sizes = {"id_images": 40, "ood_images": 30, "chunk_images": 30, "calibration_images": 4}
    given = {"models": ("vit-narrow",), "bits": ("FP32", "W4A4"), "ood_sets": ("noise", "digits"), **sizes}
    return small_plan(**{**given, **changes})


@contextmanager
def set_up_here(place: Path, plan: Plan, *devices: str) -> Iterator[Here]:
    """Set up a sweep of made images."""
    session = store.create(plan, (), place)
    job, events = Job(str(session), plan, CPU, 0), list[AnyEvent]()
    control = RetryControl(events.append, lambda: False)
    with workers_here(DecodersHere(1), *devices) as workers:
        yield Here(set_up(job, started(job, workers, {}), workers, control), workers, control, events)
