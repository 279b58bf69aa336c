"""Folders that may hold sets, and which of them are taken."""

from __future__ import annotations

from pathlib import Path

from engine.datasets.disk_set import DiskSet
from engine.datasets.tree import DEPTH, LISTED, MOST_FOLDERS, TakenFolders, tree_of


def put_folders(root: Path, *names: str) -> None:
    for name in names:
        (root / name).mkdir(parents=True)


def test_folders_are_searched_nearest_first_to_a_depth_and_never_twice(tmp_path: Path) -> None:
    deep = "/".join("abcdefgh"[: DEPTH + 2])
    put_folders(tmp_path, deep, "z", *(f"classes/{number}/inside" for number in range(MOST_FOLDERS + 1)))
    (tmp_path / "z" / "around").symlink_to(tmp_path)
    tree = tree_of(tmp_path)
    places = [str(folder.relative_to(tmp_path)) for folder in tree]
    assert places[0] == "." and places[1:4] == ["a", "classes", "z"]
    assert max(place.count("/") for place in places) == DEPTH - 2
    assert len(tree[tmp_path / "classes"]) == MOST_FOLDERS + 1
    assert not any("inside" in place or "around" in place for place in places)


def test_a_taken_folder_takes_what_is_in_it_and_marks_what_it_is_in(tmp_path: Path) -> None:
    put_folders(tmp_path, "sets/birds/inside", "sets/cats", "elsewhere")
    birds = DiskSet("birds", "ood", "", "folder", tmp_path / "sets" / "birds", [], [])
    taken = TakenFolders({"birds": birds})
    assert taken.is_in(tmp_path / "sets/birds/inside") and taken.is_below(tmp_path / "sets")
    assert not taken.is_in(tmp_path / "sets/cats") and not taken.is_below(tmp_path / "elsewhere")
    (tmp_path / "link").symlink_to(tmp_path / "sets" / "birds")
    assert taken.is_in(tmp_path / "link")


def test_a_list_takes_the_folders_of_its_images_and_a_part_only_its_parts(tmp_path: Path) -> None:
    put_folders(tmp_path, "texture/banded", "texture/dotted", "val/a", "val/b", "val/c")
    listed = DiskSet("textures", "ood", "", LISTED, tmp_path, ["texture/banded/1.jpg"], [-1])
    partly = DiskSet("mine", "id", "", "folder", tmp_path / "val", [], [], parts=["a", "b"])
    taken = TakenFolders({"textures": listed, "mine": partly})
    assert taken.is_in(tmp_path / "texture/dotted") and not taken.is_in(tmp_path)
    assert taken.is_in(tmp_path / "val/a") and not taken.is_in(tmp_path / "val/c")
