"""Writing the journal of a session: by one process only, line by line."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import time
from datetime import datetime
from pathlib import Path

import msgspec

from engine.errors import InputError, JournalError
from engine.protocol.events import AnyEvent, ChunkFinished, Entry, Header, SessionClosed
from engine.session import attempts, lease
from engine.session.journal import Reader
from engine.session.layout import JOURNAL, RESERVE, TORN
from engine.session.migrations import FIRST_WRITABLE
from engine.session.place import Folder
from engine.session.seal import sealed
from engine.system.files import open_end, open_new, sync, sync_folder

RESERVE_BYTES = 64 * 1024  # set aside so that a full disk can still be reported
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
LOCK_SECONDS = 1.0

_READ_ONLY = "it is read-only; to resume it, copy it to a folder of your own"


class Writer:
    """Append events to the journal of a session; only one writer can hold it at a time."""

    def __init__(self, session: Path, *, take_over: bool = False) -> None:
        """Take the journal of a session.

        Raises BlockingIOError or LeaseHeld if another process holds it, or held it on another machine and
        `take_over` is not set; JournalError or OSError if it cannot be resumed or written to.
        """
        reader = Reader(Folder(session))
        is_old = reader.version < FIRST_WRITABLE
        if is_old or reader.strange:
            why = "in an older format" if is_old else f"with {', '.join(reader.strange)}"
            raise JournalError(f"{session}: it was started {why}; it can be shown but not resumed")
        self.session = session
        self.plan = reader.header.plan
        self._monotonic = time.monotonic() - max(0.0, time.time() - _created(reader.header, session))
        try:
            self._take(take_over)
            self._continue(reader)
        except PermissionError as error:
            raise JournalError(f"{session}: {_READ_ONLY} ({error.strerror})") from None
        except OSError as error:
            if error.errno != errno.EROFS:
                raise
            raise JournalError(f"{session}: {_READ_ONLY} ({error.strerror})") from None

    def _take(self, take_over: bool) -> None:
        self._file = (self.session / JOURNAL).open("r+b", buffering=0)
        try:
            _lock(self._file.fileno())
            self._lease = lease.Lease(self.session, take_over=take_over)
        except BaseException:
            self._file.close()
            raise

    def _continue(self, reader: Reader) -> None:
        """Read the journal, now that nobody else can write it, and prepare to append to it."""
        try:
            entries = reader.poll()
            self._keep_torn_tail(reader.torn)
            self._hash = hashlib.sha256((self.session / JOURNAL).read_bytes())
            with open_new(self.session / RESERVE) as file:
                file.write(b"\0" * RESERVE_BYTES)
        except BaseException:
            self.release_reserve()
            self.abandon()
            raise
        self._seq = reader.expected - 1
        self._count = len(entries) + reader.unknown
        self._last_t = entries[-1].t if entries else 0.0
        self._synced = 0.0
        self.has_events = bool(entries)
        events = [entry.event for entry in entries]
        self.finished_rows = attempts.finished_rows(events)
        self.worker = attempts.last_worker(events)

    @property
    def owner(self) -> str:
        """Return the owner named in the session's lease."""
        return self._lease.owner

    def renew(self) -> None:
        """Renew the lease; raise LeaseLost if it is too late, OSError if it may be retried."""
        self._lease.renew()

    def append(self, event: AnyEvent) -> Entry:
        """Write one event; chunks and the closing event are on disk when this returns.

        Raises LeaseLost, and writes nothing, if the session was taken over; OSError if it cannot be written.
        """
        self._lease.check()
        t = round(max(time.monotonic() - self._monotonic, self._last_t), 3)
        entry = Entry(self._seq + 1, t, event)
        line = sealed(msgspec.json.encode(entry))
        start = self._file.seek(0, os.SEEK_END)
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            self._file.truncate(start)
            raise
        self._hash.update(line)
        self._seq, self._count, self._last_t = entry.seq, self._count + 1, t
        now = time.monotonic()
        if isinstance(event, ChunkFinished | SessionClosed) or now - self._synced > 1:
            sync(self._file.fileno())
            self._synced = now
        return entry

    def close(self, outcome: str, reason: str = "") -> None:
        """Append the closing event and release the journal; raises as `append` does."""
        self._lease.check()  # the reserve may belong to another writer by now
        self.release_reserve()
        self.append(SessionClosed(outcome, reason, self._count, self._hash.hexdigest()))
        self.abandon()

    def abandon(self) -> None:
        """Release the journal without a closing event."""
        self._lease.release()
        self._file.close()

    def release_reserve(self) -> None:
        """Free the space set aside for reporting a full disk."""
        (self.session / RESERVE).unlink(missing_ok=True)

    def _keep_torn_tail(self, torn: int) -> None:
        if torn:
            whole = self._file.seek(0, os.SEEK_END) - torn
            self._file.seek(whole)
            with open_end(self.session / TORN) as file:
                file.write(self._file.read())
                file.flush()
                sync(file.fileno())
            self._file.truncate(whole)


def create(session: Path, header: Header) -> None:
    """Create the folder `session` with a journal that holds only its header; raise InputError."""
    try:
        made = [folder for folder in (session, *session.parents) if not folder.exists()]
        session.mkdir(parents=True, mode=0o700)
        # In this order the plan's bytes match its identity (`plan.is_identity`).
        _begin(session, sealed(msgspec.json.encode(header, order="deterministic")))
        for folder in (session, *(folder.parent for folder in made)):
            sync_folder(folder)
    except OSError as error:
        raise InputError(
            "session", str(session), f"the folder cannot be created ({error.strerror})"
        ) from None


def _begin(session: Path, line: bytes) -> None:
    """Write the first line of a journal into a new folder; remove both if that fails."""
    try:
        with (session / JOURNAL).open("xb") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        (session / JOURNAL).unlink(missing_ok=True)
        session.rmdir()
        raise


def _lock(file: int) -> None:
    """Lock the journal; retry for a moment, since a reader that checks for a writer locks it briefly.

    If the file system has no such locks, only the lease decides.
    """
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            return


def _created(header: Header, session: Path) -> float:
    try:
        return datetime.fromisoformat(header.created).timestamp()
    except (ValueError, OverflowError):
        raise JournalError(
            f"{session}: the header's time {header.created!r} is invalid; the journal is damaged"
        ) from None
