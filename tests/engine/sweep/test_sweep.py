"""The engine as a whole: real daemon, real worker, real models."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import psutil
import pytest
from PIL import Image

from engine import report
from engine.archive.verify import verify
from engine.measure.deltas import measure_deltas
from engine.protocol.events import (
    BitsTabled,
    ChunkFinished,
    DeltasMeasured,
    ImageUnreadable,
    Measured,
    SessionClosed,
    SessionResumed,
    SetsPrepared,
    VariantReady,
    WorkerDied,
)
from engine.protocol.messages import Status
from engine.service import client
from engine.session import attempts, store
from engine.session.arrays import Arrays
from engine.session.layout import JOURNAL, RESERVE
from engine.session.place import Folder
from engine.session.session import Session
from qood_tui.cli import about
from tests.running import CPU, follow, small_plan, sweep


def test_bits_of_the_first_and_last_layer_are_swept_saved_and_reported() -> None:
    session = sweep(small_plan(models=("vit-narrow",), bits=("FP32", "W4A4"), first_and_last=8))
    read = Session.at(session)
    header, entries, reader = read.header, read.entries, read.journal
    assert not reader.strange and header.plan.first_and_last == 8
    (table,) = [entry.event for entry in entries if isinstance(entry.event, BitsTabled)]
    ends = {row.bits for row in table.rows if row.tensor.startswith(("patch_embed.", "head."))}
    inner = {row.bits for row in table.rows if row.tensor.startswith("blocks.")}
    assert ends == {8} and inner == {4}
    assert verify(Folder(session)).is_whole
    said = report.render(report.document(Session.at(session)), "md")
    assert "patch embedding and head at 8 bits" in said and "RepQ-ViT as in its official code" in said
    assert any("patch embedding and head at 8 bits" in line for line in about.lines(about.about(session)))


def arrays_of(session: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted((session / "arrays").glob("*.npy"))}


def worker_process() -> psutil.Process:
    status = client.call(Status())
    assert status is not None
    (worker,) = psutil.Process(status.process).children()
    return worker


def wait_for_chunk(session: Path) -> None:
    reader = Session.at(session).follow()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if any(isinstance(e.event, ChunkFinished) for e in reader.poll()):
            return
        time.sleep(0.01)
    pytest.fail("no chunk was finished within a minute")


def test_a_sweep_finishes_and_its_journal_says_everything(recorded: Path) -> None:
    read = Session.at(recorded)
    header, entries, reader = read.header, read.entries, read.journal
    events = [entry.event for entry in entries]
    assert isinstance(events[-1], SessionClosed) and events[-1].outcome == "finished"
    assert reader.skipped == reader.torn == 0
    prepared = next(e for e in events if isinstance(e, SetsPrepared))
    assert prepared.rows == 150 + 4 * 60 == attempts.finished_rows(entry.event for entry in entries)
    assert len({s.digest for s in (*prepared.sets, *prepared.calibrations)}) == 6
    assert {e.variant for e in events if isinstance(e, VariantReady)} == {
        v.key for v in header.plan.variants()
    }
    assert [e.rows for e in events if isinstance(e, DeltasMeasured)][-1] == prepared.rows
    assert not (recorded / RESERVE).exists()


def test_every_variant_saw_every_image_once_and_all_sets_advanced_together(recorded: Path) -> None:
    plan = Session.at(recorded).header.plan
    samples = np.load(recorded / "arrays" / "samples.npy")
    assert len(np.unique(samples[:, :2], axis=0)) == len(samples)
    half = samples[: len(samples) // 2]
    share = np.bincount(half[:, 0]) / np.bincount(samples[:, 0])
    assert np.ptp(share) < 0.03
    for name in ("nll", *plan.scores):
        values = np.load(recorded / "arrays" / f"{name}.npy")
        expected = samples[:, 0] == 0 if name == "nll" else np.ones(len(samples), bool)
        assert (np.isfinite(values) == expected[:, None]).all()


def test_numbers_in_the_journal_can_be_measured_again_from_the_arrays(recorded: Path) -> None:
    plan = Session.at(recorded).header.plan
    entries = Session.at(recorded).entries
    found = report.document(Session.at(recorded))
    last = {e.event.variant: e.event for e in entries if isinstance(e.event, Measured)}
    for row in found.variants:
        told = last[f"{row.model} {row.bits}"]
        assert row.values == told.values
        for cell, of_journal in zip(row.sets, told.cells, strict=True):
            for name in ("name", "score", "n_id", "n_ood", "problem"):
                assert getattr(cell, name) == getattr(of_journal, name)
            assert cell.values == pytest.approx(of_journal.values, abs=1e-6)
    rows = Arrays(Folder(recorded), plan).first(found.rows)
    assert measure_deltas(rows, 1000, plan.seed).by_bits == found.by_bits


def test_the_same_plan_twice_gives_the_same_bits(recorded: Path) -> None:
    again = sweep(small_plan())
    assert arrays_of(again) == arrays_of(recorded)


def test_another_seed_shows_other_images() -> None:
    plan = small_plan(models=("vit-narrow",), bits=("FP32",), seed=1)
    first, second = sweep(plan), sweep(msgspec.structs.replace(plan, seed=2))
    assert arrays_of(first)["samples.npy"] != arrays_of(second)["samples.npy"]


def test_a_killed_worker_is_replaced_and_nothing_finished_is_lost() -> None:
    plan = small_plan(chunk_images=10)
    whole = sweep(plan)
    session = store.create(plan, {}, title="killed")
    client.start(session, CPU)
    wait_for_chunk(session)
    worker_process().kill()
    events = [entry.event for entry in follow(session)]
    died = [e for e in events if isinstance(e, WorkerDied)]
    assert len(died) == 1 and died[0].will_restart and "killed" in died[0].reason
    assert isinstance(events[-1], SessionClosed) and events[-1].outcome == "finished"
    assert arrays_of(session) == arrays_of(whole)


def test_a_killed_daemon_leaves_a_session_that_can_be_resumed_to_the_same_bits() -> None:
    plan = small_plan(chunk_images=10)
    whole = sweep(plan)
    session = store.create(plan, {}, title="interrupted")
    client.start(session, CPU)
    wait_for_chunk(session)
    status = client.call(Status())
    assert status is not None
    worker = worker_process()
    os.kill(status.process, signal.SIGKILL)
    worker.wait(20)
    finished = Session.at(session).rows
    assert Session.at(session).state == "interrupted"
    assert 0 < finished < 390
    client.start(session, CPU)
    events = [entry.event for entry in follow(session)]
    assert SessionResumed(finished) in events
    assert arrays_of(session) == arrays_of(whole)


def test_a_cancelled_sweep_keeps_what_is_finished_and_reports_it() -> None:
    session = store.create(small_plan(chunk_images=10), {}, title="cancelled")
    client.start(session, CPU)
    wait_for_chunk(session)
    client.cancel(session)
    closed = follow(session)[-1].event
    assert isinstance(closed, SessionClosed) and closed.outcome == "cancelled"
    found = report.document(Session.at(session))
    assert 0 < found.rows < 390 and found.variants[0].value("top1") is not None


def test_a_folder_with_a_broken_image_is_swept_without_it(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for i in range(30):
        Image.fromarray(random.integers(0, 255, (50, 60, 3), np.uint8)).save(tmp_path / f"{i:02d}.png")
    (tmp_path / "07.png").write_bytes(b"no picture")
    folders = {"mine": str(tmp_path)}
    plan = small_plan(models=("vit-narrow",), bits=("FP32", "W4A4"), ood_sets=("noise", "mine"))
    session = sweep(plan, folders)
    entries = Session.at(session).entries
    (broken,) = [e.event for e in entries if isinstance(e.event, ImageUnreadable)]
    assert (broken.set, broken.name) == ("mine", "07.png")
    found = report.document(Session.at(session))
    assert {cell.n_ood for cell in found.variants[0].sets if cell.name == "mine"} == {29}
    assert any("07.png" in line for line in found.failures)
    assert str(tmp_path) not in (session / JOURNAL).read_text()


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    options = ["mount", "-t", "tmpfs", "-o", f"size={request.param}", "tmpfs", str(tmp_path)]
    if subprocess.run(options, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


@pytest.mark.parametrize("small_disk", ["150k"], indirect=True)
def test_too_small_a_disk_is_said_before_the_sweep(small_disk: Path) -> None:
    session = store.create(small_plan(), {}, small_disk, "full")
    client.start(session, CPU)
    closed = follow(session)[-1].event
    assert isinstance(closed, SessionClosed) and closed.outcome == "refused"
    assert "disk" in closed.reason and "needed" in closed.reason


@pytest.mark.parametrize("small_disk", ["6m"], indirect=True)
def test_a_disk_that_fills_up_is_said_in_words(small_disk: Path) -> None:
    session = store.create(small_plan(chunk_images=2), {}, small_disk, "full")
    client.start(session, CPU)
    wait_for_chunk(session)
    with contextlib.suppress(OSError), (small_disk / "filler").open("wb") as filler:
        while True:
            filler.write(bytes(4096))
            filler.flush()
    closed = follow(session)[-1].event
    assert isinstance(closed, SessionClosed) and closed.outcome == "failed"
    assert "No space left" in closed.reason or "disk is full" in closed.reason


def test_the_json_document_has_the_promised_fields(recorded: Path) -> None:
    found = json.loads(report.render(report.document(Session.at(recorded)), "json"))
    assert {"session", "seconds", "variants"} <= set(found)
    fields = {"model", "pretraining", "bits", "method", "top1", "nll", "sets"}
    assert all(fields <= set(variant) for variant in found["variants"])
    measures = {"name", "score", "n_id", "n_ood", "auroc", "ap_out", "ap_in", "fpr95_ood_positive"}
    assert all(measures <= set(cell) for variant in found["variants"] for cell in variant["sets"])
    methods = {variant["bits"]: variant["method"] for variant in found["variants"]}
    assert methods == {"FP32": "none", "W8A8": "repq", "W4A4": "repq"}
    assert all(0 <= cell["ap_out"] <= 1 for variant in found["variants"] for cell in variant["sets"])


def test_reports_say_that_it_is_a_miniature(recorded: Path) -> None:
    text = report.render(report.document(Session.at(recorded)), "md")
    assert "miniature" in text and "not ImageNet" in text
    lines = report.render(report.document(Session.at(recorded)), "csv").splitlines()
    assert len(lines) == 1 + 6 * 3 * (4 + 1)
