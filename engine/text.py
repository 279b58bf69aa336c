"""Numbers, times and counts as text, and text from elsewhere made harmless."""

from __future__ import annotations

import math
import os
import unicodedata
from datetime import UTC, datetime

LONGEST_TIME = 40  # characters
SMALLEST, LARGEST = -6, 9  # powers of ten that need no exponent


def in_bytes(count: float) -> str:
    """Return a number of bytes in a suitable unit."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError("the last unit returns")


def counted(number: int, thing: str, things: str = "") -> str:
    """Return a count with its noun: `1 model`, `2,000 models`."""
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def short(value: float, digits: int = 3) -> str:
    """Return a number to `digits` significant digits, or more if it has more before its point.

    Only very large or very small numbers get an exponent: 100 to two digits is not 1e+02.
    """
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    power = math.floor(math.log10(abs(value)))
    if not SMALLEST <= power <= LARGEST:
        return f"{value:.{digits}g}"
    text = f"{value:.{max(digits - 1 - power, 0)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def in_utc(time: str, *, seconds: bool = False) -> str:
    """Return an ISO 8601 time as date and time of day in UTC; return other text unchanged."""
    try:
        at = datetime.fromisoformat(time)
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return clean(time[:LONGEST_TIME])
    return f"{at:{'%Y-%m-%d %H:%M:%S' if seconds else '%Y-%m-%d %H:%M'}} UTC"


def decoded(data: bytes) -> str:
    """Decode UTF-8, or UTF-16 if it starts with a byte order mark; drop the mark.

    Raises UnicodeDecodeError if it is neither.
    """
    is_wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    return data.decode("utf-16" if is_wide else "utf-8-sig")


def path_as_text(path: str | os.PathLike[str]) -> str:
    """Return a path as valid text: bytes of it that are not UTF-8 become escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def split_parameters(text: str) -> tuple[str, list[tuple[str, str]]]:
    """Split `knn:k=10:p=2` into a name and its parameters with their values, all as texts."""
    name, _, rest = text.strip().partition(":")
    parts = (part.partition("=") for part in filter(None, rest.split(":")))
    return name, [(parameter, value) for parameter, _, value in parts]


def clean(text: str) -> str:
    """Return `text` without control characters, so that it cannot move the cursor or change colours."""
    if text.isprintable():
        return text
    return "".join(c if unicodedata.category(c)[0] != "C" else "\ufffd" for c in text)
