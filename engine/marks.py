"""Marks of this machine's own leases: files in the runtime folder, locked while their process lives.

They tell a lease of this machine, whose owner lives or has crashed, from one of another machine; the session
itself says nothing of a machine.
"""

from __future__ import annotations

import contextlib
import fcntl
from pathlib import Path
from typing import IO

from engine import places

FOLDER = "leases"


def make(owner: str) -> IO[bytes]:
    """Make the mark of a lease; it is locked until it is closed, or this process ends."""
    path = _path(owner)
    path.parent.mkdir(exist_ok=True, mode=0o700)
    mark = path.open("xb")
    fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return mark


def is_held(owner: str) -> bool | None:
    """Tell whether a process of this machine that lives has a lease; None if it is not of this machine."""
    if not owner:
        return None
    try:
        with _path(owner).open("rb") as mark:
            fcntl.flock(mark, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    return False


def remove(owner: str) -> None:
    """Remove a mark, if there is one."""
    with contextlib.suppress(OSError):
        if owner:
            _path(owner).unlink(missing_ok=True)


def _path(owner: str) -> Path:
    return places.runtime_folder() / FOLDER / owner
