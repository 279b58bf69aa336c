"""Lists of images as editors, spreadsheets and other systems leave them."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from engine.datasets import lists
from engine.datasets.discover import discover, id_set, ood_set, read_classes
from engine.errors import InputError
from engine.plan.toml import read_toml

ONE = Image.new("RGB", (8, 8), "teal")


def put(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        ONE.save(path, "PNG")


@pytest.mark.parametrize(
    ("lines", "files"),
    [
        (["a b.jpg 3", "c.jpg 4"], ["a b.jpg", "c.jpg"]),
        (["a b.jpg\t3", "c.jpg\t4"], ["a b.jpg", "c.jpg"]),
        (["a b.jpg,3", "c.jpg,4"], ["a b.jpg", "c.jpg"]),
        (["a b.jpg;3", "c.jpg; 4"], ["a b.jpg", "c.jpg"]),
        (['"a, b.jpg",3', '"c.jpg",4'], ["a, b.jpg", "c.jpg"]),
        (["a, b.jpg,3", "c.jpg,4"], ["a, b.jpg", "c.jpg"]),
        (['"a b.jpg" 3', "'c.jpg' 4"], ["a b.jpg", "c.jpg"]),
        (['"say ""hi"".jpg",3', "c.jpg,4"], ['say "hi".jpg', "c.jpg"]),
        (["3 a b.jpg", "4 c.jpg"], ["a b.jpg", "c.jpg"]),
        (["3,a b.jpg", "4,c.jpg"], ["a b.jpg", "c.jpg"]),
        (["3\ta b.jpg", "4\tc.jpg"], ["a b.jpg", "c.jpg"]),
        (["in\\a b.jpg 3", "in\\c.jpg 4"], ["in/a b.jpg", "in/c.jpg"]),
        (["./a b.jpg 3", "./c.jpg 4"], ["a b.jpg", "c.jpg"]),
        (["filename,label", "a b.jpg,3", "c.jpg,4"], ["a b.jpg", "c.jpg"]),
        (["image label", "a b.jpg 3", "c.jpg 4"], ["a b.jpg", "c.jpg"]),
        (["0,a b.jpg,3", "1,c.jpg,4"], ["a b.jpg", "c.jpg"]),
        (["a b.jpg,3,cat", "c.jpg,4,dog"], ["a b.jpg", "c.jpg"]),
        (["a b.jpg 3.0", "c.jpg 4.0"], ["a b.jpg", "c.jpg"]),
        (["tab\there.jpg\t3", "c.jpg\t4"], ["tab\there.jpg", "c.jpg"]),
        (["1 a.jpg 3", "2 c.jpg 4"], ["1 a.jpg", "2 c.jpg"]),
        (["back\\slash.jpg 3", "c.jpg 4"], ["back\\slash.jpg", "c.jpg"]),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_list_is_read_whatever_stands_between(
    tmp_path: Path, lines: list[str], files: list[str], encoding: str, ending: str
) -> None:
    put(tmp_path, *files)
    (tmp_path / "list.txt").write_bytes(ending.join(lines).encode(encoding))
    one = id_set("mine", str(tmp_path / "list.txt"), None)
    assert (one.members, one.labels) == (files, [3, 4])
    assert all((one.root / file).is_file() for file in one.members)


def test_paths_without_labels_that_begin_with_a_number_are_paths(tmp_path: Path) -> None:
    put(tmp_path, "1 cat.jpg", "2 dogs.jpg")
    (tmp_path / "list.txt").write_text("1 cat.jpg\n2 dogs.jpg\n")
    assert id_set("mine", str(tmp_path / "list.txt"), None).members == ["1 cat.jpg", "2 dogs.jpg"]


def test_a_line_that_is_read_otherwise_than_the_rest_is_shown(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "list.txt").write_text("a.jpg 3\nb.jpg|4\n")
    notes = id_set("mine", str(tmp_path / "list.txt"), None).notes
    assert any("line 2" in note and "b.jpg|4" in note for note in notes)
    (tmp_path / "list.txt").write_text("nothing.jpg|4\n")
    with pytest.raises(InputError, match=r"read as path 'nothing.jpg\|4', label -1"):
        id_set("mine", str(tmp_path / "list.txt"), None)


FORMS = [("NFC", "NFD"), ("NFD", "NFC")]
NAMES = ("cr\u00e8me br\u00fbl\u00e9e", "Stra\u00dfe \u212b", "\ud55c\uae00")


@pytest.mark.parametrize(("listed", "on_disk"), FORMS)
@pytest.mark.parametrize("name", NAMES)
def test_names_composed_otherwise_are_found_and_the_file_on_disk_is_opened(
    tmp_path: Path, listed: str, on_disk: str, name: str
) -> None:
    real = unicodedata.normalize(on_disk, name)
    put(tmp_path, f"{real}/{real}.jpg", "plain/1.jpg")
    given = unicodedata.normalize(listed, name)
    (tmp_path / "list.txt").write_text(f"{given}/{given}.jpg 3\nplain/1.jpg 4\n")
    one = id_set("mine", str(tmp_path / "list.txt"), None)
    assert one.members == [f"{real}/{real}.jpg", "plain/1.jpg"]
    assert all((one.root / file).is_file() for file in one.members)
    assert ood_set("mine", str(tmp_path / given)).root.name == real
    assert len(discover(tmp_path / given)) == 1
    (tmp_path / f"{real}.txt").write_text("one\ntwo\n")
    assert read_classes(str(tmp_path / f"{given}.txt")) == ("one", "two")


def test_both_forms_beside_each_other_are_two_files(tmp_path: Path) -> None:
    names = [unicodedata.normalize(form, "caf\u00e9.jpg") for form in ("NFC", "NFD")]
    put(tmp_path, *names)
    if len(list(tmp_path.iterdir())) < 2:
        pytest.skip("this file system takes both for one name")
    (tmp_path / "list.txt").write_text("".join(f"{name} {at}\n" for at, name in enumerate(names)))
    one = id_set("mine", str(tmp_path / "list.txt"), None)
    assert (one.members, one.labels) == (names, [0, 1])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_marks_of_editors_are_no_part_of_a_text(tmp_path: Path, encoding: str) -> None:
    classes, plan = tmp_path / "classes.txt", tmp_path / "plan.toml"
    classes.write_bytes("cat\r\ndog\r\n".encode(encoding))
    assert read_classes(str(classes)) == ("cat", "dog")
    plan.write_bytes('models = ["vit-narrow"]\r\n'.encode(encoding))
    assert read_toml(plan)[0].models == ("vit-narrow",)


def test_classes_that_differ_only_in_how_they_are_composed_are_refused(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("caf\u00e9\ncafe\u0301\n")
    with pytest.raises(InputError, match="distinct names"):
        read_classes(str(tmp_path / "classes.txt"))


def test_names_that_are_no_text_are_read_from_lists_too(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"caf\xe9.jpg 3\n")
    with pytest.raises(InputError, match="text file"):
        lists.read(tmp_path / "list.txt")
