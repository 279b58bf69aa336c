"""Who writes a session: a lease beside its journal, since locks may not reach other machines.

`lease` holds a random owner and nothing else. It is created exclusively, which is atomic on NFS too, and
touched every ten seconds: its time shows, by the file system's own clock, when its owner was last alive. A
machine recognises its own leases by marks in its runtime folder. Every writer checks its lease before it
writes.

A dead lease is replaced by the first to create `lease-after-OWNER`, the claim to succeed that one owner, and
rename it to `lease`. There is a lease at every moment, so nobody else can step in.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import time
from pathlib import Path

import msgspec

from engine.errors import JournalError
from engine.session import lease_marks
from engine.session.layout import LEASE
from engine.system.files import open_plain, sync_folder

RENEW_SECONDS = 10.0
FRESH_SECONDS = 4 * RENEW_SECONDS  # a lease renewed more recently is in use
LONGEST = 200  # bytes of a lease

_OWNER = re.compile(r"[0-9a-f]{32}")
_PASSING = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_JUST_TAKEN = "another engine has just taken it; try again in a minute"


class _Content(msgspec.Struct):
    owner: str


_content = msgspec.json.Decoder(_Content)


class LeaseHeld(JournalError):
    """Another machine is writing a session, or was and may not have stopped.

    `right` is what the user can do; `stale` is the seconds since the last renewal, None for a fresh lease.
    """

    def __init__(self, session: Path, right: str, stale: float | None = None) -> None:
        super().__init__(f"{session}: {right}")
        self.right, self.stale = right, stale


class LeaseLost(JournalError):
    """A session was taken over, so nothing more may be written to it here."""


class Seen(msgspec.Struct, frozen=True):
    """A lease on disk: its owner, empty if it is damaged, and its time in nanoseconds."""

    owner: str
    written: int

    @property
    def key(self) -> str:
        """Return a name that is unique to this lease."""
        return self.owner or f"{self.written & (1 << 64) - 1:x}"

    def age(self, now: int) -> float:
        """Return the seconds from its last renewal to `now`, negative if a clock was set back."""
        return (now - self.written) / 1e9


def look(path: Path) -> Seen | None:
    """Return the lease at `path`, None if there is none; anything but a plain file has only a time."""
    try:
        with open_plain(path) as file:
            return Seen(_owner(file.read(LONGEST + 1)), os.fstat(file.fileno()).st_mtime_ns)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in _PASSING:
            raise
    with contextlib.suppress(FileNotFoundError):
        return Seen("", path.lstat().st_mtime_ns)
    return None


def is_held(session: Path) -> bool:
    """Return whether the lease of a session is in use, by this machine's clock, without writing anything."""
    try:
        seen = look(session / LEASE)
    except OSError:
        return False
    if seen is None:
        return False
    here = lease_marks.is_held(seen.owner)
    return here if here is not None else seen.age(time.time_ns()) < FRESH_SECONDS


def check_free(session: Path, *, take_over: bool = False) -> None:
    """Raise BlockingIOError if this machine writes a session, LeaseHeld if another one does or might."""
    if (seen := look(session / LEASE)) is not None:
        _check_dead(session, seen, take_over)


def check_owner(session: Path, owner: str) -> None:
    """Raise LeaseLost if the lease of a session is gone or has another owner."""
    seen = look(session / LEASE)
    if seen is None or seen.owner != owner:
        how = "its lease was removed" if seen is None else "another engine has taken it over"
        raise LeaseLost(f"{session}: {how}; nothing more is written to it here")


