"""How many images go through at once, where memory runs out."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from engine.protocol.events import AnyEvent, BatchSized
from engine.sweep.batches import Batches, of_each

OUT = RuntimeError("DefaultCPUAllocator: can't allocate memory")


def test_a_late_failure_of_one_thread_does_not_raise_what_another_has_lowered() -> None:
    events: list[AnyEvent] = []
    batches = Batches(64, events.append)
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


def test_work_is_not_done_again_while_some_of_it_still_runs() -> None:
    release, ended = threading.Event(), []

    def work(item: int) -> int:
        if item == 0:
            raise OUT
        release.wait(10)
        ended.append(item)
        return item

    with ThreadPoolExecutor(2) as pool:
        threading.Timer(0.2, release.set).start()
        with pytest.raises(RuntimeError):
            of_each(pool, work, range(2))
        assert ended == [1]
        assert of_each(pool, lambda item: item * 2, range(5)) == [0, 2, 4, 6, 8]
