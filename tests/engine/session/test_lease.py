"""Leases: one machine at a time writes a session, whatever its file system knows of locks."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path

import msgspec
import pytest

from engine.errors import InputError, JournalError
from engine.plan.plan import preset
from engine.plan.resources import Resources
from engine.protocol.events import Logged, SessionClosed
from engine.service import request
from engine.session import lease, store
from engine.session.layout import JOURNAL, LEASE, RESERVE
from engine.session.lease import Lease, LeaseHeld, LeaseLost
from engine.session.place import Folder
from engine.session.session import Session
from engine.session.writer import Writer
from engine.system import runtime

Move = Callable[[str], None]
RACERS, ROUNDS = 8, 40


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Move:
    """Return a function that moves to the machine of that name, whose runtime folder is its own."""

    def move(name: str) -> None:
        monkeypatch.setenv("QOOD_RUNTIME", str(tmp_path / f"run-{name}"))

    move("a")
    return move


@pytest.fixture
def session(tmp_path: Path, machine: Move) -> Path:
    return store.create(preset("quick"), (), tmp_path, "leased")


@pytest.fixture
def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no session be locked, as on some file systems; marks of this machine still are."""
    real = fcntl.flock

    def flock(file: int, how: int) -> None:
        number = file if isinstance(file, int) else file.fileno()
        if Path(f"/proc/self/fd/{number}").readlink().name == JOURNAL:
            raise OSError(errno.ENOLCK, "No locks available")
        real(file, how)

    monkeypatch.setattr(fcntl, "flock", flock)


def aged(session: Path, seconds: float, name: str = LEASE) -> None:
    """Make it so many seconds since a lease was renewed."""
    then = time.time() - seconds
    os.utime(session / name, (then, then), follow_symlinks=False)


def files(session: Path) -> set[str]:
    return {path.name for path in session.iterdir()}


def test_a_lease_holds_a_random_owner_alone_and_leaves_nothing(session: Path) -> None:
    before = files(session)
    held = Lease(session)
    assert files(session) == before | {LEASE}
    content = msgspec.json.decode((session / LEASE).read_bytes())
    assert set(content) == {"owner"} and re.fullmatch("[0-9a-f]{32}", content["owner"])
    assert (session / LEASE).stat().st_nlink == 1
    held.renew()
    held.release()
    assert files(session) == before
    assert list((runtime.usable_folder() / "leases").iterdir()) == []
    assert Lease(session).owner != held.owner


def test_a_session_that_this_machine_writes_is_not_written_twice(session: Path, without_locks: None) -> None:
    writer = Writer(session)
    assert Folder(session).is_being_written() and not Folder(session).is_locked()
    aged(session, 1e6)  # it lives, however old its lease is
    for take_over in (False, True):
        with pytest.raises(BlockingIOError):
            Writer(session, take_over=take_over)
    assert Folder(session).is_being_written()
    writer.close("finished")
    assert not Folder(session).is_being_written()


def test_a_fresh_lease_of_another_machine_is_refused_even_with_confirmation(
    session: Path, machine: Move, without_locks: None
) -> None:
    writer = Writer(session)
    machine("b")
    assert Folder(session).is_being_written()
    for seconds, take_over in ((0, False), (39, False), (39, True)):
        aged(session, seconds)
        with pytest.raises(LeaseHeld, match=r"on another machine, last \d+ s ago") as caught:
            Writer(session, take_over=take_over)
        assert caught.value.stale is None
    writer.append(Logged("info", "still here"))
    writer.close("finished")
    Writer(session).abandon()


def test_a_stale_lease_is_taken_over_once_that_is_confirmed_and_its_owner_writes_no_more(
    session: Path, machine: Move, without_locks: None
) -> None:
    first = Writer(session)
    first.append(Logged("info", "one"))
    aged(session, 3 * 3600)
    machine("b")
    assert not Folder(session).is_being_written()
    with pytest.raises(LeaseHeld, match=r"last 3 h ago; .* --take-over") as caught:
        Writer(session)
    assert caught.value.stale == pytest.approx(3 * 3600, abs=5)
    second = Writer(session, take_over=True)
    assert files(session) == {JOURNAL, RESERVE, LEASE}
    second.append(Logged("info", "two"))

    machine("a")
    bytes_before, lease_before = (session / JOURNAL).read_bytes(), lease.look(session / LEASE)
    for attempt in (
        first.renew,
        lambda: first.append(Logged("info", "late")),
        lambda: first.close("finished"),
    ):
        with pytest.raises(LeaseLost, match="taken it over"):
            attempt()
    first.abandon()
    assert (session / JOURNAL).read_bytes() == bytes_before
    assert lease.look(session / LEASE) == lease_before and (session / RESERVE).exists()

    machine("b")
    second.close("finished")
    read = Session.at(session)
    entries, reader = read.entries, read.journal
    assert [e.event.text for e in entries if isinstance(e.event, Logged)] == ["one", "two"]
    assert reader.damage == [] and files(session) == {JOURNAL}


