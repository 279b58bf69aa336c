"""A session in one file, as `sessions export` writes it: a zip of the session's folder, read in place.

The file may come from a stranger. Only files of a session are accepted, by name, kind and size. The actual
content of a member counts, not its declared size, and nothing is ever written where a name points to.
"""

from __future__ import annotations

import errno
import io
import re
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING
from zipfile import ZipFile, ZipInfo

from engine.errors import InputError
from engine.session.layout import JOURNAL, NOTE, SessionFile, is_kept
from engine.session.notes import LARGEST
from engine.session.place import Irregular
from engine.text import clean, in_bytes

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MOST_FILES = 5000
LARGEST_RATIO = 100  # of all files together; above both this and LEAST_BOMB it is a decompression bomb
LEAST_BOMB = 1 << 30
SPARE = 64 << 20  # bytes left free on a disk
BLOCK = 1 << 20
_ENCRYPTED = 0x1 | 0x20 | 0x40  # flags of a member: encrypted, patched, strongly encrypted
# Everything that zipfile may raise for a damaged file.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, struct.error, ValueError, RuntimeError, OverflowError)


class ArchiveFile:
    """The place of a session whose files are read from an archive, arrays through unnamed temporary files.

    Raises InputError if the file is not the archive of a session.
    """

    may_grow = False

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            if not path.is_file():  # reading a pipe would block
                right = "a plain file is needed" if path.exists() else "there is no such file"
                raise InputError("file", clean(str(path)), right)
            self._zip = ZipFile(path)
            self.name, self._members = _checked(self._zip, path, path.stat().st_size)
        except OSError as error:
            right = f"it cannot be read ({error.strerror or error})"
            raise InputError("file", clean(str(path)), right) from None
        except _DAMAGE as error:
            right = f"an intact file from 'qood-tui sessions export' is needed ({clean(str(error))[:200]})"
            raise InputError("file", clean(str(path)), right) from None

    def where(self, name: str) -> str:
        """Return the archive's path, followed by the file's name inside it."""
        return f"{self.path}/{name}" if name else str(self.path)

    def files(self) -> list[SessionFile]:
        """List every file, by name."""
        return sorted(SessionFile(name, info.file_size) for name, info in self._members.items())

    def irregular(self) -> list[Irregular]:
        """Return an empty list: an archive with anything but plain files is refused."""
        return []

    def open(self, name: str) -> IO[bytes]:
        """Open a file to read from its start; raise OSError, now or later, if it is missing or damaged."""
        if (info := self._members.get(name)) is None:
            raise FileNotFoundError(errno.ENOENT, "it is not in the archive")
        try:
            member = self._zip.open(info)
        except _DAMAGE as error:
            raise _damaged(error) from None
        return io.BufferedReader(_Member(member, info.file_size), BLOCK)

    def open_local(self, name: str) -> IO[bytes]:
        """Unpack a file into an unnamed temporary file, which only the caller sees, and closes."""
        with self.open(name) as source:
            size, free = self._members[name].file_size, shutil.disk_usage(tempfile.gettempdir()).free
            if size + SPARE > free:
                needed = (
                    f"{in_bytes(size)} are needed in {tempfile.gettempdir()}; set TMPDIR to another folder"
                )
                raise OSError(errno.ENOSPC, needed)
            file: IO[bytes] = tempfile.TemporaryFile(prefix="qood-")  # noqa: SIM115
            try:
                shutil.copyfileobj(source, file, BLOCK)
                file.seek(0)
            except BaseException:
                file.close()
                raise
        return file

    def is_being_written(self) -> bool:
        """Return False: an archive is a snapshot of an exported session."""
        return False


class _Member(io.RawIOBase):
    """A file in an archive; raises OSError if it is damaged or shorter than declared."""

    def __init__(self, member: IO[bytes], size: int) -> None:
        self._member, self._size = member, size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        try:
            data = self._member.read(len(view))
            if not data and len(view) and self._member.tell() < self._size:
                raise EOFError("it is shorter than declared")
        except _DAMAGE as error:
            raise _damaged(error) from None
        view[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return self._member.seek(offset, whence)
        except _DAMAGE as error:
            raise _damaged(error) from None

    def tell(self) -> int:
        return self._member.tell()

    def close(self) -> None:
        self._member.close()
        super().close()


def _damaged(error: Exception) -> OSError:
    return OSError(errno.EIO, f"it is damaged in the archive: {clean(str(error))[:200]}")


def safe_name(name: str) -> str:
    """Return a name with only the characters that a session's name may have."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", name).lstrip(".+-")[:100]


def _checked(archive: ZipFile, file: Path, packed: int) -> tuple[str, dict[str, ZipInfo]]:
    """Return the session's own name and its members by path; raise InputError for any other file."""
    members: dict[str, ZipInfo] = {}
    folders, taken = set(), set()
    if len(archive.infolist()) > MOST_FILES:
        right = f"a session has at most {MOST_FILES:,}"
        raise _not_a_session(file, f"{len(archive.infolist()):,} files", right)
    for info in archive.infolist():
        folder, _, name = info.orig_filename.partition("/")
        if not is_kept(name) or info.orig_filename != info.filename or safe_name(folder) != folder:
            raise _not_a_session(file, info.orig_filename, "no file of a session has this name")
        if problem := _problem(info):
            raise _not_a_session(file, name, problem)
        if name.lower() in taken:
            raise _not_a_session(file, name, "it is in there twice")
        members[name] = info
        folders.add(folder)
        taken.add(name.lower())
    if JOURNAL not in members or len(folders) != 1 or "" in folders:
        raise _not_a_session(file, f"{len(folders)} folders", f"one with a {JOURNAL} is needed")
    size = sum(info.file_size for info in members.values())
    if size > max(LEAST_BOMB, LARGEST_RATIO * packed):
        raise _not_a_session(file, in_bytes(size), f"that much cannot come out of {in_bytes(packed)}")
    if (note := members.get(NOTE)) and note.file_size > LARGEST:
        raise _not_a_session(file, NOTE, f"a note has at most {in_bytes(LARGEST)}")
    return folders.pop(), members


def _problem(info: ZipInfo) -> str:
    """Return what is wrong with the kind of a member; an empty text for a plain file."""
    kind = stat.S_IFMT(info.external_attr >> 16) if info.create_system == 3 else 0
    if kind not in (0, stat.S_IFREG):
        return "it is a link or something else that is not a plain file"
    if info.flag_bits & _ENCRYPTED:
        return "it is encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "it is not compressed with deflate"
    return ""


def _not_a_session(file: Path, content: str, why: str) -> InputError:
    return InputError(clean(file.name), clean(content)[:120], why)
