"""Text from elsewhere, made harmless."""

from __future__ import annotations

import unicodedata


def in_bytes(count: float) -> str:
    """Return a number of bytes in the unit that fits it."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError("the last unit returns")


def clean(text: str) -> str:
    """Return `text` without control characters, so that it can neither move the cursor nor colour."""
    if text.isprintable():
        return text
    return "".join(c if unicodedata.category(c)[0] != "C" else "\ufffd" for c in text)
