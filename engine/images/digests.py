"""The SHA-256 of images, cached between sweeps: an image is read again as soon as anything about it changed.

An entry holds for the path of one member with one stamp (`sources.base.Stamp`).
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

from platformdirs import user_cache_path

from engine.datasets.sources.base import Source, Stamp, UnreadableError
from engine.text import path_as_text

NO_CONTENT = hashlib.sha256().hexdigest()  # the digest of an image that cannot be read
THREADS = 8
AT_ONCE = 500  # members per database query
SETTLING_SECONDS = 2.0  # what changed this recently may change again within one tick of its clock

_TABLE = "CREATE TABLE IF NOT EXISTS contents (path TEXT PRIMARY KEY, stamp TEXT, digest TEXT)"
_OUTDATED = "DROP TABLE IF EXISTS files"  # it also had entries for files that could not be read


def digests(source: Source, members: Sequence[str]) -> list[str]:
    """Return the SHA-256 of the content of every member, `NO_CONTENT` for an unreadable one.

    Raises TransientError if the disk does not answer.
    """
    hashed: list[str] = []
    with _database() as database, ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(members), AT_ONCE):
            some = members[start : start + AT_ONCE]
            stamps = dict(zip(some, pool.map(source.stamp, some), strict=True))
            keys = {member: _key(source, member) for member in some}
            entries = _entries(database, list(keys.values()))
            cached = {
                member: entries[key][1]
                for member, key in keys.items()
                if (stamp := stamps[member]) is not None and entries.get(key, ("",))[0] == stamp.text
            }
            new = [member for member in some if member not in cached]
            read = dict(zip(new, pool.map(lambda member: _digest(source, member), new), strict=True))
            settled = [
                (keys[member], stamp.text, read[member])
                for member in new
                if (stamp := stamps[member]) is not None
                and read[member] != NO_CONTENT  # being unreadable is not a content: try again next time
                and _is_settled(source, member, stamp)
            ]
            _keep(database, settled)
            hashed += [cached.get(member) or read[member] for member in some]
    return hashed


def _digest(source: Source, member: str) -> str:
    try:
        return hashlib.sha256(source.read(member)).hexdigest()
    except UnreadableError:
        return NO_CONTENT


def _is_settled(source: Source, member: str, stamp: Stamp) -> bool:
    """Return whether a member did not change while it was read, or just before."""
    return time.time_ns() - stamp.changed > SETTLING_SECONDS * 1e9 and source.stamp(member) == stamp


def _key(source: Source, member: str) -> str:
    return path_as_text(source.root / member)


def _entries(database: sqlite3.Connection | None, keys: list[str]) -> dict[str, tuple[str, str]]:
    """Return stamps and digests by key."""
    if database is None:
        return {}
    marks = ",".join("?" * len(keys))
    query = f"SELECT path, stamp, digest FROM contents WHERE path IN ({marks})"
    try:
        return {row[0]: row[1:] for row in database.execute(query, keys)}
    except sqlite3.Error:
        return {}


def _keep(database: sqlite3.Connection | None, rows: list[tuple[str, str, str]]) -> None:
    """Store keys with their stamps and digests."""
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
