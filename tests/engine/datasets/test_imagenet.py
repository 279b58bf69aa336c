"""ImageNet wherever and however it lies: found by what folders hold, whatever lies beside them."""

from __future__ import annotations

from pathlib import Path

import pytest
from timm.data import ImageNetInfo

from engine.datasets.discover import discover, id_set
from engine.datasets.disk_set import DiskSet
from tests.engine.datasets.test_discover import put

WNIDS = ImageNetInfo("imagenet-1k").label_names()
FIRST = (65, 970, 230, 809, 516)  # labels of the first validation images, as Caffe's val.txt has them
VAL = [f"ILSVRC2012_val_{at:08d}" for at in range(1, len(FIRST) + 1)]
KAGGLE = [
    "ImageId,PredictionString",
    *(f"{file},{WNIDS[label]} 1 2 3 4" for file, label in zip(VAL, FIRST, strict=True)),
]


def put_imagenet(folder: Path) -> None:
    put(folder, *(f"{wnid}/ILSVRC2012_val_00000293.JPEG" for wnid in WNIDS[:3]))


def roles(found: dict[str, DiskSet]) -> dict[str, tuple[str, int]]:
    return {name: (one.role, len(one.members)) for name, one in found.items()}


@pytest.mark.parametrize(
    "place",
    [
        "imagenet2012/val",
        "imagenet/ILSVRC2012/val",
        "in1k/val",
        "ILSVRC/Data/CLS-LOC/val",
        "bob/data/ImageNet-1K/ILSVRC2012_img_val",
        "z/val",
        "pictures",
    ],
)
@pytest.mark.parametrize(
    "beside",
    [
        "cub200/val/albatross/1.jpg",
        "a/val/cat/1.jpg",
        "zoo/val/cat/1.jpg",
        "ade20k/val/ADE_val_00000001.jpg",
        "imagenet/flowers/1.jpg",
        "textures/x.jpg",
    ],
)
def test_neighbours_do_not_hide_imagenet(tmp_path: Path, place: str, beside: str) -> None:
    put_imagenet(tmp_path / place)
    put(tmp_path, beside)
    found = discover(tmp_path)
    assert found["imagenet"].role == "id" and found["imagenet"].labels == [0, 1, 2]
    assert found["imagenet"].root == tmp_path / place
    others = {name: one for name, one in found.items() if name != "imagenet"}
    assert [(one.role, len(one.members)) for one in others.values()] == [("ood", 1)]


def test_copies_and_subsets_of_imagenet_are_no_ood_sets_and_do_not_take_its_name(tmp_path: Path) -> None:
    for place in ("a/imagenet2012/val", "b/in1k/val"):
        put_imagenet(tmp_path / place)
    put(tmp_path / "a/imagenet2012/val", f"{WNIDS[5]}/ILSVRC2012_val_00000001.JPEG")
    put(tmp_path / "imagenet100/val", *(f"{wnid}/1.JPEG" for wnid in WNIDS[10:14]))
    put(tmp_path / "imagenet100/train", *(f"{wnid}/{wnid}_1.JPEG" for wnid in WNIDS[10:14]))
    put(tmp_path / "a-mini-imagenet", *(f"{wnid}/{wnid}_1.JPEG" for wnid in WNIDS[20:22]))
    found = discover(tmp_path)
    assert roles(found) == {
        "imagenet": ("id", 4),
        "imagenet100": ("id", 4),
        "imagenet100-train": ("train", 4),
        "a-mini-imagenet": ("id", 2),
    }
    assert any("b/in1k/val" in note and "3 images" in note for note in found["imagenet"].notes)


@pytest.mark.parametrize("classes", [100, 200])
def test_a_subset_in_a_folder_of_imagenets_name_does_not_take_it(tmp_path: Path, classes: int) -> None:
    put(tmp_path / "imagenet/val", *(f"{wnid}/ILSVRC2012_val_00000001.JPEG" for wnid in WNIDS[:classes]))
    found = discover(tmp_path)
    assert roles(found) == {f"imagenet-{classes}-classes": ("id", classes)}