class Lease:
    """Hold the lease of a session from its creation until it is released."""

    def __init__(self, session: Path, *, take_over: bool = False) -> None:
        """Take the lease.

        Raises BlockingIOError if a process on this machine holds it; LeaseHeld if another machine does, or
        did and `take_over` is not set; OSError if the folder cannot be written to.
        """
        self.session, self.path = session, session / LEASE
        self.owner = secrets.token_hex(16)
        self._mark = lease_marks.make(self.owner)
        try:
            if (before := look(self.path)) is None:
                self._create(self.path)
            else:
                _check_dead(session, before, take_over)
                self._follow(before)
            sync_folder(session)
        except BaseException:
            self.release()
            raise

    def check(self) -> None:
        """Raise LeaseLost if this is no longer the session's lease."""
        check_owner(self.session, self.owner)

    def renew(self) -> None:
        """Show that the owner is alive; raise LeaseLost if it is too late, OSError if it may be retried."""
        self.check()
        os.utime(self.path)  # by the clock of the disk, on NFS too
        with contextlib.suppress(OSError):  # not essential; retried with the next renewal
            self._mark = lease_marks.kept(self.owner, self._mark)

    def release(self) -> None:
        """Remove the lease, unless it has another owner."""
        with contextlib.suppress(OSError, LeaseLost):
            self.renew()  # a fresh lease is not taken over before it is removed
        try:
            self.check()
            self.path.unlink()
        except LeaseLost:
            pass
        except OSError:
            self._mark.close()  # the mark stays, so that this machine recognises the lease
            return
        self._mark.close()
        lease_marks.remove(self.owner)

    def _follow(self, before: Seen) -> None:
        """Replace a dead lease; only the first to create the claim to succeed it may."""
        claim = self.session / f"{LEASE}-after-{before.key}"
        self._create(claim)
        try:
            if look(self.path) != before:
                raise LeaseHeld(self.session, _JUST_TAKEN)
            with contextlib.suppress(FileNotFoundError):  # done, but the reply was lost
                claim.replace(self.path)
        finally:
            with contextlib.suppress(OSError):
                claim.unlink(missing_ok=True)
        self.check()
        lease_marks.remove(before.owner)

    def _create(self, path: Path) -> None:
        try:
            number = os.open(path, _NEW, 0o600)
        except FileExistsError:
            seen = look(path)
            if path != self.path and seen and seen.age(_clock(self.session)) >= FRESH_SECONDS:
                right = f"an engine died while taking over the session; remove {path.name}"
                raise LeaseHeld(self.session, right) from None
            raise LeaseHeld(self.session, _JUST_TAKEN) from None
        try:
            with os.fdopen(number, "wb", buffering=0) as file:
                file.write(msgspec.json.encode(_Content(self.owner)) + b"\n")
                os.fsync(number)
        except OSError:
            path.unlink(missing_ok=True)
            raise


def lasting(seconds: float) -> str:
    """Return a duration in a suitable unit."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _check_dead(session: Path, seen: Seen, take_over: bool) -> None:
    here = lease_marks.is_held(seen.owner)
    if here:
        raise BlockingIOError(errno.EWOULDBLOCK, "this session is already being written")
    if here is False:
        return
    age = seen.age(_clock(session))
    if age >= FRESH_SECONDS:
        if take_over:
            return
        right = (
            f"it was being written on another machine, or on this one before a restart, last {lasting(age)} "
            "ago; if nothing is writing it any more, give --take-over"
        )
        raise LeaseHeld(session, right, age)
    if age < -FRESH_SECONDS:
        right = f"its {LEASE} is dated {lasting(-age)} from now; if nothing is writing it, remove that file"
        raise LeaseHeld(session, right)
    right = f"it is being written on another machine, last {lasting(age)} ago; wait for it or stop it there"
    raise LeaseHeld(session, right)


def _owner(content: bytes) -> str:
    try:
        owner = _content.decode(content).owner
    except (ValueError, RecursionError):
        return ""
    return owner if _OWNER.fullmatch(owner) else ""


def _clock(session: Path) -> int:
    """Return the time in nanoseconds by the clock of the session's file system, else by this machine's."""
    probe = session / f"{LEASE}-{secrets.token_hex(16)}"
    try:
        os.close(os.open(probe, _NEW, 0o600))
        return probe.stat().st_mtime_ns
    except OSError:
        return time.time_ns()
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
