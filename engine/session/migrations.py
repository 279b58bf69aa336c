"""Journals of older formats as the present one: pure functions of plain data, one step a version.

Format 1 had no seals (`seal.py`). Its events are those of format 2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.protocol.events import VERSION

Plain = dict[str, Any]


def _header_of_1(header: Plain) -> Plain:
    return {**header, "version": 2}


HEADERS: dict[int, Callable[[Plain], Plain]] = {1: _header_of_1}
FIRST_SEALED = 2


def migrated_header(header: Plain) -> Plain:
    """Return a header of any version from 1 on as one of the present version."""
    while (version := header["version"]) < VERSION:
        header = HEADERS[version](header)
    return header
