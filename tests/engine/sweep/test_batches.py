"""How many images go through at once, where memory runs out."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from engine.protocol.events import AnyEvent, BatchSized
from engine.sweep.batches import Batches
from engine.sweep.devices.backend import backend

OUT = RuntimeError("DefaultCPUAllocator: can't allocate memory")


def test_a_late_failure_of_one_thread_does_not_raise_what_another_has_lowered() -> None:
    events: list[AnyEvent] = []
    batches = Batches(64, backend("cpu"), events.append)
    lowered, tried = threading.Event(), []

    def late(size: int) -> int:
        tried.append(size)
        if size == 64:
            lowered.wait(10)
            raise OUT
        return size

    def early(size: int) -> int:
        if size > 8:
            raise OUT
        lowered.set()
        return size

    with ThreadPoolExecutor(2) as pool:
        slow, quick = pool.submit(batches.fitting, late, 0), pool.submit(batches.fitting, early, 0)
        assert (quick.result(), slow.result()) == (8, 8)
    assert tried == [64, 8] and batches.size == 8
    assert [event.images for event in events if isinstance(event, BatchSized)] == [32, 16, 8]
