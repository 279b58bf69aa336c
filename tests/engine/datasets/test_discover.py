"""Image sets in the layouts in which they come, made in miniature: found, counted, their traps handled."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from engine import catalog
from engine.datasets import imagenet, lists
from engine.datasets.discover import discover, id_set, ood_set, read_classes
from engine.errors import InputError

ONE = Image.new("RGB", (8, 8), "teal")
WNIDS = list(imagenet.synsets())
KAGGLE = [
    "ImageId,PredictionString",
    *(f"{{{i}}},{WNIDS[label]} 1 2 3 4 " for i, label in enumerate((65, 970, 230))),
]


def put(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        ONE.save(path, "PNG")


def put_list(root: Path, name: str, *lines: str) -> None:
    path = root / "benchmark_imglist" / "imagenet" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def openood(tmp_path: Path) -> Path:
    """An OpenOOD data folder of a few images a set, textures in another base folder than the rest."""
    val = "imagenet_1k/val/ILSVRC2012_val_0000000{}.JPEG"
    put(tmp_path / "images_largescale", *(val.format(i) for i in range(1, 6)))
    put(
        tmp_path / "images_largescale",
        "ninco/Caracal caracal caracal/1.JPG",
        "ninco/b/2.gif",
        "ninco/b/3.jpeg",
    )
    put(tmp_path / "images_largescale", *(f"openimage_o/images/{i:x}.jpg" for i in range(4)))
    put(tmp_path / "images_classic", "texture/banded/1.jpg", "texture/bubbly/1.jpg", "texture/dotted/1.jpg")
    labels = (65, 970, 230, 809, 516)
    put_list(tmp_path, "test_imagenet.txt", *(f"{val.format(i)} {labels[i - 1]}" for i in (1, 2, 3)))
    put_list(tmp_path, "val_imagenet.txt", *(f"{val.format(i)} {labels[i - 1]}" for i in (4, 5)))
    put_list(
        tmp_path, "test_ninco.txt", "ninco/Caracal caracal caracal/1.JPG -1", "ninco/b/2.gif {'label': -1}"
    )
    put_list(tmp_path, "test_textures.txt", "texture/banded/1.jpg -1", "texture/dotted/1.jpg -1")
    put_list(tmp_path, "test_openimage_o.txt", *(f"openimage_o/images/{i:x}.jpg -1" for i in range(3)))
    return tmp_path


def test_openood_lists_say_what_belongs_to_a_set(openood: Path) -> None:
    found = discover(openood)
    assert {name: len(one.members) for name, one in found.items()} == {
        "imagenet": 3,
        "imagenet-held-out": 2,
        "ninco": 2,
        "textures": 2,
        "openimage-o": 3,
    }
    assert found["imagenet"].labels == [65, 970, 230] and found["imagenet"].role == "id"
    assert found["imagenet-held-out"].role == "train" and found["imagenet-held-out"].expected == 5000
    assert found["ninco"].members[0] == "ninco/Caracal caracal caracal/1.JPG"
    assert found["textures"].root.name == "images_classic"
    assert set(found["ninco"].labels) == {-1}
    assert found["openimage-o"].expected == 15_869
    assert any("17,632" in note for note in found["openimage-o"].notes)
    assert any("missing" in note for note in found["textures"].notes)


def test_one_root_for_all_lists_as_pytorch_ood_has_it(openood: Path) -> None:
    (openood / "images_classic" / "texture").rename(openood / "images_largescale" / "texture")
    assert discover(openood)["textures"].root.name == "images_largescale"


def test_the_repository_of_openood_is_a_root_too(openood: Path, tmp_path: Path) -> None:
    above = tmp_path / "above"
    above.mkdir()
    for name in ("benchmark_imglist", "images_largescale", "images_classic"):
        (above / "data").mkdir(exist_ok=True)
        (openood / name).rename(above / "data" / name)
    assert len(discover(above)) == 5


def test_download_layouts_are_known_by_their_folders(tmp_path: Path) -> None:
    put(tmp_path, "dtd/images/banded/1.jpg", "dtd/images/honeycombed/1.jpg", "dtd/images/waffled/1.jpg")
    (tmp_path / "dtd/images/waffled/.directory").write_text("hidden")
    put(tmp_path, "NINCO/NINCO_OOD_classes/a/1.jpeg", "NINCO/NINCO_OOD_classes/b/1.PNG")
    put(tmp_path, "NINCO/NINCO_OOD_unit_tests/black/1.png", "NINCO/NINCO_popular_datasets_subsamples/x/1.png")
    put(tmp_path, "iNaturalist/images/1.jpg", "SUN/images/1.jpg", "Places/images/1.jpg")
    put(tmp_path, f"imagenet-o/{WNIDS[3]}/1.JPEG", "SSB_hard/n00000001/1.JPEG", "OpenImage-O/1.jpg")
    found = discover(tmp_path)
    counts = {name: len(one.members) for name, one in found.items()}
    assert counts == {
        "ssb-hard": 1,
        "ninco": 2,
        "inaturalist": 1,
        "textures": 2,
        "openimage-o": 1,
        "sun": 1,
        "places": 1,
        "imagenet-o": 1,
    }
    assert any("honeycombed" in note for note in found["textures"].notes)
    assert set(found["imagenet-o"].labels) == {-1} and found["imagenet-o"].role == "ood"
    assert any("99 of 400" in note for note in found["textures"].notes)


def test_places365_is_not_taken_for_the_set_of_mos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.datasets.layouts.published.PLACES365", 3)
    put(tmp_path, *(f"places/{i}.jpg" for i in range(3)))
    assert any("Places365" in note for note in discover(tmp_path)["places"].notes)


def test_imagenet_in_folders_of_classes_has_the_labels_of_all_1000(tmp_path: Path) -> None:
    put(tmp_path, f"imagenet/val/{WNIDS[7]}/1.JPEG", f"imagenet/val/{WNIDS[999]}/1.JPEG")
    put(tmp_path, f"imagenet/train/{WNIDS[3]}/1.JPEG")
    found = discover(tmp_path)
    assert found["imagenet"].labels == [7, 999] and found["imagenet"].expected == 50_000
    assert found["imagenet-train"].labels == [3] and found["imagenet-train"].role == "train"


@pytest.mark.parametrize(
    ("name", "lines", "labels", "note"),
    [
        ("imagenet2012_val_list.txt", ["{0} 489", "{1} 1", "{2} 2"], [-1, -1, -1], "development kit"),
        ("val.txt", ["{0} 66", "{1} 971", "{2} 3"], [-1, -1, -1], "development kit"),
        ("val.txt", ["{0} 65", "{1} 970", "{2} 230"], [65, 970, 230], "val.txt"),
        ("val.txt", ["{0} 66", "{1} 971", "{2} 231"], [65, 970, 230], "start at 1"),
        ("val.txt", ["{0} 65", "{2} 230"], [65, -1, 230], "1 image without a label"),
        ("ILSVRC2012_validation_ground_truth.txt", ["490", "361", "1000"], [-1, -1, -1], "development kit"),
        ("LOC_val_solution.csv", KAGGLE, [65, 970, 230], "LOC_val"),
        (None, [], [-1, -1, -1], "no list of labels"),
    ],
)  # fmt: skip
def test_flat_imagenet_takes_its_labels_from_a_list(
    tmp_path: Path, name: str | None, lines: list[str], labels: list[int], note: str
) -> None:
    files = [f"ILSVRC2012_val_0000000{i}.JPEG" for i in (1, 2, 3)]
    put(tmp_path / "imagenet" / "val", *files)
    if name is not None:
        shown = [Path(file).stem for file in files] if name.endswith("csv") else files
        (tmp_path / name).write_text("\n".join(line.format(*shown) for line in lines) + "\n")
    found = discover(tmp_path)["imagenet"]
    assert found.labels == labels
    assert any(note in text for text in found.notes)


def test_any_other_folder_is_an_ood_set_and_a_root_of_classes_an_id_set(tmp_path: Path) -> None:
    put(tmp_path / "a", "my photos/1.jpg", "my photos/deep/2.WEBP", "noise/1.png")
    found = discover(tmp_path / "a")
    assert {name: (one.role, len(one.members)) for name, one in found.items()} == {
        "my-photos": ("ood", 2),
        "noise-own": ("ood", 1),
    }
    put(tmp_path / "b", *(f"{wnid}/1.JPEG" for wnid in WNIDS[10:13]))
    (only,) = discover(tmp_path / "b").values()
    assert (only.role, only.labels) == ("id", [10, 11, 12])


def test_a_list_or_a_folder_of_classes_is_an_id_set(tmp_path: Path) -> None:
    put(tmp_path, "cat/1.png", "dog/1.png", "dog/2.png")
    assert id_set("pets", str(tmp_path), None, ()).labels == [0, 1, 1]
    assert id_set("pets", str(tmp_path), None, ("bird", "dog", "cat")).labels == [2, 1, 1]
    with pytest.raises(InputError, match="cat"):
        id_set("pets", str(tmp_path), None, ("bird", "dog"))
    (tmp_path / "pets.txt").write_text("cat/1.png 4\ndog/1.png 2\n")
    assert id_set("pets", str(tmp_path / "pets.txt"), None, ()).labels == [4, 2]
    (tmp_path / "classes.txt").write_text("bird\ndog\ncat\n\n")
    assert read_classes(str(tmp_path / "classes.txt")) == ("bird", "dog", "cat")


@pytest.mark.parametrize("line", ["/etc/passwd 3", "../../outside.jpg 1"])
def test_a_list_does_not_lead_out_of_its_folder(tmp_path: Path, line: str) -> None:
    (tmp_path / "list.txt").write_text(f"{line}\n")
    with pytest.raises(InputError, match="below the data folder"):
        lists.read(tmp_path / "list.txt")


def test_odd_lines_of_lists_are_paths(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(
        "a b c.jpg\nd.jpg\t7\n\ne.jpg {'label': 3, 'x': 'y z'}\nf.jpg {oops}\n"
    )
    found = lists.read(tmp_path / "list.txt")
    assert found.files == ["a b c.jpg", "d.jpg", "e.jpg", "f.jpg {oops}"] and found.labels == [-1, 7, 3, -1]


@pytest.mark.parametrize("given", ["~nobody-of-that-name/p", "a" * 5000, "/\0", "/nowhere/at/all"])
def test_folders_that_cannot_be_are_refused_in_words(given: str) -> None:
    with pytest.raises(InputError):
        ood_set("mine", given)
    with pytest.raises(InputError):
        discover(Path(given))


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no image"):
        ood_set("mine", str(tmp_path))


def test_the_known_sets_are_as_published() -> None:
    benchmark = ("ssb-hard", "ninco", "inaturalist", "textures", "openimage-o")
    assert sum(catalog.SETS[name].listed for name in benchmark) == 85_908
    assert catalog.SETS["imagenet"].listed + catalog.SETS["imagenet-held-out"].listed == 50_000


def test_photographs_by_identifier_are_an_id_set(photographs: Path) -> None:
    (only,) = discover(photographs).values()
    assert only.role == "id" and sorted(only.labels) == list(range(1000))


def test_a_damaged_list_is_named_and_hides_no_other_set(openood: Path) -> None:
    listed = openood / "benchmark_imglist" / "imagenet"
    (listed / "test_ninco.txt").write_bytes(b"\xff\xfe\x00binary")
    (listed / "test_textures.txt").write_text("")
    found = discover(openood)
    assert len(found) == 5 and not found["ninco"].members and "text file" in str(found["ninco"].problems)
    assert "no image" in str(found["textures"].problems)
    (listed / "test_ninco.txt").write_text("x" * 5000 + ".jpg -1\n")
    assert "ninco" not in discover(openood) or discover(openood)["ninco"].kind == "folder"


def test_splits_of_classes_are_no_ood_sets(tmp_path: Path) -> None:
    put(tmp_path, *(f"{split}/{label}/1.png" for split in ("train", "val") for label in ("cat", "dog")))
    put(tmp_path, "birds/1.png")
    roles = {name: one.role for name, one in discover(tmp_path).items()}
    assert roles == {"train": "train", "val": "id", "birds": "ood"}
