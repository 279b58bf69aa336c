"""Files of a session, which may come from a stranger: only plain files are opened."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO


def open_plain(path: Path) -> IO[bytes]:
    """Open a file to read; raise OSError for a link, a pipe or a device."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise OSError(0, "it is a link to elsewhere") if path.is_symlink() else error from None
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise OSError(0, "it is not a plain file")
    return os.fdopen(number, "rb")


def open_new(path: Path) -> IO[bytes]:
    """Open a file of a session to write, replacing whatever has its name; no link is followed."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")


def open_end(path: Path) -> IO[bytes]:
    """Open a file of a session to add to its end, made if need be; no link is followed."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    number = os.open(path, flags, 0o600)
    return os.fdopen(number, "ab")


@contextlib.contextmanager
def whole(target: Path) -> Iterator[IO[bytes]]:
    """Yield a file to write that replaces `target` once it is complete; raise OSError.

    A target that is not a plain file, such as a device or a pipe, is written to directly.
    """
    if target.exists() and not target.is_file():
        with target.open("wb") as file:
            yield file
        return
    made = target.with_name(f".{target.name[:100]}-{secrets.token_hex(4)}")
    try:
        with made.open("x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        made.replace(target)
    finally:
        with contextlib.suppress(OSError):
            made.unlink(missing_ok=True)


def sync(file: int) -> None:
    """Put the data of a file on the disk."""
    getattr(os, "fdatasync", os.fsync)(file)  # macOS has only fsync


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk: otherwise a power failure may lose new and renamed files."""
    try:
        number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        return  # a folder that may be written to but not read
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF):
            raise  # these mean that the file system does not support it
    finally:
        os.close(number)


def free_below(folder: Path) -> int:
    """Return how many bytes are free where a folder lies or will lie."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    return shutil.disk_usage(there).free
