"""The seal of a journal's line: a CRC-32 of everything before it, as the line's last member.

It distinguishes a damaged line from an intact one, wherever the damage is; it does not say who wrote it.
"""

from __future__ import annotations

import zlib

_OPENS, _CLOSES = b',"crc":"', b'"}\n'
_LENGTH = len(_OPENS) + 8 + len(_CLOSES)


def sealed(line: bytes) -> bytes:
    """Return a JSON object as a line of a journal."""
    body = line[:-1]
    return b'%b%b%08x"}\n' % (body, _OPENS, zlib.crc32(body))


def is_whole(line: bytes) -> bool:
    """Return whether a line is exactly what was written."""
    body = line[:-_LENGTH]
    return line[-_LENGTH:] == b'%b%08x"}\n' % (_OPENS, zlib.crc32(body)) and len(body) > 1
