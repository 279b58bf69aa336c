"""Kinds of devices that models run on, under torch's names."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from engine.catalog.named import by_name

CPU = "cpu"


class Device(msgspec.Struct, frozen=True):
    """A kind of device. A machine may have several of every kind but the CPU, numbered from 0."""

    name: str
    label: str
    target: str


DEVICES: Mapping[str, Device] = by_name(
    Device(CPU, "CPU", "engine.sweep.devices.cpu:Cpu"),
    Device("cuda", "GPUs", "engine.sweep.devices.cuda:Cuda"),
)
ACCELERATORS = tuple(name for name in DEVICES if name != CPU)  # `auto` takes the first available kind
