"""What a kind of source must offer, so that its images can be found, hashed and decoded."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from engine import catalog
from engine.datasets.disk_set import DiskSet

WAITS = (0.1, 0.3, 1, 2)  # seconds before a member is read again
# What is wrong with a file itself; any other error may be transient.
OF_THE_FILE = {
    errno.ENOENT: "there is no such file",
    errno.EACCES: "permission is denied",
    errno.EPERM: "permission is denied",
    errno.EISDIR: "it is a folder",
    errno.ELOOP: "its links form a loop",
    errno.ENAMETOOLONG: "its name is too long",
    errno.ENOTDIR: "there is no such file",
}


class UnreadableError(Exception):
    """An image cannot be read, ever: the message says why."""


class TransientError(OSError):
    """A disk or the machine is failing for now; no image is at fault."""


class Stamp(NamedTuple):
    """What tells one content of a member from another without reading it.

    `changed` is when it last changed, in nanoseconds, by a clock that users cannot set back.
    """

    text: str
    changed: int


class Source(Protocol):
    """Images in one root, as members that only their source interprets; users see them as names.

    A source is sent to the processes that decode: it can be pickled and holds nothing open. It is made from
    its root only, and caches what is costly to find out, such as the index of an archive.
    """

    @property
    def root(self) -> Path:
        """The folder or file that all members are in."""
        ...

    @classmethod
    def accepts(cls, path: Path) -> bool:
        """Return whether a path is the root of such a source."""
        ...

    def ood_set(self, name: str) -> DiskSet:
        """Return all images as an OOD set; what cannot be listed is among its problems."""
        ...

    def id_set(self, name: str, class_names: tuple[str, ...], order: str) -> DiskSet:
        """Return all images as an ID set, with labels that the source holds or that names of folders give.

        Where folders are classes, a label is an index among `class_names`, or else among the folders in an
        `order` of `class_order`. Raises InputError for a class that is not in `class_names`.
        """
        ...

    def read(self, member: str, *, was_there: bool = False) -> bytes:
        """Return the content of a member, as an image file has it.

        Raises UnreadableError if the member is at fault, and TransientError if the disk is: also where a
        member is missing that `was_there`.
        """
        ...

    def stamp(self, member: str) -> Stamp | None:
        """Return the stamp under which the SHA-256 of a member is cached, None if there is no such member."""
        ...


def source_of(one: DiskSet) -> Source:
    """Return the source that the members of a set are read from."""
    source: Source = catalog.resolve(catalog.SOURCES[one.source])(one.root)
    return source


def read_patiently(
    read: Callable[[], bytes],
    root: Path,
    member: str,
    waits: tuple[float, ...] = WAITS,
    *,
    was_there: bool = False,
) -> bytes:
    """Return what `read` returns, trying again with growing pauses after an error that may be transient.

    Raises UnreadableError for an error of the member itself, and TransientError if the disk keeps failing. A
    member that is missing is the disk's fault where its root is missing too, or where it `was_there`.
    """
    for wait in (*waits, None):
        try:
            data = read()
        except ValueError:
            raise UnreadableError("its name cannot be used") from None
        except OSError as error:
            reason = OF_THE_FILE.get(error.errno or 0)
            if reason and not was_there and os.access(root, os.R_OK):
                raise UnreadableError(reason) from None
            if wait is None:
                raise TransientError(error.errno, f"{error.strerror} ({root.name}/{member})") from None
            time.sleep(wait)
        else:
            if not data:
                raise UnreadableError("it is empty")
            return data
    raise AssertionError("the last attempt returns or raises")


def stamp_of(path: Path) -> Stamp | None:
    """Return the stamp of a file, None if there is none.

    Its change time is the system's own: unlike the modification time, neither `cp -p`, `rsync -t` nor `touch`
    can set it.
    """
    try:
        about = path.stat()
    except (OSError, ValueError):
        return None
    text = f"{about.st_size} {about.st_mtime_ns} {about.st_ctime_ns} {about.st_ino}"
    return Stamp(text, about.st_ctime_ns)