def test_a_lease_that_was_removed_is_lost(session: Path) -> None:
    writer = Writer(session)
    (session / LEASE).unlink()
    with pytest.raises(LeaseLost, match="removed"):
        writer.append(Logged("info", "one"))
    writer.abandon()
    assert Session.at(session).entries == []


def test_a_renewed_lease_is_fresh_again(session: Path, machine: Move) -> None:
    held = Lease(session)
    aged(session, 100)
    held.renew()
    machine("b")
    with pytest.raises(LeaseHeld, match="is being written"):
        lease.check_free(session, take_over=True)


def test_what_is_dated_ahead_is_fresh_and_its_words_say_what_helps(session: Path, machine: Move) -> None:
    Lease(session)
    machine("b")
    aged(session, -30)
    with pytest.raises(LeaseHeld, match="is being written"):
        Lease(session, take_over=True)
    aged(session, -86400 * 5)
    with pytest.raises(LeaseHeld, match=r"5 days from now; .* remove"):
        Lease(session, take_over=True)


@pytest.mark.parametrize("wrong", [-3600, 3600])
def test_age_is_told_by_the_clock_of_the_disk(
    session: Path, machine: Move, monkeypatch: pytest.MonkeyPatch, wrong: float
) -> None:
    Lease(session)
    machine("b")
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + int(wrong * 1e9))
    before = files(session)
    with pytest.raises(LeaseHeld, match="is being written"):
        lease.check_free(session)
    with pytest.raises(LeaseHeld, match="is being written"):
        Lease(session, take_over=True)
    aged(session, 41)
    Lease(session, take_over=True)
    assert files(session) == before


