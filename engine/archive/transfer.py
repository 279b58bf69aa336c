"""A session as one file to pass on, and back: a zip with the session's folder in it.

A file may come from a stranger: `ArchiveFile` accepts only files with known names, nothing is written outside
a new folder, and nothing is left behind if anything is wrong.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple
from zipfile import ZipFile, ZipInfo

from engine.errors import InputError, JournalError, QoodError
from engine.session.archive_file import BLOCK, SPARE, ArchiveFile, safe_name
from engine.session.layout import JOURNAL, OUTPUTS, QUANTIZED, is_kept
from engine.session.place import Folder
from engine.session.session import Session
from engine.session.store import check_name
from engine.system.files import free_below, sync_folder, whole
from engine.text import clean, in_bytes

EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can hold


class Exported(NamedTuple):
    """A file that was written; `is_ahead` says that the session was still being written."""

    file: Path
    size: int
    is_ahead: bool
    torn: int  # bytes of an unfinished last line that were left out


class Imported(NamedTuple):
    """An imported session; `was_there` says that it was there before, identical in every byte."""

    session: Path
    was_there: bool


def export(
    folder: Path,
    target: Path,
    *,
    quantized: bool = False,
    outputs: bool = False,
    force: bool = False,
) -> Exported:
    """Write journal, note and arrays of a session into one file, and more of it if asked to.

    The same session gives the same bytes. If the session is running, the journal is taken first, up to
    its last whole line: arrays may be ahead of it, which does no harm. Raises InputError, JournalError.
    """
    place = Session.at(folder).place
    left_out = {part for part, wanted in ((QUANTIZED, quantized), (OUTPUTS, outputs)) if not wanted}
    is_ahead = place.is_being_written()
    name = safe_name(place.name) or "session"
    with replacing(target, force=force) as file, ZipFile(file, "w", compresslevel=6) as archive:
        with place.open(JOURNAL) as source:
            size = os.fstat(source.fileno()).st_size
            intact = _intact_bytes(source)
            _put(archive, f"{name}/{JOURNAL}", source, intact)
        for one in place.files():
            if is_kept(one.name) and one.name != JOURNAL and one.part not in left_out:
                with place.open(one.name) as source:
                    _put(archive, f"{name}/{one.name}", source, one.size)
    return Exported(target, target.stat().st_size, is_ahead, 0 if is_ahead else size - intact)


@contextmanager
def replacing(target: Path, *, force: bool, field: str = "file") -> Iterator[IO[bytes]]:
    """Yield a file to write that replaces `target` once it is complete; raise InputError."""
    if target.exists() and not force:
        raise InputError(field, str(target), "it already exists; give another name, or --force")
    try:
        with whole(target) as file:
            yield file
    except OSError as error:
        right = f"a file in a writable folder is needed ({error.strerror or error})"
        raise InputError(field, str(target), right) from None


def import_file(file: Path, root: Path, name: str | None = None) -> Imported:
    """Put the session in a file into the folder `root`, under its own name, never replacing another.

    Raises InputError for anything that is not a session's file, and leaves nothing behind.
    """
    if name is not None:
        check_name(name)
    archive = ArchiveFile(file)
    try:
        _check_room(archive, root)
        return _unpacked(archive, root, name)
    except QoodError:
        raise
    except OSError as error:
        right = f"it cannot be imported ({error.strerror or error})"
        raise InputError("file", clean(str(file)), right) from None


def _intact_bytes(source: IO[bytes]) -> int:
    """Return how many bytes of a journal are whole lines, and go back to its start."""
    end = at = source.seek(0, os.SEEK_END)
    while at:
        at = max(0, at - BLOCK)
        source.seek(at)
        newline = source.read(min(BLOCK, end - at)).rfind(b"\n")
        if newline >= 0:
            at += newline + 1
            break
    source.seek(0)
    return at


def _put(archive: ZipFile, name: str, source: IO[bytes], size: int) -> None:
    """Add `size` bytes under a name, with nothing that says when or by whom."""
    info = ZipInfo(name, EPOCH)
    info.create_system = 3  # Unix, whichever system this is
    info.external_attr = (stat.S_IFREG | 0o600) << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    info.file_size = size
    with archive.open(info, "w") as member:
        left = size
        while left and (block := source.read(min(left, BLOCK))):
            member.write(block)
            left -= len(block)


def _check_room(archive: ArchiveFile, root: Path) -> None:
    size = sum(file.size for file in archive.files())
    if size + SPARE > (free := free_below(root)):
        wrong = f"is not enough: {in_bytes(size)} are needed"
        right = "make space, or give another --session-dir"
        raise InputError("disk", f"{in_bytes(free)} free in {root}", right, wrong=wrong)


def _unpacked(archive: ArchiveFile, root: Path, name: str | None) -> Imported:
    """Unpack into a hidden folder, check the journal, and only then give it its name."""
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = Path(tempfile.mkdtemp(dir=root, prefix=".import-"))
    try:
        for file in sorted(archive.files(), key=lambda file: file.name != JOURNAL):
            _unpack(archive, file.name, made / file.name)
            if file.name == JOURNAL:
                _check_journal(made, archive.name)
        for folder in (*(place for place in made.iterdir() if place.is_dir()), made):
            sync_folder(folder)
        target, is_there = _place_for(made, root, name, archive.name)
        if not is_there:
            made.rename(target)
            sync_folder(root)
        return Imported(target, is_there)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _unpack(archive: ArchiveFile, name: str, path: Path) -> None:
    path.parent.mkdir(exist_ok=True, mode=0o700)
    with archive.open(name) as source, path.open("xb") as file:
        shutil.copyfileobj(source, file, BLOCK)
        file.flush()
        os.fsync(file.fileno())


def _check_journal(made: Path, own: str) -> None:
    try:
        Session.at(made)
    except JournalError as error:
        reason = str(error).replace(str(made), own)
        raise InputError("session", own, f"it cannot be imported: {clean(reason)}") from None


def _place_for(made: Path, root: Path, name: str | None, own: str) -> tuple[Path, bool]:
    """Return a free name in `root`, or that of an identical session, and whether there is one."""
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
            raise InputError("name", name, f"another session in {root} has this name; give another --name")
        number += 1


def _is_same(made: Path, there: Path) -> bool:
    """Return whether a session that is there has every file of another, identical to the last byte."""
    here, other = Folder(made), Folder(there)
    try:
        return not there.is_symlink() and all(
            _digest(here, file.name) == _digest(other, file.name) for file in here.files()
        )
    except OSError:
        return False


def _digest(folder: Folder, name: str) -> bytes:
    with folder.open(name) as file:
        return hashlib.file_digest(file, "sha256").digest()  # type: ignore[arg-type]
