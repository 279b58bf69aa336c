"""The order in which class folders are numbered: what timm and torchvision do, and where they differ."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

from engine import catalog
from engine.datasets.walk import normal

NATURAL, CODEPOINT = catalog.CLASS_ORDERS
SHOWN = 4  # classes that differ


def sorted_by(order: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return class names as timm (`natural`: by number, case ignored) or torchvision (`codepoint`) sorts."""
    plain = sorted(names)
    return tuple(sorted(plain, key=_natural) if order == NATURAL else plain)


def differences(names: Iterable[str]) -> list[str]:
    """Describe the first classes whose index depends on the order; return nothing if none does."""
    natural, codepoint = (sorted_by(order, names) for order in (NATURAL, CODEPOINT))
    places = [at for at, (one, other) in enumerate(zip(natural, codepoint, strict=True)) if one != other]
    words = [
        f"class {at} is {natural[at]!r} ({NATURAL}) or {codepoint[at]!r} ({CODEPOINT})"
        for at in places[:SHOWN]
    ]
    if len(places) > SHOWN:
        words.append(f"and {len(places) - SHOWN} more")
    if not places and (twins := _twins(natural)):
        words.append(f"{twins[0]!r} and {twins[1]!r} are equal to timm, so their order is arbitrary")
    return words


def placed(names: Iterable[str], classes: Iterable[str]) -> dict[str, int] | None:
    """Return the index of each name in `classes`, both normalized; None unless all are found."""
    indices = {normal(name): at for at, name in enumerate(classes)}
    placed = {name: indices.get(normal(name), -1) for name in names}
    return placed if min(placed.values(), default=-1) >= 0 else None


def _natural(name: str) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", name.lower())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def _twins(names: tuple[str, ...]) -> tuple[str, str] | None:
    return next(((a, b) for a, b in pairwise(names) if _natural(a) == _natural(b)), None)
