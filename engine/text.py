"""Text from elsewhere, made harmless."""

from __future__ import annotations

import unicodedata


def clean(text: str) -> str:
    """Return `text` without control characters, so that it can neither move the cursor nor colour."""
    if text.isprintable():
        return text
    return "".join(c if unicodedata.category(c)[0] != "C" else "\ufffd" for c in text)