def test_relatives_of_imagenet_have_its_labels_under_their_own_names(tmp_path: Path) -> None:
    corrupted = (f"gaussian_noise/{severity}/{wnid}/a.JPEG" for severity in (1, 5) for wnid in WNIDS[:3])
    put(tmp_path / "imagenet-c", *corrupted)
    put(tmp_path / "imagenet-r", f"{WNIDS[7]}/art_0.jpg", f"{WNIDS[9]}/toy_1.jpg")
    put(tmp_path / "imagenetv2-matched-frequency-format-val", *(f"{n}/x.jpeg" for n in (0, 2, 10, 999)))
    found = discover(tmp_path)
    assert {one.role for one in found.values()} == {"id"}
    assert found["imagenet-c"].labels == [0, 1, 2, 0, 1, 2]
    assert sorted(found["imagenet-r"].labels) == [7, 9]
    v2 = found["imagenetv2-matched-frequency-format-val"]
    assert dict(zip(v2.members, v2.labels, strict=True))["10/x.jpeg"] == 10 and max(v2.labels) == 999


def test_other_sets_beside_class_folders_keep_their_own_images(tmp_path: Path) -> None:
    put_imagenet(tmp_path)
    put(tmp_path, "dtd/images/banded/1.jpg", "birds/1.jpg", "loose.jpg")
    found = discover(tmp_path)
    assert roles(found) == {"imagenet": ("id", 4), "textures": ("ood", 1), "birds": ("ood", 1)}
    assert sorted(found["imagenet"].labels) == [-1, 0, 1, 2]


@pytest.mark.parametrize("suffixed", [False, True])
@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("val.txt", [f"{file}.JPEG {label}" for file, label in zip(VAL, FIRST, strict=True)]),
        ("val_map.txt", [f"val/{file}.JPEG {label}" for file, label in zip(VAL, FIRST, strict=True)]),
        ("val.txt", [f"{file} {label}" for file, label in zip(VAL, FIRST, strict=True)]),
        ("val_list.txt", [f"{file}.JPEG\t{WNIDS[label]}" for file, label in zip(VAL, FIRST, strict=True)]),
        ("val_labels.txt", [f"{label},{file}.JPEG" for file, label in zip(VAL, FIRST, strict=True)]),
        ("imagenet_2012_validation_synset_labels.txt", [WNIDS[label] for label in FIRST]),
        ("LOC_val_solution.csv", KAGGLE),
    ],
)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_lists_of_many_programs_are_read(
    tmp_path: Path, name: str, lines: list[str], suffixed: bool, mark: str
) -> None:
    ending = "_unknown" if suffixed else ""
    put(tmp_path / "imagenet/val", *(f"{file}{ending}.JPEG" for file in VAL))
    (tmp_path / "imagenet" / name).write_text(mark + "\r\n".join(lines) + "\r\n")
    one = discover(tmp_path)["imagenet"]
    assert one.labels == list(FIRST)
    assert any(name in note for note in one.notes)
    assert id_set("mine", str(tmp_path / "imagenet/val"), None, ()).labels == list(FIRST)


def test_a_list_that_says_nothing_does_not_hide_one_that_does(tmp_path: Path) -> None:
    put(tmp_path / "imagenet/val", *(f"{file}.JPEG" for file in VAL))
    (tmp_path / "imagenet/val.txt").write_bytes(b"\xff\x80\x00damaged")
    (tmp_path / "imagenet/val_list.txt").write_text("".join(f"{f} {at}\n" for at, f in enumerate(VAL, 1)))
    (tmp_path / "imagenet/val_labels.txt").write_text(
        "".join(f"{f}.JPEG {label}\n" for f, label in zip(VAL, FIRST, strict=True))
    )
    assert discover(tmp_path)["imagenet"].labels == list(FIRST)
    (tmp_path / "imagenet/val_labels.txt").unlink()
    notes = discover(tmp_path)["imagenet"].notes
    assert any("val.txt cannot be read" in note for note in notes)
    assert any("another order" in note for note in notes)


def test_identifiers_in_names_are_labels_whatever_their_form(tmp_path: Path) -> None:
    at_end = (f"{file}_{WNIDS[label]}.JPEG" for file, label in zip(VAL, FIRST, strict=True))
    put(tmp_path / "flat/imagenet/val", *at_end)
    assert discover(tmp_path / "flat")["imagenet"].labels == list(FIRST)
    assert id_set("mine", str(tmp_path / "flat/imagenet/val"), None, ()).labels == list(FIRST)
    forms = (WNIDS[3].upper(), f"{WNIDS[4]}_word", f"{WNIDS[5]}-two words", f"tench {WNIDS[6]}")
    put(tmp_path / "forms/imagenet/val", *(f"{form}/a.JPEG" for form in forms))
    one = discover(tmp_path / "forms")["imagenet"]
    assert dict(zip(one.members, one.labels, strict=True)) == {
        f"{form}/a.JPEG": label for form, label in zip(forms, (3, 4, 5, 6), strict=True)
    }
    assert one.labels == id_set("mine", str(tmp_path / "forms/imagenet/val"), None, ()).labels
    put(tmp_path / "train/imagenet/train", *(f"{WNIDS[i]}_{i}.JPEG" for i in (1, 8)))
    found = discover(tmp_path / "train")
    assert found["imagenet-train"].labels == [1, 8]


