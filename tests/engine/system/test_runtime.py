"""The engine can be reached whatever its folder is like, and whatever becomes of it."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from engine.doctor.places import engine as judged
from engine.protocol.messages import Reply, Status
from engine.service import client
from engine.service.daemon import Daemon
from engine.session import lease, lease_marks, store
from engine.session.layout import LEASE
from engine.system import runtime
from engine.system.runtime import Endpoint, open_endpoint
from tests.running import CPU, small_plan

LONG = "a" * 60 + "/" + "ü" * 40


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the runtime folder of this test, not made yet; whatever engine a test leaves there ends."""
    monkeypatch.setenv("QOOD_LOGS", str(tmp_path / "logs"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("QOOD_RUNTIME", str(tmp_path / "run"))
    yield tmp_path / "run"
    client.stop()
    for fallback in runtime.folders()[1:]:
        shutil.rmtree(fallback, ignore_errors=True)


def answering() -> int:
    """Return the process of the engine that answers, 0 if none does."""
    reply = client.call(Status())
    return reply.process if reply else 0


def eventually(holds: Callable[[], bool], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.05)
    return False


def test_every_login_of_a_user_finds_the_same_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QOOD_RUNTIME")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/0")
    monkeypatch.setenv("TMPDIR", "/scratch/job-1")
    assert runtime.wanted() == Path(f"/tmp/qood-tui-{os.getuid()}")


def test_an_engine_is_reached_through_a_fallback_where_the_path_is_too_long_for_a_socket(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QOOD_RUNTIME", str(folder / LONG))
    fallback = runtime.folders()[1]
    process = client.ensure().process
    assert stat.S_ISSOCK((fallback / runtime.SOCKET).stat().st_mode)
    found = judged()
    assert found.level == "warning" and str(fallback) in found.found and "too long" in found.found
    command = [sys.executable, "-m", "qood_tui", "stop"]
    subprocess.run(command, capture_output=True, timeout=60, check=True)
    assert eventually(lambda: not answering()) and process
    assert not list(fallback.iterdir())


def test_a_folder_that_is_removed_comes_back_with_its_socket_and_marks(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("QOOD_RUNTIME", folder.name)  # relative; the engine does not stay in this folder
    process = client.ensure().process
    session = store.create(small_plan(id_images=1000), ())
    client.start(session, CPU)
    seen = lease.look(session / LEASE)
    assert seen is not None and lease_marks.is_held(seen.owner)
    shutil.rmtree(folder)
    assert eventually(lambda: answering() == process)
    assert eventually(lambda: lease_marks.is_held(seen.owner) is True)
    for name in (runtime.SOCKET, runtime.LOCK):
        (folder / name).unlink()
        assert eventually((folder / runtime.SOCKET).exists)
        assert eventually(lambda: answering() == process)
    shutil.rmtree(folder)
    assert client.stop()


async def test_an_engine_without_work_ends_where_another_has_taken_its_place(folder: Path) -> None:
    serving = asyncio.create_task(Daemon().serve(open_endpoint()))
    await asyncio.sleep(0)
    shutil.rmtree(folder)
    other = Endpoint(folder)
    await asyncio.wait_for(serving, 20)
    assert other.is_there()
    other.close()
    assert not list(folder.iterdir())


def without_locks(monkeypatch: pytest.MonkeyPatch, below: Path) -> str:
    real = fcntl.flock

    def flock(file: object, how: int) -> None:
        number = file if isinstance(file, int) else file.fileno()  # type: ignore[attr-defined]
        if Path(f"/proc/self/fd/{number}").readlink().is_relative_to(below):
            raise OSError(errno.ENOLCK, "No locks available")
        real(number, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    return "No locks"


def without_sockets(monkeypatch: pytest.MonkeyPatch, below: Path) -> str:
    real = socket.socket.bind

    class Socket(socket.socket):
        def bind(self, address: object) -> None:
            if Path(str(address)).is_relative_to(below):
                raise PermissionError(errno.EPERM, "Operation not permitted")
            real(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(runtime.socket, "socket", Socket)
    return "not permitted"


@pytest.mark.parametrize("lacking", [without_locks, without_sockets])
def test_a_file_system_without_locks_or_sockets_is_passed_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch, lacking: Callable[[pytest.MonkeyPatch, Path], str]
) -> None:
    why = lacking(monkeypatch, folder)
    found = judged()
    assert found.level == "warning" and why in found.found and "QOOD_RUNTIME" in found.do
    endpoint = open_endpoint()
    assert endpoint.folder == runtime.usable_folder() == runtime.folders()[1]
    endpoint.close()
    assert not list(folder.iterdir()) and not list(endpoint.folder.iterdir())


def test_where_no_folder_can_be_used_the_reason_is_given(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_locks(monkeypatch, Path("/"))
    found = judged()
    assert found.level == "bad" and "No locks available" in found.found and "QOOD_RUNTIME" in found.do
    for opens in (open_endpoint, runtime.usable_folder):
        with pytest.raises(OSError, match="No locks"):
            opens()
    assert not list(folder.iterdir())


def test_a_folder_of_somebody_else_is_not_taken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    folder.chmod(0o1777)
    with pytest.raises(PermissionError, match="shared"):
        runtime.make_private(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o1777
    with monkeypatch.context() as other, pytest.raises(PermissionError, match="somebody else"):
        other.setattr(os, "getuid", lambda: -1)
        runtime.make_private(folder.parent)


def test_a_folder_that_others_may_open_is_closed_to_them(folder: Path) -> None:
    folder.mkdir(mode=0o777)
    endpoint = Endpoint(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / runtime.SOCKET).stat().st_mode) == 0o600
    endpoint.close()


def test_a_second_engine_is_kept_out_and_a_dead_ones_socket_is_replaced(folder: Path) -> None:
    first = Endpoint(folder)
    with pytest.raises(BlockingIOError):
        open_endpoint()
    assert runtime.fault(folder) is None  # trying a folder disturbs nobody
    assert first.is_there()
    fcntl.flock(first._lock, fcntl.LOCK_UN)  # as the system does with what has died
    second = open_endpoint()
    assert second.is_there() and not first.is_there()
    second.close()
    first.close()
    assert not list(folder.iterdir())


def test_an_answer_is_read_up_to_the_end_of_its_line(folder: Path) -> None:
    endpoint = Endpoint(folder)
    reply = msgspec.json.encode(Reply(ok=True, process=7))

    async def answer(reader: asyncio.StreamReader, sender: asyncio.StreamWriter) -> None:
        assert await reader.readline() == b"question\n"
        sender.write(reply + b"\n")

    async def served() -> bytes:
        async with await asyncio.start_unix_server(answer, sock=endpoint.socket):
            return await asyncio.to_thread(runtime.ask, folder, b"question")

    assert asyncio.run(served()) == reply + b"\n"
    endpoint.close()
    with pytest.raises(OSError):
        runtime.ask(folder, b"question")
