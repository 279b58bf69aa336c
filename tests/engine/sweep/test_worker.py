"""The worker: jobs in, events out, and one ending for each job, whatever happens."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from engine.errors import EngineError, InputError
from engine.protocol.events import AnyEvent, ChunkFinished, DeltasMeasured, Logged, WorkerStarted
from engine.protocol.messages import Cancel, Ended, Job
from engine.session import store
from engine.sweep import worker
from engine.sweep.retry import Cancelled
from engine.sweep.worker import Channel, Requests, run
from tests.engine.sweep.setups import tiny_plan
from tests.running import CPU


@pytest.fixture
def threads() -> Any:
    """Give the threads back that a job takes from torch."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def job_of(place: Path, first_row: int = 0, **changes: Any) -> Job:
    plan = tiny_plan(bits=("FP32", "W8A8"), ood_sets=("noise",))
    resources = msgspec.structs.replace(CPU, **{"any_accuracy": True, **changes})
    return Job(str(store.create(plan, (), place)), plan, resources, first_row)


@pytest.mark.usefixtures("threads")
def test_a_job_runs_to_its_end_and_begins_with_what_computes_it(tmp_path: Path) -> None:
    events: list[AnyEvent] = []
    assert run(job_of(tmp_path), events.append, lambda: False) == Ended("finished")
    begun = events[0]
    assert isinstance(begun, WorkerStarted) and begun.device == "cpu" and not begun.accelerators
    assert begun.threads >= 1 and {"torch", "pillow", "python", "processor"} <= set(begun.versions)
    assert sum(event.rows for event in events if isinstance(event, ChunkFinished)) == 70
    assert isinstance(events[-1], DeltasMeasured) and events[-1].rows == 70


@pytest.mark.usefixtures("threads")
def test_a_worker_says_that_it_is_idle_once_torch_is_loaded() -> None:
    """In a fresh interpreter: what is loaded here says nothing."""
    code = "from engine.sweep import worker; before = 'torch' in sys.modules; worker.load();"
    code = f"import sys; {code} print(before, 'torch' in sys.modules, 'timm' in sys.modules)"
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert ran.stdout == "False True True\n"


def test_a_cancelled_job_ends_so(tmp_path: Path) -> None:
    events: list[AnyEvent] = []

    def is_cancelled() -> bool:
        return any(isinstance(event, ChunkFinished) for event in events)

    assert run(job_of(tmp_path), events.append, is_cancelled) == Ended("cancelled", "stopped by the user")
    assert sum(isinstance(event, ChunkFinished) for event in events) == 1


def test_devices_that_are_not_there_are_refused(tmp_path: Path) -> None:
    ended = run(job_of(tmp_path, devices="cuda:97"), lambda _: None, lambda: False)
    assert ended.outcome == "refused" and "cuda:97" in ended.reason


@pytest.mark.parametrize(
    ("error", "first_row", "outcome", "words"),
    [
        (Cancelled(), 0, "cancelled", "stopped by the user"),
        (InputError("data", "/secret/place", "it is empty"), 0, "refused", "data: 'place' cannot be used"),
        (InputError("data", "x", "it is empty"), 30, "failed", "it is empty"),
        (EngineError("/secret/place is damaged"), 0, "failed", "place is damaged"),
        (OSError(errno.ENOSPC, "No space left on device", "/secret/place/rank.npy"), 0, "failed", "rank.npy"),
        (torch.OutOfMemoryError("CUDA out of memory"), 0, "failed", "cpu is out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 0, "failed", "out of memory"),
        (ValueError("broken at /secret/place"), 0, "failed", "a defect in the engine (ValueError: broken"),
    ],
)
def test_every_end_is_in_words_that_name_no_folder(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    first_row: int,
    outcome: str,
    words: str,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(worker, "_sweep", fail)
    ended = run(job_of(tmp_path, first_row, data="/secret/place"), lambda _: None, lambda: False)
    assert ended.outcome == outcome and words in ended.reason, ended.reason
    assert "/secret" not in ended.reason


def test_messages_are_whole_lines_and_secrets_are_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_abcdefghijkl")
    file = io.BytesIO()
    channel = Channel(file)
    senders = [
        threading.Thread(target=channel.send, args=(Logged("info", f"{number} with hf_abcdefghijkl"),))
        for number in range(20)
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    assert sorted(int(line["text"].split()[0]) for line in lines) == list(range(20))
    assert b"hf_abcdefghijkl" not in file.getvalue()


def test_a_cancel_reaches_its_session_until_that_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()
    monkeypatch.setattr(os, "_exit", lambda _status: ended.set())
    reading, writing = os.pipe()
    job = job_of(tmp_path)
    with os.fdopen(writing, "wb") as daemon, os.fdopen(reading, "rb") as file:
        requests = Requests(file)

        def send(*messages: Any) -> None:
            daemon.writelines(msgspec.json.encode(message) + b"\n" for message in messages)
            daemon.flush()

        send(job, Cancel(job.session), job)
        assert [requests.next_job() for _ in range(2)] == [job, job]
        assert not requests.is_cancelled(job.session)
        send(Cancel(job.session))
        assert wait_until(lambda: requests.is_cancelled(job.session))
        assert not requests.is_cancelled("another")
        daemon.close()
        assert ended.wait(10)  # nobody would read another event


def wait_until(is_so: Callable[[], bool]) -> bool:
    waiting = threading.Event()
    return any(is_so() or waiting.wait(0.01) for _ in range(1000))
