"""Run real sweeps in tests."""

from __future__ import annotations

from pathlib import Path

import msgspec

from engine.plan.plan import Plan
from engine.plan.resources import Resources
from engine.protocol.events import Entry
from engine.service import client
from engine.session import store

CPU = Resources(devices="cpu")


def small_plan(**changes: object) -> Plan:
    """Return a plan that takes about a second once the worker is warm."""
    given = {
        "models": ("vit-narrow", "deit3-wide"),
        "bits": ("FP32", "W8A8", "W4A4"),
        "id_images": 150,
        "ood_images": 60,
        "chunk_images": 50,
        **changes,
    }
    return Plan(**given)  # type: ignore[arg-type]


def sweep(plan: Plan, folders: dict[str, str] | None = None, resources: Resources = CPU) -> Path:
    """Sweep a plan to its end, with more folders of images, and return its session."""
    resources = msgspec.structs.replace(resources, ood={**resources.ood, **(folders or {})})
    session = store.create(plan, resources.names(), title="test")
    client.start(session, resources)
    follow(session)
    return session


def follow(session: Path) -> list[Entry]:
    """Wait until a session is closed and return all its entries."""
    return [entry for entries in client.watch(session) for entry in entries]
