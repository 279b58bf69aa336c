"""A session as one file to hand on, and back: a zip with the session's folder in it.

What comes in may be from a stranger: files of known names alone are taken, nothing outside a new folder is
written, and nothing is left behind where one thing is wrong.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple
from zipfile import ZipFile, ZipInfo

from engine.errors import InputError, JournalError, QoodError
from engine.session import journal, notes
from engine.session.layout import check_name, free_below, is_kept, kept, parts
from engine.system.files import open_plain, sync_folder, whole
from engine.text import clean, in_bytes

SUFFIX = ".qood"
MOST_FILES = 5000
LARGEST_RATIO = 100  # of all files together; more than this, and more than LEAST_BOMB, is a bomb
LEAST_BOMB = 1 << 30
SPARE = 64 << 20  # bytes that stay free on a disk
BLOCK = 1 << 20
EPOCH = (1980, 1, 1, 0, 0, 0)  # the first time that a zip can tell
_ENCRYPTED = 0x1 | 0x20 | 0x40  # flags of a member: encrypted, patched, strongly encrypted
# What zipfile raises, whatever is in the file.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, struct.error, ValueError, RuntimeError, OverflowError)


class Exported(NamedTuple):
    """A file that was written; `is_ahead` tells that the session was still being written."""

    file: Path
    size: int
    is_ahead: bool
    torn: int  # bytes of an unfinished last line that were left out


class Imported(NamedTuple):
    """A session that is there now; `was_there` tells that it had been before, the same in every byte."""

    session: Path
    was_there: bool


def export(
    session: Path,
    target: Path,
    *,
    quantized: bool = False,
    outputs: bool = False,
    force: bool = False,
) -> Exported:
    """Write journal, note and arrays of a session into one file, and more of it where asked for.

    The same session gives the same bytes. Of a session at work the journal is taken first, up to its last
    whole line: arrays may be ahead of it, and what is ahead does not count. Raises InputError, JournalError.
    """
    journal.Reader(session)
    left_out = {name for name, wanted in (("quantized", quantized), ("outputs", outputs)) if not wanted}
    is_ahead = journal.is_being_written(session)
    folder = _safe_name(session.resolve().name) or "session"
    with replacing(target, force=force) as file, ZipFile(file, "w", compresslevel=6) as made:
        with open_plain(session / journal.NAME) as source:
            there = os.fstat(source.fileno()).st_size
            whole = _whole_bytes(source)
            _put(made, f"{folder}/{journal.NAME}", source, whole)
        for part in kept(session):
            if part.name != journal.NAME and part.of not in left_out:
                with open_plain(session / part.name) as source:
                    _put(made, f"{folder}/{part.name}", source, part.size)
    return Exported(target, target.stat().st_size, is_ahead, 0 if is_ahead else there - whole)


@contextmanager
def replacing(target: Path, *, force: bool, field: str = "file") -> Iterator[IO[bytes]]:
    """Give a file to write that takes the place of `target` once it is whole; raise InputError."""
    if target.exists() and not force:
        raise InputError(field, str(target), "it is there already; give another name, or --force")
    try:
        with whole(target) as file:
            yield file
    except OSError as error:
        right = f"a file in a folder that can be written is needed ({error.strerror or error})"
        raise InputError(field, str(target), right) from None


def import_file(file: Path, root: Path, name: str | None = None) -> Imported:
    """Put the session in a file into the folder `root`, under a name of its own, never over another.

    Raises InputError in words for whatever is not a session's file, and leaves nothing behind.
    """
    if name is not None:
        check_name(name)
    field = clean(str(file))
    try:
        if not file.is_file():  # a pipe would be waited for
            right = "a plain file is needed" if file.exists() else "there is no such file to be read"
            raise InputError("file", field, right)
        with file.open("rb") as opened, ZipFile(opened) as given:
            own, members = _checked(given, file, os.fstat(opened.fileno()).st_size)
            _check_room(members, root)
            return _unpacked(given, members, root, name, own)
    except QoodError:
        raise
    except OSError as error:
        raise InputError("file", field, f"it cannot be read ({error.strerror or error})") from None
    except _DAMAGE as error:
        right = f"a whole file of 'qood-tui sessions export' is needed ({clean(str(error))[:200]})"
        raise InputError("file", field, right) from None


def _whole_bytes(source: IO[bytes]) -> int:
    """Return how many bytes of a journal are whole lines, and go back to its start."""
    end = at = source.seek(0, os.SEEK_END)
    while at:
        at = max(0, at - BLOCK)
        source.seek(at)
        found = source.read(min(BLOCK, end - at)).rfind(b"\n")
        if found >= 0:
            at += found + 1
            break
    source.seek(0)
    return at


def _put(made: ZipFile, name: str, source: IO[bytes], size: int) -> None:
    """Add `size` bytes under a name, with nothing that says when or by whom."""
    info = ZipInfo(name, EPOCH)
    info.create_system = 3  # Unix, whichever system this is
    info.external_attr = (stat.S_IFREG | 0o600) << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    info.file_size = size
    with made.open(info, "w") as member:
        left = size
        while left and (block := source.read(min(left, BLOCK))):
            member.write(block)
            left -= len(block)


def _checked(given: ZipFile, file: Path, packed: int) -> tuple[str, dict[str, ZipInfo]]:
    """Return the session's own name and its members by path; raise InputError for any other file."""
    members: dict[str, ZipInfo] = {}
    folders, taken = set(), set()
    if len(given.infolist()) > MOST_FILES:
        raise _not_a_session(
            file, f"{len(given.infolist()):,} files", f"a session has at most {MOST_FILES:,}"
        )
    for info in given.infolist():
        folder, _, name = info.orig_filename.partition("/")
        if not is_kept(name) or info.orig_filename != info.filename or _safe_name(folder) != folder:
            raise _not_a_session(file, info.orig_filename, "no file of a session is called that")
        kind = stat.S_IFMT(info.external_attr >> 16) if info.create_system == 3 else 0
        if kind not in (0, stat.S_IFREG):
            raise _not_a_session(file, name, "it is a link or another thing that is no plain file")
        if info.flag_bits & _ENCRYPTED:
            raise _not_a_session(file, name, "it is encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _not_a_session(file, name, "it is compressed in another way than deflate")
        if name.lower() in taken:
            raise _not_a_session(file, name, "it is in there twice")
        members[name] = info
        folders.add(folder)
        taken.add(name.lower())
    if journal.NAME not in members or len(folders) != 1 or "" in folders:
        raise _not_a_session(file, f"{len(folders)} folders", f"one with a {journal.NAME} is needed")
    size = sum(info.file_size for info in members.values())
    if size > max(LEAST_BOMB, LARGEST_RATIO * packed):
        raise _not_a_session(file, in_bytes(size), f"that many do not come out of {in_bytes(packed)}")
    if (note := members.get(notes.NAME)) and note.file_size > notes.LARGEST:
        raise _not_a_session(file, notes.NAME, f"a note has at most {in_bytes(notes.LARGEST)}")
    return folders.pop(), members


def _safe_name(name: str) -> str:
    """Return what of a name can be a session's."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", name).lstrip(".+-")[:100]


def _check_room(members: dict[str, ZipInfo], root: Path) -> None:
    size = sum(info.file_size for info in members.values())
    if size + SPARE > (free := free_below(root)):
        right = f"{in_bytes(size)} are needed; make space, or give another --session-dir"
        raise InputError("disk", f"{in_bytes(free)} free in {root}", right)


def _unpacked(
    given: ZipFile, members: dict[str, ZipInfo], root: Path, name: str | None, own: str
) -> Imported:
    """Unpack into a hidden folder beside, look at the journal, and only then give it its name."""
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = Path(tempfile.mkdtemp(dir=root, prefix=".import-"))
    try:
        for path, info in sorted(members.items(), key=lambda member: member[0] != journal.NAME):
            _take(given, info, made / path)
            if path == journal.NAME:
                _check_journal(made, own)
        for folder in (*(place for place in made.iterdir() if place.is_dir()), made):
            sync_folder(folder)
        target, is_there = _place_for(made, root, name, own)
        if not is_there:
            made.rename(target)
            sync_folder(root)
        return Imported(target, is_there)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _take(given: ZipFile, info: ZipInfo, path: Path) -> None:
    """Unpack one member; what is really in it counts, not what it says of itself."""
    path.parent.mkdir(exist_ok=True, mode=0o700)
    with given.open(info) as source, path.open("xb") as file:
        left = info.file_size
        while block := source.read(BLOCK):
            left -= len(block)
            if left < 0:
                raise zipfile.BadZipFile(f"{path.name} is longer than it says")
            file.write(block)
        if left:
            raise zipfile.BadZipFile(f"{path.name} is shorter than it says")
        file.flush()
        os.fsync(file.fileno())


def _check_journal(made: Path, own: str) -> None:
    try:
        journal.Reader(made)
    except JournalError as error:
        reason = str(error).replace(str(made), own)
        raise InputError("session", own, f"it cannot be imported: {clean(reason)}") from None


def _place_for(made: Path, root: Path, name: str | None, own: str) -> tuple[Path, bool]:
    """Return a free name in `root`, or the session that is there and the same, and whether it is."""
    wanted = name or own
    try:
        check_name(wanted)
    except InputError:
        wanted = f"{wanted[:90]}-imported"
    number = 1
    while True:
        target = root / (wanted if number == 1 else f"{wanted[:95]}-{number}")
        if not os.path.lexists(target):
            return target, False
        if _is_same(made, target):
            return target, True
        if name is not None:
            raise InputError("name", name, f"another session in {root} has it; give another --name")
        number += 1


def _is_same(made: Path, there: Path) -> bool:
    """Tell whether a session that is there has every file of another, the same to the last byte."""
    try:
        return not there.is_symlink() and all(
            _digest(made / part.name) == _digest(there / part.name) for part in parts(made)
        )
    except OSError:
        return False


def _digest(path: Path) -> bytes:
    found = hashlib.sha256()
    with open_plain(path) as file:
        while block := file.read(BLOCK):
            found.update(block)
    return found.digest()


def _not_a_session(file: Path, given: str, why: str) -> InputError:
    return InputError(clean(file.name), clean(given)[:120], f"{why}; nothing was imported")
