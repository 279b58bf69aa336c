"""Run real sweeps in tests."""

from __future__ import annotations

from pathlib import Path

from engine import client, sessions
from engine.plan import Plan
from engine.protocol import Entry


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


def sweep(plan: Plan, folders: dict[str, str] | None = None) -> Path:
    """Sweep a plan to its end and return its session."""
    session = sessions.create(plan, folders or {}, title="test")
    client.start(session, folders or {}, "cpu")
    follow(session)
    return session


def follow(session: Path) -> list[Entry]:
    """Wait until a session is closed and return all its entries."""
    return [entry for entries in client.watch(session) for entry in entries]
