"""Marks of this machine's own leases: files in the runtime folder, locked while their process is alive.

They distinguish the leases of this machine, whose owner is alive or has crashed, from those of other
machines, since the session itself names no machine.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import IO

from engine.system import runtime


def make(owner: str) -> IO[bytes]:
    """Make the mark of a lease, locked until it is closed or this process ends."""
    folder = runtime.usable_folder() / runtime.MARKS
    folder.mkdir(exist_ok=True, mode=0o700)
    mark = (folder / owner).open("xb")
    fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return mark


def kept(owner: str, mark: IO[bytes]) -> IO[bytes]:
    """Return the mark of a lease, made again if its folder was removed."""
    if any(_is_same(path, mark) for path in _paths(owner)):
        return mark
    new = make(owner)
    mark.close()
    return new


def is_held(owner: str) -> bool | None:
    """Return whether a live process on this machine holds a lease; None for another machine's lease."""
    held = None
    for path in _paths(owner):
        try:
            with path.open("rb") as mark:
                fcntl.flock(mark, fcntl.LOCK_SH | fcntl.LOCK_NB)
            held = False
        except BlockingIOError:
            return True
        except OSError:
            continue
    return held


def remove(owner: str) -> None:
    """Remove a mark, if there is one."""
    for path in _paths(owner):
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _paths(owner: str) -> list[Path]:
    return [folder / runtime.MARKS / owner for folder in runtime.folders()] if owner else []


def _is_same(path: Path, mark: IO[bytes]) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(mark.fileno()))
    except OSError:
        return False
