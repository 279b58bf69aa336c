"""Logits and features that a sweep keeps."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from engine import catalog
from engine.archive.verify import verify
from engine.errors import EngineError, InputError, JournalError
from engine.images.decoders import Decoders
from engine.images.sets import open_sets
from engine.models.loaded import load
from engine.plan.plan import Plan
from engine.plan.validation import validated
from engine.protocol.events import ChunkFinished, OutputsKept
from engine.session import outputs
from engine.session.arrays import Arrays
from engine.session.layout import OUTPUTS
from engine.session.outputs import FIT, KeptOutputs, OutputWriter, path_of
from engine.session.place import Folder
from engine.session.session import Session
from engine.sweep import preflight
from engine.sweep.features import sizes_of
from engine.sweep.loaded_models import LoadedModels
from tests.engine.sweep.test_resume import cut_after, resumed
from tests.running import CPU, small_plan, sweep

PLAN = small_plan(
    models=("vit-narrow",), bits=("FP32", "W4A4"), scores=("msp", "energy"), fit_images=60, keep_outputs=True
)


@pytest.fixture(scope="module")
def kept() -> Path:
    return sweep(PLAN)


def files_of(session: Path) -> dict[str, bytes]:
    parts = (session / "arrays", session / OUTPUTS)
    return {f"{part.name}/{file.name}": file.read_bytes() for part in parts for file in part.iterdir()}


def test_every_variant_keeps_what_its_scores_are_computed_from(kept: Path) -> None:
    found, arrays = KeptOutputs(Folder(kept), PLAN), Arrays(Folder(kept), PLAN)
    assert found.columns == (0, 1) and len(found) == arrays.count == 390
    for column in found.columns:
        logits, features = found.part(column, 0, 390)
        assert (logits.shape, features.shape) == ((390, 50), (390, 64))
        largest = logits.astype(np.float64).max(1)
        energy = -(largest + np.log(np.exp(logits - largest[:, None]).sum(1)))
        np.testing.assert_allclose(arrays.array("energy")[:, column], energy, rtol=1e-5)
        fit = found.fit(column)
        assert (fit["weight"].shape, fit["fit_labels"].shape) == ((50, 64), (60,))
        # The head's input and the head give the logits: of evaluated images, and of those of the fit set.
        np.testing.assert_allclose(features @ fit["weight"].T + fit["bias"], logits, atol=1e-4)
        given = fit["fit_features"] @ fit["weight"].T + fit["bias"]
        np.testing.assert_allclose(given, fit["fit_logits"], atol=1e-4)
    assert not np.array_equal(found.part(0, 0, 390)[1], found.part(1, 0, 390)[1])


def test_keeping_outputs_moves_no_number(kept: Path) -> None:
    plain = sweep(msgspec.structs.replace(PLAN, keep_outputs=False))
    assert not (plain / OUTPUTS).exists()
    for file in (plain / "arrays").iterdir():
        assert file.read_bytes() == (kept / "arrays" / file.name).read_bytes(), file.name


def test_the_size_that_is_told_is_the_size_of_the_files(kept: Path) -> None:
    events = [entry.event for entry in Session.at(kept).entries]
    told = next(event for event in events if isinstance(event, OutputsKept))
    sizes = [file.stat().st_size for file in (kept / OUTPUTS).iterdir()]
    assert told.bytes == sum(sizes) == 2 * outputs.bytes_of(50, 64, 390, 60)
    assert set(told.fits) == {"vit-narrow FP32", "vit-narrow W4A4"}


def test_sizes_in_the_catalog_are_those_of_the_models() -> None:
    for name in catalog.DEMO_MODELS:
        assert sizes_of(load(name, torch.device("cpu"), CPU, print).model) == catalog.outputs_of(name)
    import timm

    for name in (*catalog.STUDY_MODELS, "deit_tiny_distilled_patch16_224"):
        built = timm.create_model(name.partition(".")[0], pretrained=False)
        assert sizes_of(built) == catalog.outputs_of(name), name


def test_chunks_have_a_digest_of_all_outputs_and_damage_is_named(kept: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(kept, tmp_path / "copy"))
    events = [entry.event for entry in Session.at(copy).entries]
    chunks = [event for event in events if isinstance(event, ChunkFinished)]
    assert all(OUTPUTS in chunk.digests for chunk in chunks)
    assert KeptOutputs(Folder(copy), PLAN).damage(events) == []
    variant = PLAN.variants()[1]
    for name, row in (("features", 120), ("fit_labels", 3)):
        array = np.load(path_of(copy, variant, name), mmap_mode="r+")
        array[row] += 1
        array.flush()
    found = KeptOutputs(Folder(copy), PLAN).damage(events)
    assert len(found) == 2 and "rows 100 to 149" in found[0] and "vit-narrow W4A4" in found[1]
    assert any("rows 100 to 149" in line for line in verify(Folder(copy), quick=True).damage)


def test_a_session_without_its_outputs_is_whole(kept: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(kept, tmp_path / "copy"))
    assert any("kept logits" in line for line in verify(Folder(copy), quick=True).seen)
    shutil.rmtree(copy / OUTPUTS)
    found = verify(Folder(copy), quick=True)
    assert not found.damage and any("logits and features are not here" in line for line in found.notes)


def test_a_sweep_that_was_killed_goes_on_to_the_same_outputs(kept: Path, tmp_path: Path) -> None:
    cut = cut_after(kept, tmp_path / "cut", b"chunk.finished", 2)
    for column in range(2):  # what was not committed is gone, as after a crash of the machine
        for name in outputs.ROWS:
            array = np.load(path_of(cut, PLAN.variants()[column], name), mmap_mode="r+")
            array[150:] = 0
            array.flush()
    assert resumed(cut).outcome == "finished"
    assert files_of(cut) == files_of(kept)
    assert KeptOutputs(Folder(cut), PLAN).damage([e.event for e in Session.at(cut).entries]) == []


@pytest.mark.parametrize("name", ["logits", "fit_features"])
def test_outputs_that_were_changed_meanwhile_are_not_gone_on_with(
    kept: Path, tmp_path: Path, name: str
) -> None:
    cut = cut_after(kept, tmp_path / "cut", b"chunk.finished", 2)
    array = np.load(path_of(cut, PLAN.variants()[0], name), mmap_mode="r+")
    array[7] += 1
    array.flush()
    closed = resumed(cut)
    assert closed.outcome == "failed" and "start a new session" in closed.reason


def test_a_variant_that_could_not_be_calibrated_keeps_nothing(tmp_path: Path) -> None:
    plan = small_plan(models=("vit-narrow",), bits=("FP32", "W4A4"), keep_outputs=True)
    writer = OutputWriter(tmp_path, plan, {"vit-narrow": (3, 2)})
    writer.make(4)
    one = np.ones((4, 3), np.float32), np.ones((4, 2), np.float32)
    digest = writer.write(0, 0, *one)
    fit = {name: np.ones((3,) * dimensions) for name, (_, dimensions) in FIT.items()}
    fit |= {"fit_features": np.ones((3, 2)), "weight": np.ones((3, 2))}
    writer.keep_fit(0, fit)
    said = writer.kept([1])
    found = KeptOutputs(Folder(tmp_path), plan)
    assert found.columns == (0,) and list(said.fits) == ["vit-narrow FP32"]
    assert found.digest(0, 4) == outputs.joined({0: digest})
    # Another device that says something else of the fit set would fit other scores.
    with pytest.raises(EngineError, match="fit_labels"):
        writer.keep_fit(0, {**fit, "fit_labels": np.zeros(3)})
    writer.keep_fit(0, fit)
    assert writer.kept([1]) == said


def test_outputs_that_the_disk_has_no_room_for_are_said_before_the_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = torch.device("cpu")
    decoders = Decoders(1)
    try:
        sets = open_sets(PLAN, CPU, decoders)
    finally:
        decoders.close()
    models = LoadedModels(PLAN, CPU, device, lambda _: None)
    wanted = 2 * outputs.bytes_of(50, 64, 390, 60)
    usage = shutil.disk_usage(tmp_path)
    states_and_arrays = 2_000_000

    def check(free: int, plan: Plan) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=free))
        preflight.check(plan, CPU, tmp_path, sets, models, device)

    with pytest.raises(InputError, match="do not keep outputs"):
        check(wanted - 1, PLAN)
    check(wanted + states_and_arrays, PLAN)
    with pytest.raises(InputError, match=r"a smaller share$"):
        check(1, msgspec.structs.replace(PLAN, keep_outputs=False))
    # A session that goes on has the space of its outputs already.
    (tmp_path / OUTPUTS).mkdir()
    with (tmp_path / OUTPUTS / "some.npy").open("wb") as file:
        file.truncate(wanted)
    check(states_and_arrays, PLAN)


def test_hostile_outputs_are_refused(kept: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(kept, tmp_path / "copy"))
    path = path_of(copy, PLAN.variants()[0], "logits")
    whole = path.read_bytes()
    for bad in (whole[:-1], whole.replace(b"(390, 50)", b"(2 ** 60,)"), b"\x93NUMPY", b""):
        path.write_bytes(bad)
        with pytest.raises(JournalError):
            KeptOutputs(Folder(copy), PLAN)
    path.unlink()
    path.symlink_to("/etc/passwd")
    with pytest.raises(JournalError, match="link"):
        KeptOutputs(Folder(copy), PLAN)


def test_a_score_cannot_take_the_name_of_the_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {**catalog.SCORES, "outputs": catalog.SCORES["msp"]}
    monkeypatch.setattr(catalog, "SCORES", known)
    with pytest.raises(InputError, match="every session has an array"):
        validated(small_plan(scores=("msp", "outputs")))
