"""Text from elsewhere, made harmless."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime

LONGEST_TIME = 40  # characters


def in_bytes(count: float) -> str:
    """Return a number of bytes in the unit that fits it."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError("the last unit returns")


def in_utc(time: str, *, seconds: bool = False) -> str:
    """Return a time in ISO 8601 as date and time of day with their zone; what is no time as it is."""
    try:
        at = datetime.fromisoformat(time)
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return clean(time[:LONGEST_TIME])
    return f"{at:{'%Y-%m-%d %H:%M:%S' if seconds else '%Y-%m-%d %H:%M'}} UTC"


def clean(text: str) -> str:
    """Return `text` without control characters, so that it can neither move the cursor nor colour."""
    if text.isprintable():
        return text
    return "".join(c if unicodedata.category(c)[0] != "C" else "\ufffd" for c in text)
