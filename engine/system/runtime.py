"""Where the engine of this user is reached: a private folder with its lock and its socket.

`QOOD_RUNTIME` names the folder. Without it it is in /tmp, whatever the environment says, so that every
login of a user finds the same engine. A fallback takes the place of a folder that cannot be made, belongs to
somebody else, has too long a path for a socket, or lies on a file system without locks or sockets; its name
follows from the folder's, and commands look into all of them.
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
from pathlib import Path
from typing import IO

SOCKET, LOCK, MARKS = "engine.sock", "engine.lock", "leases"
SHARED = (Path("/tmp"), Path("/var/tmp"))  # on every system, whatever the environment says
WATCH_SECONDS = 0.25  # how soon an engine notices that it can no longer be reached
ANSWER_SECONDS = 15.0


def wanted() -> Path:
    """Return the folder that the engine is reached in, unless it cannot be used."""
    value = os.environ.get("QOOD_RUNTIME")
    return Path(value).absolute() if value else SHARED[0] / f"qood-tui-{os.getuid()}"


def folders() -> list[Path]:
    """List the folders that the engine may be reached in, the wanted one first; none of them need exist."""
    digest = hashlib.sha256(os.fsencode(wanted())).hexdigest()[:12]
    return [wanted(), *(shared / f"qood-tui-{os.getuid()}-{digest}" for shared in SHARED)]


def usable_folder() -> Path:
    """Return the first folder that an engine can be reached in; raise the last OSError if there is none."""
    for folder in folders():
        if (reason := fault(folder)) is None:
            return folder
    assert reason is not None
    raise reason


def fault(folder: Path) -> OSError | None:
    """Return why no engine can be reached in a folder, by trying it under other names."""
    try:
        Endpoint(folder, f"try-{secrets.token_hex(4)}-").close()
    except OSError as error:
        return error
    return None


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


class Endpoint:
    """The lock that this engine holds in a folder, and the socket that it listens at."""

    def __init__(self, folder: Path, prefix: str = "") -> None:
        """Take the lock and listen; `prefix` is for names beside those of an engine.

        Raises BlockingIOError if another engine has the folder, OSError if it cannot be used.
        """
        make_private(folder)
        self.folder = folder
        self._socket_path, self._lock_path = folder / f"{prefix}{SOCKET}", folder / f"{prefix}{LOCK}"
        self._lock = _locked(self._lock_path)
        try:
            self.socket = _listening(self._socket_path)
        except BaseException:
            _remove(self._lock_path)
            self._lock.close()
            raise
        self._made = _identity(self._socket_path), _identity(self._lock.fileno())

    def is_there(self) -> bool:
        """Return whether lock and socket still are where commands look for them."""
        return (_identity(self._socket_path), _identity(self._lock_path)) == self._made

    def close(self) -> None:
        """Release the folder, and remove what is still this engine's."""
        for path, made in zip((self._socket_path, self._lock_path), self._made, strict=True):
            if _identity(path) == made:
                _remove(path)
        self._lock.close()
        self.socket.close()


def open_endpoint() -> Endpoint:
    """Return an endpoint in the first folder that can be used.

    Raises BlockingIOError if another engine is there, OSError if no folder can be used.
    """
    for folder in folders():
        try:
            return Endpoint(folder)
        except BlockingIOError:
            raise
        except OSError as error:
            reason = error
    raise reason


def ask(folder: Path, line: bytes) -> bytes:
    """Send one line to the engine at a folder and return its answer; raise OSError if there is none."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER_SECONDS)
        connection.connect(str(folder / SOCKET))
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
            _remove(path)  # nobody can lock it here
            file.close()
            raise
        file.close()


def _listening(path: Path) -> socket.socket:
    """Return a socket that listens at a path; as the lock is held, whatever is there is a dead engine's."""
    made = socket.socket(socket.AF_UNIX)
    new = path.with_name(f"{secrets.token_hex(4)}.new")
    try:
        made.bind(str(new))  # Python raises OSError for a path that is too long
        new.chmod(0o600)
        made.listen()
        new.replace(path)  # at no moment is it there without a listener
    except BaseException:
        made.close()
        _remove(new)
        raise
    return made


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _identity(place: Path | int) -> tuple[int, int] | None:
    """Return what identifies a file, None if there is none."""
    try:
        about = place.lstat() if isinstance(place, Path) else os.fstat(place)
    except OSError:
        return None
    return about.st_dev, about.st_ino