def test_after_a_crash_on_this_machine_nothing_is_asked(session: Path, without_locks: None) -> None:
    code = (
        "import sys, time; from pathlib import Path; from engine.session.lease import Lease; "
        "held = Lease(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(session)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        assert Folder(session).is_being_written()
        process.kill()
    assert not Folder(session).is_being_written()
    Writer(session).close("finished")
    assert list((runtime.usable_folder() / "leases").iterdir()) == []


def garbage(path: Path) -> None:
    path.write_bytes(b'{"owner": "../../engine.lock"}')


def link(path: Path) -> None:
    target = path.parent / "target"
    target.write_bytes(b'{"owner":"' + b"0" * 32 + b'"}')
    path.symlink_to(target)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def gigabyte(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 30)


@pytest.mark.parametrize("make", [garbage, link, pipe, gigabyte])
def test_a_damaged_lease_counts_by_its_age_alone(session: Path, make: Callable[[Path], None]) -> None:
    make(session / LEASE)
    assert Folder(session).is_being_written()
    seen = lease.look(session / LEASE)
    assert seen is not None and seen.owner == ""
    with pytest.raises(LeaseHeld, match="is being written"):
        Lease(session, take_over=True)
    aged(session, 100)
    assert not Folder(session).is_being_written()
    with pytest.raises(LeaseHeld, match="--take-over"):
        Lease(session)
    Lease(session, take_over=True).release()
    assert not os.path.lexists(session / LEASE)
    assert not [name for name in files(session) if name.startswith(LEASE + "-")]
    if make is link:
        assert len((session / "target").read_bytes()) == 44


def test_a_claim_in_use_is_respected_and_what_removes_a_dead_one_is_named(
    session: Path, machine: Move
) -> None:
    owner = Lease(session).owner
    aged(session, 100)
    claim = session / f"lease-after-{owner}"
    claim.write_bytes(b'{"owner":"%s"}\n' % (b"1" * 32))
    machine("b")
    with pytest.raises(LeaseHeld, match="just taken"):
        Lease(session, take_over=True)
    aged(session, 100, claim.name)
    with pytest.raises(LeaseHeld, match=f"an engine died while taking over the session; remove {claim.name}"):
        Lease(session, take_over=True)
    assert lease.look(session / LEASE).owner == owner  # type: ignore[union-attr]
    claim.unlink()
    Lease(session, take_over=True).check()
    assert files(session) == {JOURNAL, LEASE}


def test_one_who_comes_back_in_the_last_moment_keeps_the_session(
    session: Path, machine: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Lease(session)
    aged(session, 100)
    machine("b")
    real = Lease._create

    def slow(self: Lease, path: Path) -> None:
        real(self, path)
        machine("a")
        first.renew()
        machine("b")

    monkeypatch.setattr(Lease, "_create", slow)
    with pytest.raises(LeaseHeld, match="just taken"):
        Lease(session, take_over=True)
    first.check()
    assert files(session) == {JOURNAL, LEASE}


def test_an_answer_that_the_network_loses_is_looked_up(
    session: Path, machine: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS may do as asked and, asked again for want of an answer, say that the file is gone."""
    real = Path.replace

    def replace_twice(path: Path, target: Path) -> None:
        real(path, target)
        if target.name == LEASE:
            real(path, target)

    monkeypatch.setattr(Path, "replace", replace_twice)
    Lease(session)
    aged(session, 100)
    machine("b")
    Lease(session, take_over=True).check()
    assert files(session) == {JOURNAL, LEASE}


def _race(session: Path, runtime: Path, start: Barrier, done: Barrier, won: list[int], number: int) -> None:
    os.environ["QOOD_RUNTIME"] = str(runtime / str(number))
    chance, real = random.Random(number), lease.look

    def slowly(path: Path) -> lease.Seen | None:
        found = real(path)
        if chance.random() < 0.5:  # what was found is old by the time it is used
            time.sleep(chance.random() * 5e-3)
        return found

    lease.look = slowly
    for turn in range(ROUNDS):
        held = None
        start.wait(60)
        try:
            held = Lease(session, take_over=True)
            won[turn * RACERS + number] = 1
        except (LeaseHeld, BlockingIOError):  # who had the lease and lives does not race for it
            pass
        done.wait(60)
        if held is None:
            continue
        held.check()
        assert {path.name for path in session.iterdir()} == {JOURNAL, LEASE}
        if turn % 3 == 1:  # the next round is about no lease at all, the others about a stale one
            held.release()
        else:
            aged(session, 100)


def test_of_many_who_take_a_lease_at_once_one_gets_it(session: Path, tmp_path: Path) -> None:
    several = multiprocessing.get_context("fork")
    won = several.Array("i", ROUNDS * RACERS)
    given = (session, tmp_path / "r", several.Barrier(RACERS), several.Barrier(RACERS), won)
    racers = [several.Process(target=_race, args=(*given, number)) for number in range(RACERS)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(60)
    assert [sum(won[turn * RACERS : (turn + 1) * RACERS]) for turn in range(ROUNDS)] == [1] * ROUNDS
    assert [racer.exitcode for racer in racers] == [0] * RACERS


def test_asking_who_writes_changes_nothing(session: Path, machine: Move) -> None:
    Lease(session)
    machine("b")
    (session / JOURNAL).touch()
    before = {path.name: path.stat().st_mtime_ns for path in (session, *session.iterdir())}
    assert Folder(session).is_being_written()
    assert {path.name: path.stat().st_mtime_ns for path in (session, *session.iterdir())} == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mount = tmp_path / "disk"
    mount.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(mount)]
    if subprocess.run(options, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


def test_on_a_full_disk_a_lease_is_renewed_and_released(small_disk: Path, machine: Move) -> None:
    session = store.create(preset("quick"), (), small_disk, "full")
    writer = Writer(session)
    with pytest.raises(OSError) as caught:
        while True:
            writer.append(Logged("info", "x" * 1000))
    assert caught.value.errno == errno.ENOSPC
    count = len(Session.at(session).entries)
    aged(session, 100)
    writer.renew()
    assert Folder(session).is_being_written()
    writer.close("failed", "the disk is full")
    read = Session.at(session)
    entries, reader = read.entries, read.journal
    assert isinstance(entries[-1].event, SessionClosed) and len(entries) == count + 1
    assert reader.damage == [] and reader.torn == 0
    assert files(session) == {JOURNAL}


def test_a_renewal_that_fails_is_no_lost_lease(session: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Writer(session)

    def fail(*_given: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "utime", fail)
        with pytest.raises(OSError, match="Input/output"):
            writer.renew()
    writer.append(Logged("info", "one"))
    writer.renew()
    writer.close("finished")


def test_no_space_for_a_lease_leaves_nothing(small_disk: Path, machine: Move) -> None:
    session = store.create(preset("quick"), (), small_disk, "full")
    before = files(session)
    with (small_disk / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space"):
        while True:
            filler.write(bytes(4096))
    with pytest.raises(OSError, match="No space"):
        Writer(session)
    assert files(session) == before and not Folder(session).is_locked()


def test_a_read_only_session_is_read_and_refused_in_words(small_disk: Path, machine: Move) -> None:
    session = store.create(preset("quick"), (), small_disk, "kept")
    Lease(session)
    machine("b")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert Folder(session).is_being_written()
    with pytest.raises(LeaseHeld):
        lease.check_free(session)
    with pytest.raises(JournalError, match="read-only; to resume it, copy it"):
        Writer(session)


def test_going_on_names_what_confirms_a_take_over(session: Path, machine: Move, without_locks: None) -> None:
    held = Lease(session)
    resources = Resources(devices="cpu")
    with pytest.raises(InputError, match="it is running"):
        request.prepare(resume=str(session), resources=resources)
    machine("b")
    with pytest.raises(InputError, match="is being written on another machine"):
        request.prepare(resume=str(session), resources=resources, take_over=True)
    aged(session, 600)
    with pytest.raises(InputError, match=r"last 10 min ago; .*--take-over"):
        request.prepare(resume=str(session), resources=resources)
    asked = request.prepare(resume=str(session), resources=resources, take_over=True)
    assert asked.take_over and asked.session == session
    machine("a")
    held.check()  # asking is not taking
    with pytest.raises(InputError, match="--resume SESSION"):
        request.prepare(preset_name="demo", resources=resources, take_over=True)


def test_a_paused_process_is_not_dead(session: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from engine.session.lease import Lease; "
        "held = Lease(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(session)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        process.send_signal(signal.SIGSTOP)
        aged(session, 1e5)
        with pytest.raises(BlockingIOError):
            Lease(session, take_over=True)
        process.kill()
