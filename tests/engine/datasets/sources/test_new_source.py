"""A kind of source joins in one file and a line of the catalog; all else handles it as it does files."""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine import catalog
from engine.commands import data
from engine.datasets.discover import discover, id_set, ood_set
from engine.datasets.sources.base import TransientError
from engine.errors import WITH_FAILURES, InputError
from engine.images import demo
from engine.images.crops import KeptImages
from engine.images.decoders import Decoders
from engine.images.digests import NO_CONTENT
from engine.images.disk_images import DiskImages
from engine.images.image_set import Geometry
from engine.plan.resources import Checkpoint, Resources
from engine.protocol.events import ImageUnreadable, SetsPrepared
from engine.service.request import settle
from engine.session import store
from engine.session.session import Session
from tests.engine.datasets.sources import zips
from tests.real import SMALL, photographs_like, random_model
from tests.running import small_plan
from tests.sweeping import run_until


@pytest.fixture(autouse=True)
def catalog_with_zips(monkeypatch: pytest.MonkeyPatch) -> None:
    zips.registered(monkeypatch)
    monkeypatch.setattr("engine.datasets.sources.base.WAITS", ())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of images, one of which is none."""
    folder = tmp_path / "noises"
    folder.mkdir()
    for number, image in enumerate(demo.load_set("noise").images[:20]):
        Image.fromarray(image).save(folder / f"{number:02d}.png")
    (folder / "03.png").write_text("no image")
    return folder


def test_its_images_are_found_labelled_hashed_and_decoded(folder: Path, tmp_path: Path) -> None:
    archive = zips.zipped(folder)
    assert ood_set("mine", str(archive)).members == ood_set("mine", str(folder)).members
    for animal in ("cat", "dog"):
        (tmp_path / "pets" / animal).mkdir(parents=True)
        shutil.copy(folder / "01.png", tmp_path / "pets" / animal / "1.png")
    of_folder, of_archive = (
        id_set("pets", str(path), None) for path in (tmp_path / "pets", zips.zipped(tmp_path / "pets"))
    )
    assert (of_archive.labels, of_archive.classes) == (of_folder.labels, {"cat": 0, "dog": 1})
    decoders, everything, geometry = Decoders(1), np.arange(20), Geometry(24, 0.9)
    try:
        files, zipped = (DiskImages(ood_set("mine", str(path)), decoders) for path in (folder, archive))
        assert zipped.digests(everything) == files.digests(everything)
        expected = files.read(everything, [geometry])
        assert expected.unreadable.keys() == {3}
        for images in (zipped, *(KeptImages(zipped, tmp_path / "crops") for _ in range(2))):
            read = images.read(everything, [geometry])
            assert read.unreadable == expected.unreadable
            np.testing.assert_array_equal(read.pixels[geometry], expected.pixels[geometry])
    finally:
        decoders.close()


def test_a_member_must_still_have_the_content_that_was_hashed(folder: Path) -> None:
    archive, decoders = zips.zipped(folder), Decoders(1)
    try:
        images = DiskImages(ood_set("mine", str(archive)), decoders)
        assert NO_CONTENT not in images.digests(np.arange(20))
        Image.new("RGB", (9, 9)).save(folder / "05.png")
        (folder / "06.png").unlink()
        zips.zipped(folder)
        read = images.read(np.arange(20), [])
        assert read.unreadable.keys() == {3, 5, 6}
        assert "has changed since" in read.unreadable[5] and "no such member" in read.unreadable[6]
        archive.unlink()
        with pytest.raises(TransientError):
            images.read(np.arange(20), [])
    finally:
        decoders.close()


def test_below_a_root_it_is_found_and_checked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    zips.zipped(folder).rename(folder / "noises.zip")
    assert {name: one.source for name, one in discover(folder).items()} == {
        "noises": "zip",
        "noises-own": "files",
    }
    given = argparse.Namespace(root=folder, json=True, quick=False, largest_image=catalog.LARGEST_IMAGE)
    assert data.run(given) == WITH_FAILURES
    (of_zip, of_files) = json.loads(capsys.readouterr().out)["sets"]
    assert of_zip["count"] == of_files["count"] == 20 and of_zip["reasons"] == of_files["reasons"]


def test_a_damaged_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.zip").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"holds no image; .*not a zip file"):
        ood_set("mine", str(tmp_path / "mine.zip"))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    file = tmp_path_factory.mktemp("model") / "mine.pth"
    torch.save(random_model(SMALL, num_classes=2).state_dict(), file)
    return Checkpoint(str(file), SMALL)


def swept(checkpoint: Checkpoint, pets: Path, noises: Path, crops: Path | str = "") -> Path:
    """Sweep two classes against noise, each from a path, in this process."""
    wanted = small_plan(
        models=("mine",), bits=("FP32", "W4A4"), scores=("msp", "knn"), id_set="pets", ood_sets=("noises",),
        calibration_set="held-out", fit_set="held-out", calibration_images=2, fit_images=3,
        chunk_images=20,
    )  # fmt: skip
    given = Resources(
        id={"pets": str(pets)},
        ood={"noises": str(noises)},
        checkpoints={"mine": checkpoint},
        crops=str(crops),
        devices="cpu",
        any_accuracy=True,
    )
    plan, resources, _ = settle(wanted, given)
    session = store.create(plan, resources.names(), title="swept")
    assert run_until(session, resources) == "finished"
    return session


def hashes(session: Path) -> dict[str, str]:
    files = sorted((session / "arrays").glob("*.npy"))
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_a_sweep_has_the_same_arrays_from_files_archives_and_kept_crops(
    folder: Path, tmp_path: Path, checkpoint: Checkpoint
) -> None:
    pets = tmp_path / "pets"
    for seed, animal in enumerate(("cat", "dog")):
        photographs_like(pets / animal, 16, seed, side=40)
    archives, crops = (zips.zipped(pets), zips.zipped(folder)), tmp_path / "crops"
    sessions = [
        swept(checkpoint, pets, folder),
        swept(checkpoint, *archives),
        swept(checkpoint, *archives, crops),
        swept(checkpoint, *archives, crops),
    ]
    events = [[entry.event for entry in Session.at(session).entries] for session in sessions]
    prepared = [event for of_session in events for event in of_session if isinstance(event, SetsPrepared)]
    assert len({(*(s.digest for s in e.sets), e.calibrations[0].digest) for e in prepared}) == 1
    assert len(hashes(sessions[0])) >= 4 and len(list(crops.iterdir())) == 4
    for session, of_session in zip(sessions, events, strict=True):
        assert hashes(session) == hashes(sessions[0])
        assert [e.name for e in of_session if isinstance(e, ImageUnreadable)] == ["03.png"]
