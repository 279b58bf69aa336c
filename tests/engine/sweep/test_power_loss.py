"""The power fails: what a real file system has on its disk at that moment, and what a session makes of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from engine.protocol.events import ChunkFinished, SessionClosed
from engine.protocol.messages import Status
from engine.service import client
from engine.session import lease, store
from engine.session.arrays import Arrays, ArrayWriter
from engine.session.layout import JOURNAL, LEASE
from engine.session.place import Folder
from engine.session.session import Session
from tests.running import CPU, follow, small_plan

# Nothing reaches the disk by and by: only what is asked for.
OPTIONS = "loop,noatime,commit=300"


def disk(image: Path) -> None:
    with image.open("wb") as file:
        file.truncate(64 << 20)
    made = subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], capture_output=True)
    if made.returncode:
        pytest.skip("a file system cannot be made here")


@contextmanager
def mounted(image: Path, folder: Path) -> Iterator[Path]:
    folder.mkdir()
    options = ["mount", "-o", OPTIONS, str(image), str(folder)]
    if subprocess.run(options, capture_output=True).returncode:
        pytest.skip("a file system cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def still() -> Iterator[None]:
    """Stop the engine and its processes for a while."""
    status = client.call(Status())
    assert status is not None
    daemon = psutil.Process(status.process)
    processes = [daemon, *daemon.children(recursive=True)]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


def test_what_was_finished_is_on_the_disk_and_the_sweep_goes_on_to_the_same_bits(
    recorded: Path, tmp_path: Path
) -> None:
    plan = small_plan()
    disk(tmp_path / "disk")
    with mounted(tmp_path / "disk", tmp_path / "before") as folder:
        session = store.create(plan, (), folder / "sessions", "lost")
        client.start(session, CPU)
        reader, finished = Session.at(session).follow(), 0
        deadline = time.monotonic() + 90
        while finished < 3 and time.monotonic() < deadline:
            finished += sum(isinstance(entry.event, ChunkFinished) for entry in reader.poll())
            time.sleep(0.01)
        with still():  # a file system that has not been told to end: so is the disk when the power fails
            shutil.copyfile(tmp_path / "disk", tmp_path / "disk-then")
        follow(session)
    with mounted(tmp_path / "disk-then", tmp_path / "after") as folder:
        then = folder / "sessions" / session.name
        read = Session.at(then)
        header, entries, journal_reader = read.header, read.entries, read.journal
        chunks = [entry.event for entry in entries if isinstance(entry.event, ChunkFinished)]
        assert len(chunks) >= finished == 3 and not journal_reader.damage
        arrays = Arrays(Folder(then), header.plan)
        for chunk in chunks:
            assert arrays.digests(chunk.first, chunk.rows) == chunk.digests
        long_ago = time.time() - 2 * lease.FRESH_SECONDS
        os.utime(then / LEASE, (long_ago, long_ago))
        client.start(then, CPU, take_over=True)
        last = follow(then)[-1].event
        assert isinstance(last, SessionClosed) and last.outcome == "finished"
        for file in (recorded / "arrays").iterdir():
            assert file.read_bytes() == (then / "arrays" / file.name).read_bytes(), file.name


def test_new_names_are_put_on_the_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some file systems lose a synced file whose folder was not: ask for what was asked of the system."""
    plan, synced, real = small_plan(models=("vit-narrow",)), set(), os.fsync

    def fsync(number: int) -> None:
        place = Path(f"/proc/self/fd/{number}").readlink()
        synced.add((place, frozenset(os.listdir(place)) if place.is_dir() else frozenset()))  # noqa: PTH208
        real(number)

    monkeypatch.setattr(os, "fsync", fsync)
    session = store.create(plan, (), tmp_path / "new" / "folder", "named")
    ArrayWriter(session, plan, 10, 10)
    wanted = (tmp_path, "new"), (tmp_path / "new", "folder"), (session.parent, session.name)
    arrays = [(session / "arrays", path.name) for path in (session / "arrays").iterdir()]
    assert len(arrays) > 5
    for place, name in (*wanted, (session, JOURNAL), (session, "arrays"), *arrays):
        assert any(folder == place and name in names for folder, names in synced), (place, name)
