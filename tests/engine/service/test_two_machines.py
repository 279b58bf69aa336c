"""Two machines that see the same sessions: real engines, each with a runtime folder of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from engine.errors import EngineError
from engine.protocol.events import ChunkFinished, SessionClosed, SessionResumed
from engine.protocol.messages import Status
from engine.service import client
from engine.session import lease, store
from engine.session.layout import LEASE
from engine.session.session import Session
from tests.running import CPU, follow, small_plan

# A daemon on whose machine no journal can be locked, as where home directories lie on a network.
WITHOUT_LOCKS = """
import errno, fcntl, pathlib
real = fcntl.flock
def flock(file, how):
    number = file if isinstance(file, int) else file.fileno()
    if pathlib.Path(f"/proc/self/fd/{number}").readlink().name == "journal.jsonl":
        raise OSError(errno.ENOLCK, "No locks available")
    real(file, how)
fcntl.flock = flock
from engine.service import daemon
from engine.session import lease
lease.RENEW_SECONDS = 0.2
daemon.main()
"""
SECONDS = 60

Move = Callable[[str], psutil.Process]


@pytest.fixture
def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Move]:
    """Return a function that moves to the machine of that name, where an engine runs, and returns it."""
    started: dict[str, psutil.Process] = {}

    def move(name: str) -> psutil.Process:
        monkeypatch.setenv("QOOD_RUNTIME", str(tmp_path / name))
        monkeypatch.setenv("QOOD_LOGS", str(tmp_path / name))
        if name not in started:
            (tmp_path / name).mkdir()
            with (tmp_path / name / "engine.log").open("ab") as log:
                process = subprocess.Popen(
                    [sys.executable, "-c", WITHOUT_LOCKS], stdout=log, stderr=log, start_new_session=True
                )
            started[name] = psutil.Process(process.pid)
            until(lambda: client.call(Status()) is not None, "the engine answers")
        return started[name]

    yield move
    for process in started.values():
        for one in [*process.children(recursive=True), process]:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()


def until(happens: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not happens():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {SECONDS} s: {what}")
        time.sleep(0.01)


def chunks(session: Path) -> int:
    return sum(isinstance(entry.event, ChunkFinished) for entry in Session.at(session).entries)


def paused(engine: psutil.Process) -> list[psutil.Process]:
    """Stop an engine and all its processes, as a machine that sleeps does."""
    processes = [engine, *engine.children(recursive=True)]
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    return processes


def test_two_engines_never_write_one_session_at_a_time(recorded: Path, engines: Move, tmp_path: Path) -> None:
    plan = small_plan()
    first = engines("a")
    session = store.create(plan, (), title="shared")
    queued = store.create(plan, (), title="queued")
    client.start(session, CPU)
    client.start(queued, CPU)
    until(lambda: chunks(session) > 0, "a chunk is finished")
    then = time.time() - 2 * lease.FRESH_SECONDS
    os.utime(queued / LEASE, (then, then))
    until(lambda: (queued / LEASE).stat().st_mtime > then + 1, "the lease of what waits is renewed")
    asleep = paused(first)

    engines("b")
    for one in (session, queued):
        with pytest.raises(EngineError, match="being written on another machine"):
            client.start(one, CPU, take_over=True)
        os.utime(one / LEASE, (then, then))
        with pytest.raises(EngineError, match="--take-over"):
            client.start(one, CPU)
    before = Session.at(session).rows
    for one in (session, queued):
        client.start(one, CPU, take_over=True)
    for process in asleep:
        process.send_signal(signal.SIGCONT)
    follow(session)
    follow(queued)

    log = tmp_path / "a" / "engine.log"
    until(lambda: log.read_text().count("taken it over") >= 2, "the first engine says what it lost")
    engines("a")
    status = client.call(Status())
    assert status is not None and not status.running and not status.queued
    assert "Traceback" not in log.read_text()
    for one in (session, queued):
        read = Session.at(one)
        entries, reader = read.entries, read.journal
        assert reader.damage == [] and reader.torn == 0
        assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
        closed = [entry.event for entry in entries if isinstance(entry.event, SessionClosed)]
        assert [event.outcome for event in closed] == ["finished"]
        for file in (recorded / "arrays").iterdir():
            assert file.read_bytes() == (one / "arrays" / file.name).read_bytes(), file.name
        assert not [path for path in one.iterdir() if path.name.startswith(LEASE)]
    assert SessionResumed(before) in [entry.event for entry in Session.at(session).entries]
