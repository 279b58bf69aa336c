"""The SHA-256 of files, kept between sweeps: a file is read again as soon as anything about it has changed.

An entry holds for one path with one size, modification time, change time and inode. The change time is the
system's own: unlike the modification time, neither `cp -p`, `rsync -t` nor `touch` can set it.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

from platformdirs import user_cache_path

from engine.images.decode import UnreadableError, read_bytes
from engine.images.image_set import NO_FILE

THREADS = 8
AT_ONCE = 500  # files per database query
SETTLING_SECONDS = 2.0  # a file that changed this recently may change again within one tick of its clock

_TABLE = "CREATE TABLE IF NOT EXISTS contents (path TEXT PRIMARY KEY, stamp TEXT, digest TEXT)"
_OUTDATED = "DROP TABLE IF EXISTS files"  # its entries were also of files that could not be read


def digests(root: Path, files: list[str]) -> list[str]:
    """Return the SHA-256 of every file below `root`, `NO_FILE` for an unreadable one.

    Raises PassingError if the disk does not answer.
    """
    found: list[str] = []
    with _database() as database, ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(files), AT_ONCE):
            paths = [root / file for file in files[start : start + AT_ONCE]]
            stamps = dict(zip(paths, pool.map(_stamp, paths), strict=True))
            known = _known(database, paths)
            new = [
                path
                for path in paths
                if stamps[path] is None or known.get(_key(path), ("",))[0] != stamps[path]
            ]
            read = dict(zip(new, pool.map(lambda path: _digest(path, root), new), strict=True))
            _keep(database, {path: stamp for path in new if (stamp := stamps[path]) is not None}, read)
            found += [read[path] if path in read else known[_key(path)][1] for path in paths]
    return found


def _digest(path: Path, root: Path) -> str:
    try:
        return hashlib.sha256(read_bytes(path, root)).hexdigest()
    except UnreadableError:
        return NO_FILE


def _stamp(path: Path) -> str | None:
    """Return everything that tells one content of a file from another, None where there is no file."""
    try:
        about = path.stat()
    except (OSError, ValueError):
        return None
    return f"{about.st_size} {about.st_mtime_ns} {about.st_ctime_ns} {about.st_ino}"


def _is_settled(path: Path, stamp: str) -> bool:
    """Return whether a file is still what it was before it was read, and did not change just before that."""
    changed = int(stamp.split()[2])
    return time.time_ns() - changed > SETTLING_SECONDS * 1e9 and _stamp(path) == stamp


def _key(path: Path) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _known(database: sqlite3.Connection | None, paths: list[Path]) -> dict[str, tuple[str, str]]:
    if database is None:
        return {}
    marks = ",".join("?" * len(paths))
    query = f"SELECT path, stamp, digest FROM contents WHERE path IN ({marks})"
    try:
        return {row[0]: row[1:] for row in database.execute(query, [_key(path) for path in paths])}
    except sqlite3.Error:
        return {}


def _keep(database: sqlite3.Connection | None, stamps: dict[Path, str], read: dict[Path, str]) -> None:
    """Store what was read; that a file could not be read is no content, and is asked again next time."""
    rows = [
        (_key(path), stamp, read[path])
        for path, stamp in stamps.items()
        if read[path] != NO_FILE and _is_settled(path, stamp)
    ]
    if database is None or not rows:
        return
    try:
        with database:
            database.executemany("INSERT OR REPLACE INTO contents VALUES (?, ?, ?)", rows)
    except sqlite3.Error:
        return  # a full or damaged disk costs only time


@contextmanager
def _database() -> Iterator[sqlite3.Connection | None]:
    """Open the database, None where that is impossible; a damaged one is replaced by an empty one."""
    path = user_cache_path("qood-tui") / "files.sqlite"
    opened = _opened(path)
    if opened is None:
        path.unlink(missing_ok=True) if os.access(path.parent, os.W_OK) else None
        opened = _opened(path)
    if opened is None:
        yield None
        return
    with closing(opened):
        yield opened


def _opened(path: Path) -> sqlite3.Connection | None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(path, timeout=10)
        database.execute(_OUTDATED)
        database.execute(_TABLE)
        database.execute("SELECT path FROM contents LIMIT 1").fetchone()
        return database
    except (OSError, sqlite3.Error):
        return None
