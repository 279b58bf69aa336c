"""GPUs: what the driver reports, whether torch can use them, and if not, why."""

from __future__ import annotations

import contextlib
import os
import warnings
from pathlib import Path
from typing import Any

import msgspec
import psutil

from engine.doctor.findings import Finding, content, first_line
from engine.doctor.software import MATCHING, fault
from engine.text import counted, in_bytes

UNSEEN_MEMORY = 2e9  # an idle GPU's driver keeps less than this for itself
CARDS = Path("/sys/bus/pci/devices")


class Gpu(msgspec.Struct, frozen=True):
    """A GPU as the driver sees it: bytes, None where unknown, and the owners of its processes."""

    name: str
    uuid: str
    free: int | None = None
    total: int | None = None
    owners: tuple[int | None, ...] = ()


class Driver(msgspec.Struct, frozen=True):
    """What NVML reports, or the reason why not; `cards` counts NVIDIA cards on the bus."""

    cards: int
    version: str = ""
    cuda: tuple[int, int] = (0, 0)
    gpus: tuple[Gpu, ...] = ()
    reason: str = ""


class ProbedDevice(msgspec.Struct, frozen=True):
    """A GPU as torch sees it; `fault` is the reason why torch cannot compute on it."""

    name: str
    uuid: str
    fault: str = ""


class Torch(msgspec.Struct, frozen=True):
    """The GPUs torch sees, or why none; its CUDA version: "" for none, None if torch does not import."""

    cuda: str | None
    devices: tuple[ProbedDevice, ...] = ()
    reason: str = ""


def cuda() -> list[Finding]:
    """Check the driver, torch and every GPU."""
    driver = read_driver()  # first, since torch takes memory on the GPUs it computes on
    torch = read_torch()
    findings = [judge_cuda(driver, torch, os.environ.get("CUDA_VISIBLE_DEVICES"))]
    numbers = {device.uuid.removeprefix("GPU-"): number for number, device in enumerate(torch.devices)}
    for i, gpu in enumerate(driver.gpus):
        number = numbers.pop(gpu.uuid.removeprefix("GPU-"), None)
        findings.append(judge_gpu(f"GPU {i}", gpu, number, torch))
    for number in numbers.values():  # a slice of a GPU, or one that NVML does not list
        device = torch.devices[number]
        findings.append(judge_gpu("GPU", Gpu(device.name, device.uuid), number, torch))
    return findings


def read_driver(cards: Path = CARDS) -> Driver:
    """Query the driver through NVML."""
    import pynvml

    places = [
        c for c in cards.glob("*") if (content(c / "vendor"), content(c / "class")[:4]) == ("0x10de", "0x03")
    ]
    try:
        pynvml.nvmlInit()
        whole = pynvml.nvmlSystemGetCudaDriverVersion_v2()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        newest = whole // 1000, whole % 1000 // 10
        name = pynvml.nvmlSystemGetDriverVersion()
        return Driver(len(places), name, newest, tuple(_read_gpu(handle) for handle in handles))
    except pynvml.NVMLError as error:
        return Driver(len(places), reason=str(error))


def _read_gpu(handle: Any) -> Gpu:
    import pynvml

    memory, processes = None, []
    with contextlib.suppress(pynvml.NVMLError):  # a GPU cut into slices does not report to everybody
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        processes = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
    free, total = (memory.free, memory.total) if memory else (None, None)
    name, uuid = pynvml.nvmlDeviceGetName(handle), pynvml.nvmlDeviceGetUUID(handle)
    return Gpu(name, uuid, free, total, tuple(_owner(p.pid) for p in processes))


def _owner(process: int) -> int | None:
    try:
        return int(psutil.Process(process).uids().real)
    except psutil.Error:  # it runs in another container
        return None


def read_torch() -> Torch:
    """List torch's GPUs and multiply matrices on each."""
    built: str | None = None
    try:
        import torch

        built = torch.version.cuda or ""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exception says the same
            torch.cuda.init()  # type: ignore[no-untyped-call]
            seen = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    except Exception as error:
        return Torch(built, reason=first_line(error))
    return Torch(
        built, tuple(ProbedDevice(s.name, str(s.uuid), fault(f"cuda:{i}")) for i, s in enumerate(seen))
    )


