"""Which devices are chosen, and that a sweep asks its kind of device for all that differs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from engine import catalog
from engine.errors import InputError
from engine.plan.resources import check_devices
from engine.protocol.events import BatchSized, ChunkFinished, WorkerStarted
from engine.session import store
from engine.session.session import Session
from engine.sweep import batches
from engine.sweep.devices.backend import Accelerator, backend, is_out_of_memory
from engine.sweep.devices.choice import CPU, choose
from engine.sweep.devices.cpu import Cpu
from engine.sweep.devices.cuda import Cuda
from tests.engine.sweep.setups import tiny_plan
from tests.running import CPU as ON_CPU
from tests.sweeping import run_until

FIRST = Accelerator("cuda:0", "GPU-a", "H100", 0.0)
SECOND = Accelerator("cuda:1", "GPU-b", "H100", 0.0)
IN_USE = Accelerator("cuda:2", "GPU-c", "H100", 0.5)
OTHER = Accelerator("cuda:3", "GPU-d", "T4", 0.0)

Gpus = Callable[..., None]


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Gpus:
    """Return what puts GPUs into this machine."""

    def put(*accelerators: Accelerator) -> None:
        monkeypatch.setattr(Cuda, "accelerators", lambda _: list(accelerators))

    return put


def test_free_gpus_are_taken_and_the_cpu_only_where_there_is_none(gpus: Gpus) -> None:
    gpus()
    assert choose("auto") == choose("cpu") == [CPU] and choose("cpu,cpu") == [CPU, CPU]
    gpus(FIRST, SECOND, IN_USE)
    assert choose("auto") == [FIRST, SECOND]
    assert choose("cuda") == [FIRST, SECOND, IN_USE]
    assert choose("cuda:2,cuda:0") == [IN_USE, FIRST]
    assert choose("cpu") == [CPU]


@pytest.mark.parametrize(
    ("present", "devices", "words"),
    [
        ((), "cuda", ("cuda", "doctor")),
        ((), "cuda:97", ("cuda:97", "no GPU")),
        ((FIRST,), "cuda:97", ("cuda:97", "cuda:0")),
        ((IN_USE,), "auto", ("cuda:2", "50%", "or cpu")),
        ((FIRST, SECOND), "cuda:0,cuda:0", ("cuda:0", "only once")),
        ((FIRST, OTHER), "cuda:0,cuda:3", ("one kind",)),
        ((FIRST,), "cuda:0,cpu", ("one kind",)),
    ],
)
def test_devices_that_cannot_be_used_are_named(
    gpus: Gpus, present: tuple[Accelerator, ...], devices: str, words: tuple[str, ...]
) -> None:
    gpus(*present)
    with pytest.raises(InputError) as caught:
        choose(devices)
    assert all(word in str(caught.value) for word in ("devices", *words)), str(caught.value)


def test_names_of_devices_follow_from_the_catalog() -> None:
    for kind in catalog.ACCELERATORS:
        check_devices(kind)
        check_devices(f"{kind}:0,{kind}:11,cpu")
    for wrong in ("", "tpu", "cuda:", "cuda:x", "cpu,", "auto,cpu", "cuda,cuda"):
        with pytest.raises(InputError, match="devices"):
            check_devices(wrong)


def test_chunks_are_divided_into_equal_batches() -> None:
    cpu, gpu = backend("cpu"), backend("cuda")
    assert cpu.first_batch(125, 32) == 125
    assert [cpu.first_batch(chunk, 224) for chunk in (16, 17, 24, 125)] == [16, 9, 12, 16]
    assert cpu.first_batch(125, 1024) == 1
    assert [gpu.first_batch(chunk, 224) for chunk in (256, 257, 1000)] == [256, 129, 250]


def test_a_gpu_rounds_to_tf32_only_where_a_plan_says_so() -> None:
    flags = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [flag.allow_tf32 for flag in flags]
    try:
        for tf32 in (True, False):
            backend("cuda").configure(tf32=tf32)
            assert [flag.allow_tf32 for flag in flags] == [tf32, tf32]
    finally:
        for flag, value in zip(flags, before, strict=True):
            flag.allow_tf32 = value


def test_a_lack_of_memory_is_told_from_other_errors() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


class Small(Cpu):
    """A kind of device with one thread and little memory, of which it reports a lack in its own words."""

    def __init__(self) -> None:
        self.configured: list[bool] = []
        self.scored = self.released = 0

    def threads(self, cores: int) -> int:
        return 1

    def most_images(self, side: int) -> int:
        return 8

    def configure(self, *, tf32: bool) -> None:
        self.configured.append(tf32)

    def scoring_device(self, device: torch.device) -> torch.device:
        self.scored += 1
        return device

    def release_memory(self) -> None:
        self.released += 1

    def is_out_of_memory(self, error: BaseException) -> bool:
        return "the small device is full" in str(error)


def test_another_kind_of_device_is_one_class_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    normalise = batches.normalise
    entry = catalog.Device("cpu", "small devices", "tests.engine.sweep.test_devices:Small")
    monkeypatch.setattr(catalog, "DEVICES", {**catalog.DEVICES, "cpu": entry})
    backend.cache_clear()
    small = backend("cpu")
    assert isinstance(small, Small)

    def limited(images: torch.Tensor, loaded: object) -> torch.Tensor:
        if len(images) > 4:
            raise RuntimeError("the small device is full")
        return normalise(images, loaded)  # type: ignore[arg-type]

    monkeypatch.setattr(batches, "normalise", limited)
    plan = tiny_plan(bits=("FP32",))
    session = store.create(plan, (), tmp_path)
    try:
        assert run_until(session, ON_CPU) == "finished"
    finally:
        backend.cache_clear()
    events = [entry.event for entry in Session.at(session).entries]
    sizes = [(event.first, event.images) for event in events if isinstance(event, BatchSized)]
    assert sizes == [(0, 8), (0, 4)]
    assert {event.batch for event in events if isinstance(event, ChunkFinished)} == {4}
    assert [event.threads for event in events if isinstance(event, WorkerStarted)] == [1]
    assert small.configured == [False] and small.scored and small.released
    assert np.isfinite(np.load(session / "arrays" / "msp.npy")).all()
