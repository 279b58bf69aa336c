"""The engine can be reached whatever its folder is like, and whatever becomes of it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from engine.doctor.places import engine as judged
from engine.protocol.messages import Reply, Status
from engine.service import client
from engine.session import lease, lease_marks, store
from engine.system import runtime
from engine.system.runtime import Door, Doors
from tests.running import CPU, small_plan

LONG = "a" * 60 + "/" + "ü" * 40


@pytest.fixture
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder of its own; whatever engine a test leaves there ends."""
    monkeypatch.setenv("QOOD_LOGS", str(tmp_path / "logs"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("QOOD_RUNTIME", str(tmp_path / "run"))
    yield tmp_path
    client.stop()


def stopped_by_command() -> str:
    command = [sys.executable, "-m", "qood_tui", "stop"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def answers(folder: Path) -> int:
    """Return the process that answers in a folder, 0 if none does."""
    with contextlib.suppress(OSError):
        return msgspec.json.decode(runtime.ask(folder, msgspec.json.encode(Status())), type=Reply).process
    return 0


def eventually(holds: Callable[[], bool], seconds: float = 5.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.05)
    return False


def test_a_folder_whose_path_is_too_long_for_a_socket(
    surroundings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = surroundings / LONG
    monkeypatch.setenv("QOOD_RUNTIME", str(folder))
    started = time.monotonic()
    assert client.ensure().ok and time.monotonic() - started < 10
    assert stat.S_ISSOCK((folder / "engine.sock").stat().st_mode)
    assert judged().level == "good"
    assert stopped_by_command() == "The engine stops.\n"
    assert eventually(lambda: client.call(Status()) is None)


def test_a_long_tmpdir_and_no_other_folder(surroundings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = surroundings / LONG
    place.mkdir(parents=True)
    monkeypatch.delenv("QOOD_RUNTIME")
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("TMPDIR", str(place))
    assert client.ensure().ok
    assert stat.S_ISSOCK((place / f"qood-tui-{os.getuid()}" / "engine.sock").stat().st_mode)
    assert stopped_by_command() == "The engine stops.\n"


def test_a_relative_folder_is_the_same_for_the_engine(
    surroundings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(surroundings)
    monkeypatch.setenv("QOOD_RUNTIME", "here")
    assert client.ensure().ok and (surroundings / "here" / "engine.sock").exists()


def test_without_the_systems_folder_it_is_found_too(
    surroundings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("QOOD_RUNTIME")
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("TMPDIR", str(surroundings))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(surroundings / "xdg"))
    process = client.ensure().process
    assert answers(surroundings / "xdg" / "qood-tui") == process
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    reply = client.call(Status())
    assert reply is not None and reply.process == process
    assert stopped_by_command() == "The engine stops.\n"


def test_a_folder_that_is_removed_comes_back_with_its_socket_and_marks(surroundings: Path) -> None:
    process = client.ensure().process
    session = store.create(small_plan(id_images=1000), ())
    client.start(session, CPU)
    seen = lease.look(session / lease.NAME)
    assert seen is not None and lease_marks.is_held(seen.owner)
    shutil.rmtree(surroundings / "run")
    assert eventually(lambda: (reply := client.call(Status())) is not None and reply.process == process)
    assert eventually(lambda: lease_marks.is_held(seen.owner) is True)
    shutil.rmtree(surroundings / "run")
    assert stopped_by_command() == "The engine stops.\n"


def test_a_socket_that_somebody_removes_comes_back(surroundings: Path) -> None:
    process = client.ensure().process
    for name in ("engine.sock", "engine.lock"):
        (surroundings / "run" / name).unlink()
        assert eventually(lambda: (surroundings / "run" / "engine.sock").exists())
        assert eventually(lambda: (reply := client.call(Status())) is not None and reply.process == process)


@pytest.mark.parametrize("is_at_work", [False, True])
def test_of_two_engines_the_one_with_work_stays(surroundings: Path, is_at_work: bool) -> None:
    first = client.ensure().process
    if is_at_work:
        client.start(store.create(small_plan(id_images=1000), ()), CPU)
    os.kill(first, signal.SIGSTOP)  # so slow that another one starts before it sees anything
    try:
        shutil.rmtree(surroundings / "run")
        second = client.ensure().process
        assert second != first
    finally:
        os.kill(first, signal.SIGCONT)
    stays, goes = (first, second) if is_at_work else (second, first)
    assert eventually(lambda: not is_alive(goes), 10)
    assert eventually(lambda: answers(surroundings / "run") == stays, 10)
    assert client.stop()
    assert eventually(lambda: not is_alive(stays), 20)


def is_alive(process: int) -> bool:
    return psutil.pid_exists(process) and psutil.Process(process).status() != psutil.STATUS_ZOMBIE


WITHOUT = {
    "locks": """
import fcntl, os
real = fcntl.flock
def flock(file, how):
    number = file if isinstance(file, int) else file.fileno()
    if os.readlink(f"/proc/self/fd/{number}").startswith(os.environ["WITHOUT"]):
        raise OSError(37, "No locks available")
    real(file, how)
fcntl.flock = flock
""",
    "sockets": """
import os, socket
real = socket.socket.bind
def bind(self, address):
    if isinstance(address, str) and os.path.realpath(address).startswith(os.environ["WITHOUT"]):
        raise PermissionError(1, "Operation not permitted")
    real(self, address)
socket.socket.bind = bind
""",
}


@pytest.mark.parametrize("lacking", WITHOUT)
def test_a_file_system_without_locks_or_sockets(
    surroundings: Path, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    (surroundings / "site").mkdir()
    (surroundings / "site" / "sitecustomize.py").write_text(WITHOUT[lacking])
    path = f"{surroundings / 'site'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("WITHOUT", str(surroundings / "run"))
    script = (
        "from engine.service import client; from engine.session import journal;"
        "from engine.doctor.places import engine;"
        "from tests.running import small_plan, sweep; print(client.ensure().ok, engine().level);"
        "session = sweep(small_plan(models=('vit-narrow',), bits=('FP32',)));"
        "print(journal.read(session)[1][-1].event.outcome)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert ran.stdout == "True warning\nfinished\n", ran.stderr
    stand_in = runtime.candidates(surroundings / "run")[1]
    assert stand_in.is_dir()
    assert stopped_by_command() == "The engine stops.\n"
    assert eventually(lambda: not stand_in.exists(), 20)
    assert not [path for path in (surroundings / "run").iterdir() if path.name != "leases"]


def test_a_folder_of_somebody_else_is_not_taken(surroundings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = surroundings / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    with pytest.raises(PermissionError, match="shared"):
        runtime.make_private(shared)
    assert stat.S_IMODE(shared.stat().st_mode) == 0o1777
    monkeypatch.setattr(os, "getuid", lambda: -1)
    with pytest.raises(PermissionError, match="somebody else"):
        runtime.make_private(surroundings)


def test_a_folder_that_others_may_open_is_closed_to_them(surroundings: Path) -> None:
    open_to_all = surroundings / "open"
    open_to_all.mkdir(mode=0o777)
    door = Door(open_to_all)
    assert stat.S_IMODE(open_to_all.stat().st_mode) == 0o700
    assert stat.S_IMODE((open_to_all / "engine.sock").stat().st_mode) == 0o600
    door.close()


def test_where_there_are_no_paths_of_descriptors_a_link_makes_the_path_short(
    surroundings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "_DESCRIPTORS", surroundings / "nothing")
    before = set(Path("/tmp").glob("qood-*"))
    door = Door(surroundings / LONG)
    with runtime._short(surroundings / LONG / "engine.sock") as path:
        assert len(os.fsencode(path)) <= runtime.LONGEST_SOCKET_PATH
        assert Path(path).samefile(surroundings / LONG / "engine.sock")
    assert door.is_there() and set(Path("/tmp").glob("qood-*")) == before
    door.close()


def test_a_second_engine_is_kept_out_and_a_dead_ones_socket_is_replaced(surroundings: Path) -> None:
    first = Doors()
    with pytest.raises(BlockingIOError):
        Doors()
    (door,) = first.all()
    fcntl.flock(door._lock, fcntl.LOCK_UN)  # as the system does with what has died
    second = Doors()
    assert second.all()[0].is_there() and not door.is_there()
    second.close()
    assert not (surroundings / "run" / "engine.sock").exists()


def test_where_nothing_can_be_used_the_reason_is_said(
    surroundings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(file: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    found = judged()
    assert found.level == "bad" and "No locks available" in found.found and "QOOD_RUNTIME" in found.do
    with pytest.raises(OSError, match="No locks"):
        Doors()
    with pytest.raises(OSError, match="No locks"):
        runtime.usable_folder()
    assert not list((surroundings / "run").iterdir())
    assert not any(place.exists() for place in runtime.candidates(surroundings / "run")[1:])
