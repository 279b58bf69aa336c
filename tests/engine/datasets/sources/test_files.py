"""Files below a folder as the source of images."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from engine.datasets.sources.base import TransientError, UnreadableError, source_of, stamp_of
from engine.datasets.sources.files import Files
from tests.engine.images.albums import save


def test_files_are_listed_read_and_stamped_by_their_paths(tmp_path: Path) -> None:
    (tmp_path / "cats").mkdir()
    content = save(tmp_path / "cats" / "one.png")
    (tmp_path / "notes.txt").write_text("no image")
    source = Files(tmp_path)
    assert Files.accepts(tmp_path) and not Files.accepts(tmp_path / "notes.txt")
    ood, of_classes = source.ood_set("mine"), source.id_set("mine", ("dogs", "cats"), "")
    assert ood.members == of_classes.members == ["cats/one.png"]
    assert ood.notes == ["files skipped: 1 .txt"]
    assert ood.labels == [-1] and of_classes.labels == [1]
    assert source_of(ood) == source
    assert source.read("cats/one.png") == content
    assert source.stamp("cats/one.png") == stamp_of(tmp_path / "cats" / "one.png")
    assert source.stamp("none.png") is None
    assert pickle.loads(pickle.dumps(source)) == source  # it is sent to decoders


def test_a_file_that_vanished_is_the_disks_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.datasets.sources.base.WAITS", ())
    with pytest.raises(UnreadableError, match="no such file"):
        Files(tmp_path).read("one.png")
    with pytest.raises(UnreadableError, match="folder"):
        Files(tmp_path.parent).read(tmp_path.name)
    with pytest.raises(TransientError):
        Files(tmp_path / "unmounted").read("one.png")
    with pytest.raises(TransientError):
        Files(tmp_path).read("one.png", was_there=True)
