"""WordNet identifiers in names of folders and files."""

from __future__ import annotations

import pytest
from timm.data import ImageNetInfo

from engine.datasets.wordnet import are_classes, label_of, label_of_path, synsets


def test_labels_are_those_of_timm() -> None:
    wnids = ImageNetInfo("imagenet-1k").label_names()
    assert synsets() == {wnid: label for label, wnid in enumerate(wnids)} and len(wnids) == 1000


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("n01440764", 0),
        ("N01443537", 1),
        ("n01440764_tench", 0),
        ("ILSVRC2012_val_00000293_n01443537.JPEG", 1),
        ("n99999999", -1),
        ("n014407640", -1),
        ("tench", -1),
        ("", -1),
    ],
)
def test_an_identifier_is_read_from_a_name(name: str, label: int) -> None:
    assert label_of(name) == label


def test_the_nearest_folder_with_an_identifier_decides() -> None:
    assert label_of_path("n01440764/n01443537/x.jpg") == 1
    assert label_of_path("n01440764/images/n01443537_7.jpg") == 0
    assert label_of_path("images/n01443537_7.jpg") == 1 and label_of_path("images/x.jpg") == -1


def test_folders_are_classes_if_most_are_named_by_identifiers() -> None:
    assert are_classes(["n01440764", "n01443537", "notes"])
    assert not are_classes(["n01440764", "notes"]) and not are_classes([])
