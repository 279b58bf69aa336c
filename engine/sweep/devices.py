"""Which devices a sweep runs on: GPUs that nobody else uses, or what was asked for."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
from typing import NamedTuple

import torch

from engine.errors import InputError

SHARE_IN_USE = 0.1  # of a GPU's memory: with more taken by others it is not free


class Accelerator(NamedTuple):
    """A GPU as torch counts it: `taken` is the share of its memory that other programs hold."""

    device: str
    uuid: str
    name: str
    taken: float


def choose(given: str) -> list[Accelerator | str]:
    """Return the devices that `given` names, GPUs with their identity; `cpu` is just that.

    Raises InputError for one that is not there, or where others use all GPUs and none was named.
    """
    there = accelerators()
    if given in ("auto", "cuda"):
        free = [one for one in there if one.taken < SHARE_IN_USE or given == "cuda"]
        if not free and given == "cuda":
            raise InputError("devices", given, "torch can use no GPU here; 'qood-tui doctor' says why")
        if there and not free:
            used = ", ".join(f"{one.device} ({one.taken:.0%} of its memory)" for one in there)
            raise InputError("devices", given, f"other programs use every GPU: {used}; name one, or cpu")
        return list(free) if free else ["cpu"]
    by_name = {one.device: one for one in there}
    chosen: list[Accelerator | str] = []
    for name in given.split(","):
        if name != "cpu" and name not in by_name:
            seen = ", ".join(by_name) or "no GPU"
            raise InputError("devices", name, f"torch can use {seen} here")
        if name != "cpu" and by_name[name] in chosen:
            raise InputError("devices", given, f"name {name} only once")
        chosen.append(by_name.get(name, name))
    if (
        len({type(one) for one in chosen}) > 1
        or len({one.name for one in chosen if isinstance(one, Accelerator)}) > 1
    ):
        raise InputError("devices", given, "devices of one kind are needed: another kind rounds differently")
    return chosen


def accelerators() -> list[Accelerator]:
    """List the GPUs that torch can use, in its order."""
    if not torch.cuda.is_available():
        return []
    found = []
    for index in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(index)
        uuid = f"GPU-{about.uuid}"
        found.append(Accelerator(f"cuda:{index}", uuid, about.name, _taken(uuid)))
    return found


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def use(device: torch.device) -> None:
    """Let this thread work on a GPU: what names none would otherwise take memory of the first one."""
    if device.type == "cuda":
        torch.cuda.set_device(device)


def release_memory() -> None:
    """Give memory that nothing uses back to the system and to the other processes of a device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    with contextlib.suppress(OSError, AttributeError):
        # glibc keeps what large temporary tensors leave behind, which may be more than the models take.
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _taken(uuid: str) -> float:
    """Return the share of a GPU's memory in use, by NVML; this process holds none of it yet."""
    import pynvml

    try:
        pynvml.nvmlInit()
        memory = pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByUUID(uuid))
    except pynvml.NVMLError:
        return 0.0
    return float(memory.used / memory.total)
