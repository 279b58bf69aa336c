"""The sets of a plan: opened once, drawn in order, and held-out images never evaluated."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.datasets.wordnet import synsets
from engine.errors import InputError
from engine.images.crops import KeptImages
from engine.images.decoders import Decoders
from engine.images.sets import open_sets, without_copies
from engine.plan.plan import Plan
from engine.plan.resources import Resources
from tests.running import small_plan
from tests.sweeping import DecodersHere


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    decoders = DecodersHere(1)
    yield decoders
    decoders.close()


def put_images(folder: Path, count: int, seed: int) -> Path:
    """Fill a folder with small images, no two alike."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    for number in range(count):
        Image.fromarray(random.integers(0, 255, (12, 12, 3), np.uint8)).save(folder / f"{number:02d}.png")
    return folder


def plan_of(**changes: object) -> Plan:
    given = {"models": ("mine",), "bits": ("FP32",), "id_set": "pets", "ood_sets": ("noises",),
             "calibration_set": "more", "fit_set": "more", "calibration_images": 4, "fit_images": 6,
             "scores": ("msp", "knn"), **changes}  # fmt: skip
    return small_plan(**given)


@pytest.fixture
def resources(tmp_path: Path) -> Resources:
    """Return two classes to evaluate, as many to calibrate on, and an OOD set."""
    for number, animal in enumerate(("cat", "dog")):
        put_images(tmp_path / "pets" / animal, 20, number)
        put_images(tmp_path / "more" / animal, 10, 10 + number)
    return Resources(
        id={"pets": str(tmp_path / "pets")},
        train={"more": str(tmp_path / "more")},
        ood={"noises": str(put_images(tmp_path / "noises", 30, 20))},
    )


def test_sets_are_interleaved_and_every_image_has_one_row(resources: Resources, decoders: Decoders) -> None:
    sets = open_sets(plan_of(), resources, decoders)
    assert [one.name for one in sets.sets] == ["pets", "noises"] and sets.available == [40, 30]
    assert sets.rows == 70
    for position, count in enumerate((40, 30)):
        assert sorted(sets.chosen(position).tolist()) == list(range(count))
    again = open_sets(plan_of(), resources, decoders)
    np.testing.assert_array_equal(again.places, sets.places)
    assert open_sets(plan_of(seed=1), resources, decoders).places.tolist() != sets.places.tolist()


def test_without_training_images_a_tenth_of_the_id_set_is_held_out(
    resources: Resources, decoders: Decoders
) -> None:
    plan = plan_of(calibration_set="held-out", fit_set="held-out", fit_images=4)
    sets = open_sets(plan, resources, decoders)
    assert sets.fit is not None and sets.available == [36, 30]
    assert sets.calibrations[0].images is sets.fit.images is sets.sets[0]
    assert not {*sets.chosen(0)} & {*sets.calibrations[0].pool}


def test_a_set_is_opened_once_however_often_it_is_used(resources: Resources, decoders: Decoders) -> None:
    sets = open_sets(plan_of(calibration_draws=3), resources, decoders)
    assert sets.fit is not None and len(sets.calibrations) == 3
    assert {id(one.images) for one in sets.calibrations} == {id(sets.fit.images)}


def test_labels_become_places_among_a_models_classes_once(tmp_path: Path, decoders: Decoders) -> None:
    wnids = sorted(synsets())[:20]
    for number, wnid in enumerate(wnids):
        validation = put_images(tmp_path / "imagenet" / "val" / wnid, 1, number)
        (validation / "00.png").rename(validation / f"ILSVRC2012_val_{number + 1000:08d}.JPEG")
        training = put_images(tmp_path / "imagenet" / "train" / wnid, 2, 100 + number)
        for at in range(2):
            (training / f"{at:02d}.png").rename(training / f"{wnid}_{at}.JPEG")
    names = tuple(sorted(synsets(), reverse=True))
    plan = plan_of(id_set="imagenet", calibration_set="imagenet-train", fit_set="imagenet-train",
                   ood_sets=(), calibration_draws=2)  # fmt: skip
    sets = open_sets(plan, Resources(data=str(tmp_path)), decoders, names)
    assert sets.fit is not None
    for images in (sets.sets[0], sets.fit.images, *(one.images for one in sets.calibrations)):
        folders = [images.name_of(at).split("/")[-2] for at in range(len(images.labels))]
        assert [names[label] for label in images.labels] == folders


def test_held_out_copies_of_evaluated_images_are_replaced(
    tmp_path: Path, resources: Resources, decoders: Decoders
) -> None:
    for number in range(3):
        shutil.copy(tmp_path / "pets" / "cat" / f"{number:02d}.png", tmp_path / "more" / "cat")
    (tmp_path / "more" / "dog" / "00.png").write_text("no image")
    shutil.copy(tmp_path / "noises" / "00.png", tmp_path / "noises" / "copy.png")
    plan = plan_of(calibration_images=16, fit_images=16)
    sets, prepared = without_copies(open_sets(plan, resources, decoders), plan)
    (calibration,) = sets.calibrations
    assert len(calibration.chosen) == 16 and (calibration.copies, calibration.unreadable) == (3, 1)
    evaluated = {digest for at, one in enumerate(sets.sets) for digest in one.digests(sets.chosen(at))}
    assert not evaluated & set(calibration.images.digests(calibration.chosen))
    assert prepared.calibrations[0].copies == 3 and prepared.fit is not None and prepared.fit.copies == 3
    assert "duplicates within the set: 1 image" in prepared.sets[1].notes
    short = plan_of(calibration_images=17)
    with pytest.raises(InputError, match="more has 16 images that are not evaluated"):
        without_copies(open_sets(short, resources, decoders), short)


def test_a_set_that_is_not_there_or_not_readable_is_named(
    tmp_path: Path, resources: Resources, decoders: Decoders
) -> None:
    with pytest.raises(InputError, match="A folder that holds textures is needed"):
        open_sets(plan_of(ood_sets=("textures",)), resources, decoders)
    for file in (tmp_path / "noises").iterdir():
        file.write_bytes(b"")
    with pytest.raises(InputError, match="none of its 30 images can be read"):
        without_copies(open_sets(plan_of(), resources, decoders), plan_of())


def test_crops_are_kept_of_sets_on_a_disk(tmp_path: Path, resources: Resources, decoders: Decoders) -> None:
    import msgspec

    kept = msgspec.structs.replace(resources, crops=str(tmp_path / "crops"))
    sets = open_sets(plan_of(), kept, decoders)
    assert all(isinstance(one, KeptImages) for one in sets.sets)
    assert sets.sets[0].classes == {"cat": 0, "dog": 1} and sets.sets[0].is_guessed
