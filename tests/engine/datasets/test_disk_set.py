"""What discovery notes about a set."""

from __future__ import annotations

from pathlib import Path

from engine import catalog
from engine.datasets.disk_set import DiskSet, add, found_in, sized, with_catalog_notes
from engine.datasets.walk import Walked


def a_set(count: int) -> DiskSet:
    walked = Walked([f"{at}.jpg" for at in range(count)], {"closed": "no"}, {".txt": 2})
    return found_in("mine", "ood", "", "folder", Path("/images"), walked)


def test_a_set_has_what_was_listed_skipped_and_not_readable() -> None:
    one = a_set(3)
    assert one.members == ["0.jpg", "1.jpg", "2.jpg"] and one.labels == [-1] * 3 and one.source == "files"
    assert one.problems == {"closed": "no"} and one.notes == ["files skipped: 2 .txt"]


def test_missing_and_surplus_images_are_noted() -> None:
    assert "2 of 5 images are missing" in sized(a_set(3), 5).notes[-1]
    assert "1 image more than the 2" in sized(a_set(3), 2).notes[-1]
    assert len(sized(a_set(3), 3).notes) == 1


def test_versions_and_notes_of_the_catalog_are_noted() -> None:
    entry = catalog.SETS["openimage-o"]
    one = with_catalog_notes(sized(a_set(3), entry.listed), entry)
    assert "this is OpenOOD's list of 15,869; another version has 17,632" in one.notes
    assert one.notes[-1] == entry.note


def test_a_name_is_plain_free_and_not_a_published_sets() -> None:
    found: dict[str, DiskSet] = {}
    for name in ("my images!", "my images!", "textures", "///"):
        add(found, a_set(1), name)
    assert list(found) == ["my-images", "my-images-own", "textures-own", "images"]
    assert all(one.name == name for name, one in found.items())
