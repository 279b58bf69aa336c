from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pynvml
import pytest

from engine.doctor import accelerators
from engine.doctor.accelerators import Driver, Gpu, ProbedDevice, Torch
from tests.engine.doctor.surroundings import GIB, file

GPUS = (Gpu("NVIDIA X", "GPU-aa", 79 * GIB, 80 * GIB), Gpu("NVIDIA X", "GPU-bb", 79 * GIB, 80 * GIB))
DRIVER = Driver(2, "570.86", (12, 8), GPUS)


def seen(*faults: str) -> tuple[ProbedDevice, ...]:
    return tuple(
        ProbedDevice("NVIDIA X", gpu.uuid[4:], wrong) for gpu, wrong in zip(GPUS, faults, strict=False)
    )


NONE_SEEN = "No CUDA GPUs are available"


@pytest.mark.parametrize(
    ("driver", "torch", "visible", "level", "words"),
    [
        (DRIVER, Torch("12.8", seen("", "")), None, "good", ("12.8", "570.86", "2 of 2")),
        (DRIVER, Torch("12.8", seen("")), "1", "good", ("1 of 2", "CUDA_VISIBLE_DEVICES='1'")),
        (DRIVER, Torch("", reason="not compiled"), None, "bad", ("2 NVIDIA GPUs", "without CUDA", "12.8")),
        (DRIVER, Torch(None, reason="no libcudart"), None, "bad", ("2 NVIDIA GPUs", "does not import")),
        (DRIVER, Torch("13.0", reason="old"), None, "bad", ("570.86 is too old", "12.8", "needs 13.0")),
        (DRIVER, Torch("12.8", reason=NONE_SEEN), "", "warning", ("CUDA_VISIBLE_DEVICES=''", "hides")),
        (DRIVER, Torch("12.8", reason="unknown error"), None, "bad", ("unknown error", "nvidia-smi")),
        (DRIVER, Torch("12.8", reason=NONE_SEEN), None, "bad", (NONE_SEEN,)),
        (Driver(0, reason="Library Not Found"), Torch("12.8"), None, "warning", ("no NVIDIA GPU", "--gpus")),
        (
            Driver(2, reason="Library Not Found"),
            Torch("12.8"),
            None,
            "warning",
            ("2 NVIDIA GPUs", "no driver"),
        ),
        (Driver(2, reason="version mismatch"), Torch("12.8"), None, "bad", ("2 NVIDIA", "version mismatch")),
        (Driver(0, "570.86", (12, 8)), Torch("12.8"), None, "warning", ("570.86 lists none",)),
        (Driver(0, reason="Not Found"), Torch("12.8", seen("")), None, "good", ("1 of 1",)),
    ],
)
def test_why_torch_cannot_use_a_gpu_is_said(
    driver: Driver, torch: Torch, visible: str | None, level: str, words: tuple[str, ...]
) -> None:
    found = accelerators.judge_cuda(driver, torch, visible)
    assert found.level == level and bool(found.do) == (level != "good")
    assert all(word in f"{found.found} {found.do}" for word in words), found


def gpu(free: int, *owners: int | None) -> Gpu:
    return Gpu("NVIDIA X", "GPU-aa", free * GIB, 80 * GIB, owners)


OTHER = os.getuid() + 1


@pytest.mark.parametrize(
    ("given", "number", "fault", "level", "words"),
    [
        (gpu(79), 0, "", "good", ("cuda:0", "79.0 GiB of 80.0 GiB free", "no processes", "GPU-aa")),
        (gpu(40, OTHER, None), 0, "", "warning", ("2 processes of others", "--devices")),
        (gpu(40, os.getuid()), 0, "", "good", ("1 process of yours",)),
        (gpu(40, os.getuid(), OTHER), 0, "", "warning", ("1 process of others and 1 process of yours",)),
        (gpu(40), 0, "", "warning", ("not visible",)),
        (gpu(40, OTHER), None, "", "good", ("not used by torch",)),
        (gpu(79), 0, "no kernel image is available", "bad", ("no kernel image",)),
        (gpu(1, OTHER), 0, "CUDA out of memory", "warning", ("out of memory", "--devices")),
        (Gpu("NVIDIA X MIG 1g", "MIG-aa"), 0, "", "good", ("memory unknown",)),
    ],
)
def test_a_gpu_is_described_and_others_on_it_are_a_warning(
    given: Gpu, number: int | None, fault: str, level: str, words: tuple[str, ...]
) -> None:
    found = accelerators.judge_gpu("GPU 0", given, number, Torch("12.8", seen(fault)))
    assert found.level == level and bool(found.do) == (level != "good")
    assert all(word in f"{found.found} {found.do}" for word in words), found


def test_gpus_are_told_apart_by_uuid_since_torch_may_count_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    devices = (ProbedDevice("NVIDIA X", "bb"), ProbedDevice("NVIDIA X MIG 1g", "MIG-cc"))
    monkeypatch.setattr(accelerators, "read_driver", lambda: DRIVER)
    monkeypatch.setattr(accelerators, "read_torch", lambda: Torch("12.8", devices))
    _, first, second, slice_ = accelerators.cuda()
    assert "not used by torch" in first.found and "GPU-aa" in first.found
    assert "cuda:0" in second.found and "GPU-bb" in second.found
    assert "cuda:1" in slice_.found and "MIG-cc" in slice_.found


def test_nvidia_cards_are_counted_without_a_driver(tmp_path: Path) -> None:
    for name, vendor, kind in (
        ("a", "0x10de", "0x030200"),
        ("b", "0x10de", "0x0403"),
        ("c", "0x1002", "0x03"),
    ):
        file(tmp_path / name / "vendor", vendor + "\n")
        file(tmp_path / name / "class", kind + "\n")
    assert accelerators.read_driver(tmp_path).cards == 1


def test_the_driver_is_asked_by_the_names_it_has(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def denied(_handle: object) -> object:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NO_PERMISSION)

    answers = {
        "nvmlInit": lambda: None,
        "nvmlSystemGetCudaDriverVersion_v2": lambda: 12080,
        "nvmlSystemGetDriverVersion": lambda: "570.86",
        "nvmlDeviceGetCount": lambda: 1,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetName": lambda _handle: "NVIDIA X",
        "nvmlDeviceGetUUID": lambda _handle: "GPU-aa",
        "nvmlDeviceGetMemoryInfo": lambda _handle: SimpleNamespace(free=1, total=2),
        "nvmlDeviceGetComputeRunningProcesses": lambda _handle: [SimpleNamespace(pid=os.getpid())],
    }
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, name, answer)
    gpu = Gpu("NVIDIA X", "GPU-aa", 1, 2, (os.getuid(),))
    assert accelerators.read_driver(tmp_path) == Driver(0, "570.86", (12, 8), (gpu,))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", denied)
    assert accelerators.read_driver(tmp_path).gpus == (Gpu("NVIDIA X", "GPU-aa"),)


def test_torch_is_asked_for_its_gpus_and_each_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    seen = [SimpleNamespace(name="NVIDIA X", uuid=uuid) for uuid in ("aa", "bb")]
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: seen[index])
    monkeypatch.setattr(accelerators, "fault", lambda device: "broken" if device == "cuda:1" else "")
    devices = (ProbedDevice("NVIDIA X", "aa"), ProbedDevice("NVIDIA X", "bb", "broken"))
    assert accelerators.read_torch() == Torch(torch.version.cuda or "", devices)
    monkeypatch.setattr(torch.cuda, "init", lambda: 1 / 0)
    assert accelerators.read_torch().reason == "division by zero"