def judge_cuda(driver: Driver, torch: Torch, visible: str | None) -> Finding:
    """Report whether torch can use the GPUs, and if not, why."""
    count = max(len(driver.gpus) or driver.cards, len(torch.devices))
    gpus = counted(count, "NVIDIA GPU")
    limited = "" if visible is None else f"; CUDA_VISIBLE_DEVICES={visible!r}"
    newest = ".".join(map(str, driver.cuda))
    if torch.devices:
        described = f"driver {driver.version} (up to CUDA {newest})" if driver.version else driver.reason
        found = (
            f"torch, built for CUDA {torch.cuda}, sees {len(torch.devices)} of {gpus}; {described}{limited}"
        )
        return Finding("good", "CUDA", found)
    if not driver.gpus:
        why = driver.reason or f"driver {driver.version} lists none"
        there = f"{gpus} in this machine, but no driver answers" if count else "no NVIDIA GPU"
        do = "on a GPU server, run nvidia-smi; a container needs --gpus all"
        broken = count and "not found" not in driver.reason.lower()
        return Finding(
            "bad" if broken else "warning", "CUDA", f"{there} ({why}): sweeps use the processor", do
        )
    if torch.cuda is None:
        return Finding(
            "bad",
            "CUDA",
            f"{gpus} with driver {driver.version}, but torch does not import",
            "fix torch first",
        )
    if not torch.cuda:
        found = f"{gpus} with driver {driver.version}, but torch is built without CUDA"
        do = f"install torch and torchvision for CUDA {newest} or older, {MATCHING}"
    elif visible is not None and "no cuda gpus" in torch.reason.lower():
        found = f"CUDA_VISIBLE_DEVICES={visible!r} hides all of {gpus}: sweeps use the processor"
        return Finding(
            "warning", "CUDA", found, "unset it, or list GPUs from the lines below by number or UUID"
        )
    elif int(torch.cuda.partition(".")[0]) > driver.cuda[0]:
        found = (
            f"driver {driver.version} is too old: it supports CUDA up to {newest}, torch needs {torch.cuda}"
        )
        do = f"update the driver, or install torch and torchvision for CUDA {newest} or older, {MATCHING}"
    else:
        found = f"torch cannot use {gpus}: {torch.reason}; driver {driver.version}{limited}"
        do = "run nvidia-smi; after a driver update, restart the machine"
    return Finding("bad", "CUDA", found, do)


def judge_gpu(name: str, gpu: Gpu, number: int | None, torch: Torch) -> Finding:
    """Describe a GPU and warn if others use it; `number` is torch's own."""
    others = sum(owner != os.getuid() for owner in gpu.owners)
    own = len(gpu.owners) - others
    used = [
        counted(n, "process", "processes") + who
        for n, who in ((others, " of others"), (own, " of yours"))
        if n
    ]
    memory = "memory unknown"
    if gpu.free is not None and gpu.total is not None:
        memory = f"{in_bytes(gpu.free)} of {in_bytes(gpu.total)} free"
        if not used and gpu.total - gpu.free > UNSEEN_MEMORY:
            others, used = 1, ["used by processes that are not visible from here"]
    device = "not used by torch" if number is None else f"cuda:{number}"
    found = f"{gpu.name}, {device}, {memory}, {' and '.join(used) or 'no processes'}, {gpu.uuid}"
    if number is not None and (wrong := torch.devices[number].fault):
        do = "install a torch built for this GPU, or exclude it with CUDA_VISIBLE_DEVICES"
        if "memory" in wrong or "busy" in wrong:
            return Finding(
                "warning", name, f"{found}: {wrong}", "wait, or choose another GPU with --devices cuda:N"
            )
        return Finding("bad", name, f"{found}: it cannot compute: {wrong}", do)
    if others and number is not None:
        return Finding(
            "warning", name, found, "sweeps will share it; choose a free GPU with --devices cuda:N"
        )
    return Finding("good", name, found)
