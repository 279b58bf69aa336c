"""Executors: whichever carries a sweep out, its chunks come in order and to the same bits."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest
from numpy.testing import assert_array_equal

from engine.errors import EngineError
from engine.protocol.events import FitSeen, Logged, OutputsKept, PhaseChanged, VariantReady
from engine.sweep.chunk import ScoredChunk
from engine.sweep.executors import device_process
from engine.sweep.executors.base import Executor
from engine.sweep.executors.device_process import process_setup, serve
from engine.sweep.executors.multi_device import MultiDevice
from engine.sweep.executors.registry import EXECUTORS, executor
from engine.sweep.executors.single_device import SingleDevice
from engine.sweep.retry import Cancelled, RetryControl
from tests.engine.sweep.setups import Here, set_up_here, tiny_plan

LEARNS = {"scores": ("msp", "knn"), "score_parameters": {"knn": {"k": 2}}, "fit_images": 60}


def swept(here: Here, running: Executor) -> list[ScoredChunk]:
    """Return all chunks of a sweep, and write the space of outputs if they are kept."""
    if (outputs := here.setup.output_writer()) is not None:
        outputs.make(here.setup.sets.rows)
    try:
        running.prepare(lambda *_: None)
        return list(running.chunks())
    finally:
        running.close()


def assert_same(one: list[ScoredChunk], other: list[ScoredChunk]) -> None:
    assert [chunk.first for chunk in one] == [chunk.first for chunk in other]
    for first, second in zip(one, other, strict=True):
        assert first.parts.keys() == second.parts.keys()
        for name, array in first.parts.items():
            assert_array_equal(array, second.parts[name], name)
        assert first.kept == second.kept and (first.predicted == second.predicted).all()


@pytest.fixture
def single(tmp_path: Path) -> Iterator[Here]:
    with set_up_here(tmp_path / "single", tiny_plan()) as here:
        yield here


def test_the_devices_decide_which_executor_runs(single: Here) -> None:
    for devices, expected in ((["cpu"], SingleDevice), (["cuda:0", "cuda:1"], MultiDevice)):
        (chosen,) = (one for one in EXECUTORS if one.can_run(devices))
        assert chosen is expected
    running = executor(single.setup, single.workers, single.control)
    running.close()
    assert isinstance(running, SingleDevice)


def test_a_first_look_at_each_variant_comes_before_the_last_is_calibrated(single: Here) -> None:
    looks: list[tuple[int, int, int]] = []
    running = SingleDevice(single.setup, single.workers, single.control)
    try:
        classes = running.prepare(lambda parts, column, of: looks.append((column, len(parts["msp"]), of)))
    finally:
        running.close()
    assert classes == {"vit-narrow FP32": 50, "vit-narrow W4A4": 50}
    assert sorted(looks) == [(0, 30, 50), (1, 30, 50)]
    assert [event.phase for event in single.of(PhaseChanged)][-1] == "sweeping"


def test_a_resumed_sweep_begins_at_its_row_and_shows_no_first_look(tmp_path: Path) -> None:
    looks: list[Any] = []
    with set_up_here(tmp_path, tiny_plan(bits=("FP32",))) as here:
        whole = swept(here, SingleDevice(here.setup, here.workers, here.control))
        job = here.setup.job
        rest = here.setup._replace(job=type(job)(job.session, job.plan, job.resources, 60))
        running = SingleDevice(rest, here.workers, here.control)
        try:
            running.prepare(lambda *arguments: looks.append(arguments))
            chunks = list(running.chunks())
        finally:
            running.close()
    assert_same(chunks, whole[2:])
    assert not looks


def test_a_cancelled_sweep_yields_no_further_chunk(tmp_path: Path) -> None:
    is_cancelled = threading.Event()
    with set_up_here(tmp_path, tiny_plan()) as here:
        control = RetryControl(here.events.append, is_cancelled.is_set)
        running = SingleDevice(here.setup, here.workers, control)
        try:
            running.prepare(lambda *_: None)
            chunks = running.chunks()
            assert next(chunks).first == 0
            is_cancelled.set()
            with pytest.raises(Cancelled):
                next(chunks)
        finally:
            running.close()


def test_two_devices_give_the_bits_of_one_even_if_one_of_them_dies(tmp_path: Path) -> None:
    """Real processes: what is tested is that they agree and that one takes over for the other."""
    plan = tiny_plan(**LEARNS, keep_outputs=True, chunk_images=10)
    with set_up_here(tmp_path / "one", plan) as here:
        alone = swept(here, SingleDevice(here.setup, here.workers, here.control))
        kept = here.of(OutputsKept)
    with set_up_here(tmp_path / "two", plan, "cpu", "cpu") as here:
        running = MultiDevice(here.setup, here.workers, here.control)
        outputs = here.setup.output_writer()
        assert outputs is not None
        outputs.make(here.setup.sets.rows)
        try:
            classes = running.prepare(lambda *_: None)
            assert not here.setup.models.by_name  # their memory is the processes' now
            chunks = running.chunks()
            both = [next(chunks)]
            running.processes[0].process.kill()
            both += chunks
        finally:
            running.close()
    assert classes == {"vit-narrow FP32": 50, "vit-narrow W4A4": 50}
    assert_same(alone, both)
    assert [event.variant for event in here.of(VariantReady)] == [v.key for v in plan.variants()]
    assert here.of(FitSeen) == [FitSeen(60)] and here.of(OutputsKept) == kept  # each process has said so
    (lost,) = (event.text for event in here.of(Logged) if "ended unexpectedly" in event.text)
    assert "the others take over" in lost
    assert not running.processes


def calibrated(here: Here) -> dict[str, str]:
    """Calibrate as the worker does, and return the digests."""
    running = SingleDevice(here.setup, here.workers, here.control)
    try:
        running.prepare(lambda *_: None)
    finally:
        running.close()
    return {event.variant: event.digest for event in here.of(VariantReady)}


def served(here: Here, digests: dict[str, str], monkeypatch: pytest.MonkeyPatch, *firsts: int) -> list[Any]:
    """Return what a process answers that is asked for some chunks and then let go, run in this process."""
    monkeypatch.setattr(device_process.subprocesses, "begin", lambda: None)
    line, other = Pipe()
    setup = process_setup(here.setup, "cpu", 1, digests)
    process = threading.Thread(target=serve, args=(other, setup))
    answers: list[Any] = []
    for first in firsts:
        line.send((first, 7))
    process.start()
    while sum(isinstance(answer, ScoredChunk) for answer in answers) < len(firsts):
        answers.append(line.recv())
        if isinstance(answers[-1], Exception):
            break
    line.close()
    process.join(20)
    assert not process.is_alive()
    return answers


def test_a_process_scores_the_chunks_it_is_asked_for_until_its_line_closes(
    single: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = calibrated(single)
    lost = {"vit-narrow FP32": digests["vit-narrow FP32"]}
    chunks = [one for one in served(single, lost, monkeypatch, 60, 0) if isinstance(one, ScoredChunk)]
    assert [(chunk.first, chunk.batch) for chunk in chunks] == [(60, 7), (0, 7)]
    assert all(not (chunk.parts["msp"][:, 0] > 0).any() for chunk in chunks)
    assert all((chunk.parts["msp"][:, 1] != chunk.parts["msp"][:, 1]).all() for chunk in chunks)


def test_a_process_that_cannot_begin_says_why(single: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = calibrated(single)
    shutil.rmtree(single.setup.session / "quantized")
    answer = served(single, digests, monkeypatch, 0)[-1]
    assert isinstance(answer, EngineError) and "vit-narrow W4A4" in str(answer)


class DeadProcess:
    """A process that died at once."""

    def __init__(self, setup: device_process.ProcessSetup) -> None:
        self.line, self._other = Pipe()
        self._other.close()
        self.device, self.asked, self.process = setup.device, [], self
        self.exitcode = -9

    def ask(self, first: int, batch: int) -> None:
        self.asked.append(first)

    def receive(self) -> None:
        return None

    def end(self) -> None:
        self.line.close()


def test_without_a_process_left_the_sweep_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.sweep.executors.multi_device.DeviceProcess", DeadProcess)
    with set_up_here(tmp_path, tiny_plan(bits=("FP32",)), "cpu", "cpu") as here:
        running = MultiDevice(here.setup, here.workers, here.control)
        running.prepare(lambda *_: None)
        with pytest.raises(EngineError, match=r"cpu ended unexpectedly \(status -9\), and it was the last"):
            list(running.chunks())
        running.close()
    assert len([event for event in here.of(Logged) if "take over" in event.text]) == 1
