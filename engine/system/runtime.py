"""Where the engine of this user can be reached: folders with its lock and socket, whatever becomes of them.

`QOOD_RUNTIME` names the one folder; without it there are two, below `XDG_RUNTIME_DIR` and in the folder of
temporary files, so that commands find the engine whether or not they have the first. Where a folder cannot be
made, is somebody else's, or lies on a file system without locks or sockets, a stand-in elsewhere takes its
place, whose name follows from the folder's: commands look into all of them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import socket
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

SOCKET, LOCK, MARKS = "engine.sock", "engine.lock", "leases"
LONGEST_SOCKET_PATH = 100  # bytes; systems allow 104 or 108
SHARED = (Path("/tmp"), Path("/var/tmp"))  # on every system, whatever the environment says
WATCH_SECONDS = 0.25  # how soon an engine sees that it can no longer be reached
RETRY_SECONDS = 5.0  # how often it tries a folder that it wanted and could not have
ANSWER_SECONDS = 15.0
_DESCRIPTORS = Path("/proc/self/fd")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def wanted() -> list[Path]:
    """List the folders that the environment names, the most wanted first."""
    if given := os.environ.get("QOOD_RUNTIME"):
        return [Path(given).absolute()]
    own = Path(tempfile.gettempdir()).absolute() / f"qood-tui-{os.getuid()}"
    system = os.environ.get("XDG_RUNTIME_DIR", "")
    return list(dict.fromkeys([Path(system) / "qood-tui", own])) if system.startswith("/") else [own]


def candidates(folder: Path) -> list[Path]:
    """List a wanted folder and what may stand in for it."""
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    return [folder, *(shared / f"qood-tui-{os.getuid()}-{digest}" for shared in SHARED)]


def folders() -> list[Path]:
    """List every folder that the engine or a mark may be in; none of them need exist."""
    return list(dict.fromkeys(place for folder in wanted() for place in candidates(folder)))


def usable_folder() -> Path:
    """Return the first folder that can be made and has locks; raise OSError if there is none."""
    reason = OSError(errno.ENOENT, "there is no folder for the engine")
    for place in folders():
        try:
            make_private(place)
            with tempfile.TemporaryFile(dir=place) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            reason = error
            _tidy(place)
        else:
            return place
    raise reason


def make_private(folder: Path) -> None:
    """Make a folder that only this user can open; raise OSError if it cannot be that."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Whose link it is counts too: in a shared folder somebody else could have put one in its place.
    if {folder.lstat().st_uid, folder.stat().st_uid} != {os.getuid()}:
        raise PermissionError(errno.EPERM, "it belongs to somebody else", str(folder))
    if folder.stat().st_mode & stat.S_ISVTX:
        raise PermissionError(errno.EPERM, "it is shared with others", str(folder))
    if stat.S_IMODE(folder.stat().st_mode) != 0o700:
        folder.chmod(0o700)
        if folder.stat().st_mode & 0o077:
            raise PermissionError(errno.EPERM, "others can open it", str(folder))


class Door:
    """A folder in which this engine is reached: it holds the lock and listens at the socket."""

    def __init__(self, folder: Path, name: str = "") -> None:
        """Open the door; raise BlockingIOError if another engine has it, OSError if it cannot be one.

        With a `name` lock and socket have another, so that a door can be tried beside an engine.
        """
        make_private(folder)
        self.folder = folder
        self._socket_path, self._lock_path = folder / f"{name}{SOCKET}", folder / f"{name}{LOCK}"
        self._lock = _locked(self._lock_path)
        try:
            self.socket = _listening(self._socket_path)
            self._made = _identity(self._socket_path)
        except BaseException:
            with contextlib.suppress(OSError):
                self._lock_path.unlink()
            self._lock.close()
            raise

    def is_there(self) -> bool:
        """Return whether lock and socket still are where commands look for them."""
        return (_identity(self._socket_path), _identity(self._lock_path)) == (
            self._made,
            _identity(self._lock.fileno()),
        )

    def close(self, *, remove: bool = False) -> None:
        """Close the door; with `remove` leave no lock and no empty folder behind."""
        self.leave(remove=remove)
        self.socket.close()

    def leave(self, *, remove: bool = False) -> None:
        """Let go of the folder; the socket is closed by who serves it."""
        with contextlib.suppress(OSError):
            if _identity(self._socket_path) == self._made:
                self._socket_path.unlink()
        with contextlib.suppress(OSError):
            if remove and self.is_locked_here():
                self._lock_path.unlink()
                with contextlib.suppress(OSError):
                    (self.folder / MARKS).rmdir()
                self.folder.rmdir()
        self._lock.close()

    def is_locked_here(self) -> bool:
        """Return whether the lock is the file that others would lock."""
        return _identity(self._lock_path) == _identity(self._lock.fileno())


class Kept(NamedTuple):
    """Doors that were opened, doors that were left, and folders that another engine has taken meanwhile."""

    opened: list[Door]
    left: list[Door]
    taken: list[Path]


