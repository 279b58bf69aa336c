"""Whose process is at the other end of a connection within this machine.

A port of the loopback interface is open to every user of a machine; the kernel's table of connections says
who holds the other end, so that it can be kept to one user as the engine's socket is.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import NamedTuple

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_MAPPED = "0000000000000000FFFF0000"


class Owner(NamedTuple):
    """The user who holds a socket, and the socket's inode: 0 once its process has closed it."""

    user: int
    inode: int


def is_stranger(peer: object, own: object) -> bool:
    """Return whether the connection from `peer` to `own` is held by another user than this one and root.

    Without a table that shows at least this end (another system than Linux), nobody is a stranger.
    """
    if not isinstance(peer, tuple) or not isinstance(own, tuple):
        return False
    there, here = _key(peer), _key(own)
    owners = _connections()
    if not any((a, b) in owners for a in here for b in there):
        return False
    held = [owners[a, b] for a in there for b in here if (a, b) in owners]
    return not any(owner.inode and owner.user in (os.getuid(), 0) for owner in held)


def _connections() -> dict[tuple[str, str], Owner]:
    found = {}
    for table in TABLES:
        try:
            lines = table.read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            found[fields[1], fields[2]] = Owner(int(fields[7]), int(fields[9]))
    return found


def _key(address: tuple[str, int]) -> tuple[str, ...]:
    """Return an address as the tables write it: words of the machine's byte order, then the port."""
    host, port = address[:2]
    version = socket.AF_INET6 if ":" in host else socket.AF_INET
    packed = socket.inet_pton(version, host.partition("%")[0])
    words = (int.from_bytes(packed[i : i + 4], sys.byteorder) for i in range(0, len(packed), 4))
    written = "".join(f"{word:08X}" for word in words) + f":{port:04X}"
    # A socket of IPv6 can speak IPv4; then it stands in the other table.
    return (written,) if version == socket.AF_INET6 else (written, _MAPPED + written)