@pytest.mark.parametrize(
    ("folders", "labels", "words"),
    [
        (FIRST, list(FIRST), "start at 0"),
        ([label + 1 for label in FIRST], list(FIRST), "start at 1"),
        ([490, 361, 171, 822, 297], None, "another order"),
    ],
)
def test_numbered_folders_are_understood_or_the_reason_is_said(
    tmp_path: Path, folders: list[int], labels: list[int] | None, words: str
) -> None:
    put(tmp_path / "imagenet/val", *(f"{n}/{file}.JPEG" for n, file in zip(folders, VAL, strict=True)))
    one = discover(tmp_path)["imagenet"]
    of = dict(zip(one.members, one.labels, strict=True))
    expected = labels or [-1] * len(VAL)
    got = [of[f"{n}/{file}.JPEG"] for n, file in zip(folders, VAL, strict=True)]
    assert got == expected
    assert any(words in note for note in one.notes)


def test_numbered_folders_that_nothing_tells_have_no_label_and_a_reason(tmp_path: Path) -> None:
    put(tmp_path / "imagenet/val", *(f"{n}/ILSVRC2012_val_00000293.JPEG" for n in range(1, 13)))
    one = discover(tmp_path)["imagenet"]
    assert set(one.labels) == {-1} and any("development kit" in note for note in one.notes)


def test_test_images_of_imagenet_are_named_and_no_ood_set(tmp_path: Path) -> None:
    put(tmp_path / "CLS-LOC/val", *(f"{file}.JPEG" for file in VAL))
    put(tmp_path / "CLS-LOC/test", "ILSVRC2012_test_00000001.JPEG")
    found = discover(tmp_path)
    assert list(found) == ["imagenet"] and any(
        "1 test image without labels" in note for note in found["imagenet"].notes
    )


def test_a_root_of_many_small_classes_is_one_set(tmp_path: Path) -> None:
    breeds = [f"breed {letter}" for letter in "abcdefghijkl"]
    put(tmp_path / "pets", *(f"{breed}/{i}.jpg" for breed in breeds for i in range(2)))
    (only,) = discover(tmp_path / "pets").values()
    assert (only.role, len(only.members), len(only.classes)) == ("id", 24, 12)
    put(tmp_path / "pets", "dtd/images/banded/1.jpg", "loose.jpg")
    found = discover(tmp_path / "pets")
    assert roles(found) == {"textures": ("ood", 1), "pets": ("id", 25)}
    put(tmp_path / "signs", *(f"{sign:05d}/{i}.ppm" for sign in range(3) for i in range(2)))
    (signs,) = discover(tmp_path / "signs").values()
    assert len(signs.members) == 6 and len(signs.classes) == 3


def test_loose_images_beside_folders_are_counted(tmp_path: Path) -> None:
    put(tmp_path / "mine", "birds/1.jpg", "loose.jpg", "also.png")
    assert roles(discover(tmp_path / "mine")) == {"birds": ("ood", 1), "mine": ("ood", 2)}
    put_imagenet(tmp_path / "more/sets/in1k/val")
    put(tmp_path / "more", "sets/loose.jpg", "sets/birds/1.jpg")
    assert roles(discover(tmp_path / "more")) == {
        "imagenet": ("id", 3),
        "birds": ("ood", 1),
        "sets": ("ood", 1),
    }


def test_of_several_folders_of_a_name_the_fullest_is_taken_and_the_others_are_named(tmp_path: Path) -> None:
    put(tmp_path, "a-archive/textures/x.jpg", *(f"b/dtd/images/banded/{i}.jpg" for i in range(3)))
    found = discover(tmp_path)
    assert roles(found) == {"textures": ("ood", 3)}
    assert any("a-archive/textures" in note for note in found["textures"].notes)


def test_a_link_to_a_folder_above_is_no_second_copy(tmp_path: Path) -> None:
    put_imagenet(tmp_path / "data/imagenet/val")
    (tmp_path / "data/again").symlink_to(tmp_path)
    found = discover(tmp_path)
    assert list(found) == ["imagenet"] and not any("left out" in note for note in found["imagenet"].notes)