class Doors:
    """The doors of an engine, one for every wanted folder, which are opened again when they are lost."""

    def __init__(self) -> None:
        """Open them; raise BlockingIOError if another engine has one, OSError if none can be opened."""
        self._open: dict[Path, Door] = {}
        self._turn, self._closed = threading.Lock(), False
        self._retry = time.monotonic() + RETRY_SECONDS
        reason = OSError(errno.ENOENT, "there is no folder for the engine")
        for folder in wanted():
            for place in candidates(folder):
                try:
                    self._open[folder] = Door(place)
                    break
                except BlockingIOError:
                    self.close()
                    raise
                except OSError as error:
                    reason = error
                    _tidy(place)
        if not self._open:
            raise reason

    def all(self) -> list[Door]:
        """List the doors that are open."""
        return list(self._open.values())

    def keep(self) -> Kept:
        """Open what was lost again, and return to wanted folders that can be used again."""
        with self._turn:
            return self._kept() if not self._closed else Kept([], [], [])

    def _kept(self) -> Kept:
        opened, left, taken = [], [], []
        retries = time.monotonic() > self._retry
        if retries:
            self._retry = time.monotonic() + RETRY_SECONDS
        for folder in wanted():
            now = self._open.get(folder)
            if now is not None and not now.is_there():
                now.leave()
                left.append(now)
                del self._open[folder]
                now = None
            elif not retries:
                continue
            for place in candidates(folder):
                if now is not None and now.folder == place:
                    break
                try:
                    door = Door(place)
                except BlockingIOError:
                    taken.append(place)
                except OSError:
                    pass
                else:
                    if now is not None:
                        now.leave(remove=now.folder != folder)
                        left.append(now)
                    self._open[folder] = door
                    opened.append(door)
                    break
        return Kept(opened, left, taken)

    def close(self) -> None:
        """Close all doors; stand-ins leave nothing behind."""
        with self._turn:
            for folder, door in self._open.items():
                door.close(remove=door.folder != folder)
            self._open.clear()
            self._closed = True


def faults() -> tuple[list[Path], list[str]]:
    """Try every door as an engine would; return where one opens, and what is wrong with wanted folders."""
    working, wrong = [], []
    for folder in wanted():
        for place in candidates(folder):
            try:
                Door(place, f"try-{secrets.token_hex(4)}-").close(remove=True)
            except OSError as error:
                _tidy(place)
                if place == folder:
                    wrong.append(f"{place}: {error.strerror or error}")
            else:
                working.append(place)
                break
    return working, wrong


def ask(folder: Path, line: bytes) -> bytes:
    """Send one line to the engine at a folder and return its answer; raise OSError if there is none."""
    with socket.socket(socket.AF_UNIX) as connection, _short(folder / SOCKET) as path:
        connection.settimeout(ANSWER_SECONDS)
        connection.connect(path)
        connection.sendall(line + b"\n")
        with connection.makefile("rb") as answers:
            return answers.readline()


def _locked(path: Path) -> IO[bytes]:
    """Lock the file at a path, and see that it is still there then."""
    while True:
        file = path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _identity(path) == _identity(file.fileno()):
                return file
        except BlockingIOError:
            file.close()
            raise
        except BaseException:
            with contextlib.suppress(OSError):  # nobody can lock it here
                path.unlink()
            file.close()
            raise
        file.close()


def _listening(path: Path) -> socket.socket:
    """Return a socket that listens at a path; the lock is held, so what is there is of a dead engine."""
    made = socket.socket(socket.AF_UNIX)
    new = path.with_name(f"{secrets.token_hex(4)}.new")
    try:
        with _short(new) as short:
            made.bind(short)
        new.chmod(0o600)
        made.listen()
        new.replace(path)  # there is no moment in which it is there and nobody listens
    except BaseException:
        made.close()
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        raise
    return made


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """Yield a path to the same place that is short enough for a socket's."""
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        yield str(path)
        return
    with contextlib.ExitStack() as undone:
        folder = os.open(path.parent, _FOLDER)
        undone.callback(os.close, folder)
        through = _DESCRIPTORS / str(folder)
        if not through.exists():  # not Linux
            made = undone.enter_context(tempfile.TemporaryDirectory(prefix="qood-", dir=_shared()))
            through = Path(made) / "to"
            through.symlink_to(path.parent)
        yield str(through / path.name)


def _tidy(place: Path) -> None:
    """Remove a stand-in that was made in vain."""
    with contextlib.suppress(OSError):
        if place.parent in SHARED and place not in wanted():
            place.rmdir()


def _shared() -> Path:
    return next((place for place in SHARED if os.access(place, os.W_OK)), SHARED[0])


def _identity(place: Path | int) -> tuple[int, int] | None:
    """Return what tells a file from all others, None if there is none."""
    try:
        about = place.lstat() if isinstance(place, Path) else os.fstat(place)
    except OSError:
        return None
    return about.st_dev, about.st_ino
