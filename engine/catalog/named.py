"""Entries by name, and the objects behind them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any


def by_name(*entries: Any) -> Mapping[str, Any]:
    """Return entries by name, in their order."""
    return MappingProxyType({entry.name: entry for entry in entries})


def resolve(target: str) -> Any:
    """Load the object behind `module:name`."""
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)
