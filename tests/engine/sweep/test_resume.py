"""Going on with a session: only where everything is what it was."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine import report
from engine.errors import EngineError
from engine.plan.resources import Resources, own_environment
from engine.protocol.events import DeltasMeasured, SessionClosed
from engine.protocol.messages import Start, Status, Warm
from engine.service import client
from engine.session import store
from engine.session.arrays import Arrays
from engine.session.layout import JOURNAL
from engine.session.place import Folder
from engine.session.session import Session
from engine.session.writer import Writer
from tests.journals import reseal
from tests.running import CPU, follow, small_plan, sweep


def cut_after(session: Path, target: Path, kind: bytes, number: int) -> Path:
    """Copy a session as it was after its `number`-th event of a kind."""
    shutil.copytree(session, target, ignore=shutil.ignore_patterns("lease*"))
    lines = (target / JOURNAL).read_bytes().splitlines(keepends=True)
    position = [i for i, line in enumerate(lines) if kind in line][number]
    (target / JOURNAL).write_bytes(b"".join(lines[: position + 1]))
    return target


def resumed(session: Path, folders: dict[str, str] | None = None) -> SessionClosed:
    before = Session.at(session).entries[-1].seq
    client.start(session, Resources(devices="cpu", ood=folders or {}))
    last = [e for entries in client.watch(session, before) for e in entries][-1].event
    assert isinstance(last, SessionClosed)
    return last


def noisy_folder(folder: Path, count: int, seed: int) -> Path:
    random = np.random.default_rng(seed)
    folder.mkdir()
    for i in range(count):
        Image.fromarray(random.integers(0, 255, (40, 40, 3), np.uint8)).save(folder / f"{i:02d}.png")
    return folder


def test_another_folder_under_the_same_name_is_refused(tmp_path: Path) -> None:
    first, second = noisy_folder(tmp_path / "a", 40, 0), noisy_folder(tmp_path / "b", 40, 1)
    plan = small_plan(models=("vit-narrow",), bits=("FP32",), ood_sets=("noise", "mine"))
    whole = sweep(plan, {"mine": str(first)})
    cut = cut_after(whole, tmp_path / "cut", b"chunk.finished", 1)
    closed = resumed(cut, {"mine": str(second)})
    assert closed.outcome == "failed" and "mine" in closed.reason
    again = cut_after(whole, tmp_path / "again", b"chunk.finished", 1)
    assert resumed(again, {"mine": str(first)}).outcome == "finished"


@pytest.mark.parametrize("damage", ["lost", "changed"])
def test_finished_rows_that_are_lost_or_changed_are_not_joined(
    recorded: Path, tmp_path: Path, damage: str
) -> None:
    cut = cut_after(recorded, tmp_path / "cut", b"chunk.finished", 2)
    if damage == "lost":
        shutil.rmtree(cut / "arrays")
    else:
        path = cut / "arrays" / "msp.npy"
        data = bytearray(path.read_bytes())
        data[200] ^= 1
        path.write_bytes(data)
    closed = resumed(cut)
    assert closed.outcome == "failed" and "row" in closed.reason


def test_interrupted_before_the_final_measures_they_are_made(recorded: Path, tmp_path: Path) -> None:
    cut = cut_after(recorded, tmp_path / "cut", b"chunk.finished", -1)
    assert resumed(cut).outcome == "finished"
    entries = Session.at(cut).entries
    last = [e.event for e in entries if isinstance(e.event, DeltasMeasured)][-1]
    assert (last.rows, last.resamples) == (390, 1000)
    found, whole = report.document(Session.at(cut)), report.document(Session.at(recorded))
    assert found.by_bits == whole.by_bits and found.failures == ()


def test_a_cancelled_session_can_be_resumed_and_then_has_no_failures(recorded: Path, tmp_path: Path) -> None:
    cut = cut_after(recorded, tmp_path / "cut", b"chunk.finished", 1)
    Writer(cut).close("cancelled", "stopped by the user")
    assert report.document(Session.at(cut)).failures
    assert resumed(cut).outcome == "finished"
    assert report.document(Session.at(cut)).failures == ()


def test_a_journal_that_cannot_be_written_is_said_at_once(recorded: Path, tmp_path: Path) -> None:
    held = cut_after(recorded, tmp_path / "held", b"chunk.finished", 1)
    writer = Writer(held)
    with pytest.raises(EngineError, match="already being written"):
        client.start(held, CPU)
    writer.abandon()
    odd = cut_after(recorded, tmp_path / "odd", b"chunk.finished", 1)
    created = Session.at(odd).header.created.encode()
    reseal(odd, lambda text: text.replace(created, b"yesterday"))
    with pytest.raises(EngineError, match="yesterday"):
        client.start(odd, CPU)


def test_somebody_asking_who_writes_does_not_keep_a_writer_out(recorded: Path, tmp_path: Path) -> None:
    import threading

    session = cut_after(recorded, tmp_path / "busy", b"chunk.finished", 1)
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            Folder(session).is_being_written()

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        for _ in range(30):
            Writer(session).abandon()
    finally:
        stop.set()
        asker.join()


def test_a_relative_path_is_the_same_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan = small_plan(models=("vit-narrow",), bits=("FP32",))
    session = store.create(plan, {}, Path("here"))
    assert not session.is_absolute()
    client.start(session, CPU)
    last = follow(session)[-1].event
    assert isinstance(last, SessionClosed) and last.outcome == "finished"


def test_a_queued_session_is_cancelled_at_once() -> None:
    running = store.create(small_plan(chunk_images=10), {}, title="running")
    queued = store.create(small_plan(), {}, title="queued")
    client.start(running, CPU)
    client.start(queued, CPU)
    client.cancel(queued)
    last = Session.at(queued).entries[-1].event
    assert isinstance(last, SessionClosed) and last.outcome == "cancelled"
    last = follow(running)[-1].event
    assert isinstance(last, SessionClosed) and last.outcome == "finished"


def test_a_session_is_not_queued_twice() -> None:
    session = store.create(small_plan(models=("vit-narrow",)), {}, title="twice")
    client.start(session, CPU)
    again = client.call(Start(str(session), CPU))
    assert again is not None and not again.ok
    assert sum(isinstance(e.event, SessionClosed) for e in follow(session)) == 1


def test_two_who_warm_the_engine_get_one_worker() -> None:
    from concurrent.futures import ThreadPoolExecutor

    import psutil

    client.ensure()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(client.call, [Warm(own_environment())] * 4))
    status = client.call(Status())
    assert status is not None
    children = psutil.Process(status.process).children()
    assert sum("engine.sweep.worker" in " ".join(child.cmdline()) for child in children) == 1


def test_a_folder_with_one_image_leaves_the_other_sets_their_deltas(tmp_path: Path) -> None:
    folder = noisy_folder(tmp_path / "one", 1, 0)
    plan = small_plan(models=("vit-narrow",), bits=("FP32", "W4A4"), ood_sets=("noise", "mine"))
    found = report.document(Session.at(sweep(plan, {"mine": str(folder)})))
    assert set(found.deltas[0].main.sets) == {"noise"}
    assert any("mine" in line and "no delta" in line for line in found.failures)


def test_a_gpu_that_is_not_there_is_named() -> None:
    session = store.create(small_plan(models=("vit-narrow",)), {}, title="gpu")
    client.start(session, Resources(devices="cuda:97"))
    last = follow(session)[-1].event
    assert isinstance(last, SessionClosed) and last.outcome == "refused" and "cuda:97" in last.reason


def test_arrays_of_different_length_are_refused(copied: Path) -> None:
    plan = Session.at(copied).header.plan
    short = np.load(copied / "arrays" / "nll.npy")[:-5]
    np.save(copied / "arrays" / "nll.npy", short)
    with pytest.raises(Exception, match="different numbers of rows"):
        Arrays(Folder(copied), plan)


def test_scores_that_learn_are_fitted_again_to_the_same_bits(tmp_path: Path) -> None:
    plan = small_plan(models=("vit-narrow",), bits=("FP32", "W4A4"), scores=("msp", "vim", "knn"))
    whole = sweep(plan)
    cut = cut_after(whole, tmp_path / "cut", b"chunk.finished", 2)
    # What was not committed is gone, as after a crash of the machine.
    for name in ("vim", "knn"):
        array = np.load(cut / "arrays" / f"{name}.npy", mmap_mode="r+")
        array[150:] = 0
        array.flush()
    assert resumed(cut).outcome == "finished"
    for file in (whole / "arrays").iterdir():
        assert file.read_bytes() == (cut / "arrays" / file.name).read_bytes(), file.name


def test_a_sweep_that_was_killed_as_it_had_seen_enough_stops_there_too(tmp_path: Path) -> None:
    plan = small_plan(
        models=("vit-narrow",), bits=("FP32", "W4A4"), id_images=600, ood_images=240, stop_width=60.0
    )
    whole = sweep(plan)
    rows = Session.at(whole).rows
    cut = cut_after(whole, tmp_path / "cut", b"chunk.finished", -1)
    assert resumed(cut).outcome == "finished"
    assert Session.at(cut).rows == rows < 1560
    assert report.document(Session.at(cut)).by_bits == report.document(Session.at(whole)).by_bits
