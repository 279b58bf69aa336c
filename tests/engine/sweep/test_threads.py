"""Threads that compute."""

from __future__ import annotations

import threading

import pytest
import torch

from engine.sweep import threads

OUT = RuntimeError("DefaultCPUAllocator: can't allocate memory")


def test_each_thread_computes_on_one_core() -> None:
    with threads.pool(2) as pool:
        assert threads.each(pool, lambda _: torch.get_num_threads(), range(4)) == [1] * 4


def test_work_is_not_done_again_while_some_of_it_still_runs() -> None:
    release, ended = threading.Event(), []

    def work(item: int) -> int:
        if item == 0:
            raise OUT
        release.wait(10)
        ended.append(item)
        return item

    with threads.pool(2) as pool:
        threading.Timer(0.2, release.set).start()
        with pytest.raises(RuntimeError):
            threads.each(pool, work, range(2))
        assert ended == [1]
        assert threads.each(pool, lambda item: item * 2, range(5)) == [0, 2, 4, 6, 8]
