"""The SHA-256 of files, kept between sweeps: a file is read again only if its size or time changed."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

from platformdirs import user_cache_path

from engine.images.decode import UnreadableError, read_bytes

THREADS = 8
AT_ONCE = 500  # files a question to the database
NO_FILE = hashlib.sha256().hexdigest()  # what a file that cannot be read counts as

_TABLE = "CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, size INT, changed INT, digest TEXT)"


def digests(root: Path, files: list[str]) -> list[str]:
    """Return the SHA-256 of every file below `root`; raise PassingError if the disk does not answer."""
    found: list[str] = []
    with _database() as database, ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(files), AT_ONCE):
            paths = [root / file for file in files[start : start + AT_ONCE]]
            stamps = list(pool.map(_stamp, paths))
            known = _known(database, paths)
            new = [
                (path, stamp)
                for path, stamp in zip(paths, stamps, strict=True)
                if known.get(_key(path), ())[:2] != stamp
            ]
            read = dict(
                zip((p for p, _ in new), pool.map(lambda one: _digest(one[0], root), new), strict=True)
            )
            _keep(database, [(_key(path), *stamp, read[path]) for path, stamp in new if stamp is not None])
            found += [read[path] if path in read else known[_key(path)][2] for path in paths]
    return found


def _digest(path: Path, root: Path) -> str:
    try:
        return hashlib.sha256(read_bytes(path, root)).hexdigest()
    except UnreadableError:
        return NO_FILE


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        about = path.stat()
    except (OSError, ValueError):
        return None
    return about.st_size, about.st_mtime_ns


def _key(path: Path) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _known(database: sqlite3.Connection | None, paths: list[Path]) -> dict[str, tuple[int, int, str]]:
    if database is None:
        return {}
    marks = ",".join("?" * len(paths))
    query = f"SELECT path, size, changed, digest FROM files WHERE path IN ({marks})"
    try:
        return {row[0]: row[1:] for row in database.execute(query, [_key(path) for path in paths])}
    except sqlite3.Error:
        return {}


def _keep(database: sqlite3.Connection | None, rows: list[tuple[str, int, int, str]]) -> None:
    if database is None or not rows:
        return
    try:
        with database:
            database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", rows)
    except sqlite3.Error:
        return  # a full or damaged disk costs only time


@contextmanager
def _database() -> Iterator[sqlite3.Connection | None]:
    """Open the database, None where that is impossible; a damaged one begins anew."""
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
        database.execute(_TABLE)
        database.execute("SELECT path FROM files LIMIT 1").fetchone()
        return database
    except (OSError, sqlite3.Error):
        return None
