"""In which order folders of classes are counted: what timm and torchvision do, and where they differ."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

from engine import catalog
from engine.datasets.walk import normal

NATURAL, CODEPOINT = catalog.CLASS_ORDERS
SHOWN = 4  # differing places


def sorted_by(order: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return class names as timm (`natural`: by number, case ignored) or torchvision (`codepoint`) sorts."""
    plain = sorted(names)
    return tuple(sorted(plain, key=_natural) if order == NATURAL else plain)


def differences(names: Iterable[str]) -> list[str]:
    """Return in words the first classes whose place depends on the order; empty where none does."""
    natural, codepoint = (sorted_by(order, names) for order in (NATURAL, CODEPOINT))
    places = [at for at, (one, other) in enumerate(zip(natural, codepoint, strict=True)) if one != other]
    told = [
        f"class {at} is {natural[at]!r} ({NATURAL}) or {codepoint[at]!r} ({CODEPOINT})"
        for at in places[:SHOWN]
    ]
    if len(places) > SHOWN:
        told.append(f"and {len(places) - SHOWN} more")
    if not places and (twins := _twins(natural)):
        told.append(f"{twins[0]!r} and {twins[1]!r} are equal to timm, which leaves their order to chance")
    return told


def placed(names: Iterable[str], classes: Iterable[str]) -> dict[str, int] | None:
    """Return the place of each name among `classes`, composed alike; None unless all are there."""
    places = {normal(known): at for at, known in enumerate(classes)}
    found = {name: places.get(normal(name), -1) for name in names}
    return found if min(found.values(), default=-1) >= 0 else None


def _natural(name: str) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", name.lower())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def _twins(names: tuple[str, ...]) -> tuple[str, str] | None:
    return next(((a, b) for a, b in pairwise(names) if _natural(a) == _natural(b)), None)
