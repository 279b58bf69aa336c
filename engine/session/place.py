"""Where the files of a session are: what readers need of any place, and a folder on this machine."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple, Protocol

from engine.session import lease
from engine.session.layout import JOURNAL, SessionFile
from engine.system.files import open_plain


class Irregular(NamedTuple):
    """Something in the place of a session that is not a plain file; `problem` says what it is."""

    name: str
    problem: str


class Place(Protocol):
    """A place that holds one session. Its files are named as in `layout` and may come from a stranger.

    It may be a folder or a `.qood` archive; another machine would be a third kind.
    """

    may_grow: bool  # whether files may still be appended to

    @property
    def name(self) -> str:
        """Return the name of the session."""
        ...

    def where(self, name: str) -> str:
        """Return how messages name one of the files, or the place itself if `name` is empty."""
        ...

    def files(self) -> list[SessionFile]:
        """List every plain file, by name."""
        ...

    def irregular(self) -> list[Irregular]:
        """List everything that is not a plain file."""
        ...

    def open(self, name: str) -> IO[bytes]:
        """Open a file to read from its start; raise OSError if it cannot be opened."""
        ...

    def open_local(self, name: str) -> IO[bytes]:
        """Open a file that can be mapped into memory: on this machine's disk, copied there if needed."""
        ...

    def is_being_written(self) -> bool:
        """Return whether a live process writes the session, here or on another machine."""
        ...


class Folder:
    """A session in a folder of this machine; links in it are not followed."""

    may_grow = True

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        """Return the name of the folder."""
        return self.path.resolve().name

    def where(self, name: str) -> str:
        """Return the path of one of the files, or of the folder."""
        return str(self.path / name)

    def files(self) -> list[SessionFile]:
        """List every plain file below the folder, by name."""
        return sorted(
            SessionFile(self._inside(path), about.st_size)
            for path, about in self._entries()
            if stat.S_ISREG(about.st_mode)
        )

    def irregular(self) -> list[Irregular]:
        """List links, pipes and devices below the folder."""
        irregular = []
        for path, about in self._entries():
            if stat.S_ISLNK(about.st_mode):
                irregular.append(Irregular(self._inside(path), "it is a link to elsewhere"))
            elif not stat.S_ISREG(about.st_mode) and not stat.S_ISDIR(about.st_mode):
                irregular.append(Irregular(self._inside(path), "it is not a plain file"))
        return sorted(irregular)

    def open(self, name: str) -> IO[bytes]:
        """Open a plain file in its place; raise OSError for anything else, or if its folder is a link.

        The session's folder may itself be reached through a link: that one is the user's own.
        """
        path = self.path / name
        if path.parent != self.path and path.parent.is_symlink():
            raise OSError(0, "its folder is a link to elsewhere")
        return open_plain(path)

    def open_local(self, name: str) -> IO[bytes]:
        """Open a plain file in its place."""
        return self.open(name)

    def is_being_written(self) -> bool:
        """Return whether a live process writes the session, here or on another machine."""
        return self.is_locked() or lease.is_held(self.path)

    def is_locked(self) -> bool:
        """Return whether a process holds the lock of the journal, which the system drops if that dies."""
        try:
            with self.open(JOURNAL) as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def _entries(self) -> Iterator[tuple[Path, os.stat_result]]:
        """Yield everything below the folder; a writer's temporary files may vanish meanwhile."""
        for folder, below, names in os.walk(self.path, followlinks=False):
            for name in (*below, *names):
                with contextlib.suppress(FileNotFoundError):
                    path = Path(folder, name)
                    yield path, path.lstat()

    def _inside(self, path: Path) -> str:
        return path.relative_to(self.path).as_posix()
