"""Which devices a sweep runs on: accelerators that nobody else uses, or what was asked for."""

from __future__ import annotations

from engine import catalog
from engine.errors import InputError
from engine.sweep.devices.backend import Accelerator, backend

SHARE_IN_USE = 0.1  # of a GPU's memory: with more taken by others it is not free
CPU = Accelerator(catalog.CPU, "", "", 0.0)


def choose(devices: str) -> list[Accelerator]:
    """Return the devices that are named, all of one kind; the CPU has no identity.

    Raises InputError for one that is not there, or where others use all GPUs and none was named.
    """
    present = [one for kind in catalog.ACCELERATORS for one in backend(kind).accelerators()]
    if devices == "auto":
        return _free(present)
    if devices in catalog.ACCELERATORS:
        of_kind = [one for one in present if _kind(one) == devices]
        if not of_kind:
            raise InputError(
                "devices", devices, f"torch can use no {devices} device here; 'qood-tui doctor' says why"
            )
        return of_kind
    return _named(devices, present)


def _free(present: list[Accelerator]) -> list[Accelerator]:
    """Return the accelerators of the first kind there is that are free, the CPU if there are none at all."""
    if not present:
        return [CPU]
    of_kind = [one for one in present if _kind(one) == _kind(present[0])]
    free = [one for one in of_kind if one.taken < SHARE_IN_USE]
    if not free:
        used = ", ".join(f"{one.device} ({one.taken:.0%} of its memory)" for one in of_kind)
        raise InputError("devices", "auto", f"other programs use every GPU: {used}; name one, or cpu")
    return free


def _named(devices: str, present: list[Accelerator]) -> list[Accelerator]:
    by_name = {CPU.device: CPU, **{one.device: one for one in present}}
    chosen: list[Accelerator] = []
    for name in devices.split(","):
        if name not in by_name:
            usable = ", ".join(one.device for one in present) or "no GPU"
            raise InputError("devices", name, f"torch can use {usable} here")
        if name != CPU.device and by_name[name] in chosen:
            raise InputError("devices", devices, f"name {name} only once")
        chosen.append(by_name[name])
    if len({(_kind(one), one.name) for one in chosen}) > 1:
        right = "all devices must be of one kind, since another kind rounds differently"
        raise InputError("devices", devices, right)
    return chosen


def _kind(accelerator: Accelerator) -> str:
    return accelerator.device.partition(":")[0]
