"""`data check`: which sets a folder holds, and which images cannot be read."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.__main__ import main
from engine.errors import BAD_INPUT, FINISHED, WITH_FAILURES
from tests.real import openood_root

Check = Callable[..., tuple[int, str]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return openood_root(tmp_path / "root", val=6, held_out=2, ood=4)


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Check:
    """Return the command: its status, and what it writes."""

    def run(*options: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["engine", "data", "check", *options])
        status = main()
        captured = capsys.readouterr()
        return status, captured.out or captured.err

    return run


def test_sets_counts_and_unreadable_images_are_listed(root: Path, check: Check) -> None:
    (root / "images_largescale" / "inaturalist" / "images" / "00002.jpg").write_bytes(b"\xff\xd8\xff no more")
    (root / "images_largescale" / "openimage_o" / "images" / "00001.jpg").unlink()
    status, written = check(str(root), "--json")
    assert status == WITH_FAILURES
    sets = {one["name"]: one for one in json.loads(written)["sets"]}
    for one in sets.values():
        assert {"name", "role", "kind", "path", "count", "expected", "unreadable", "notes"} <= set(one)
    assert sets["inaturalist"]["unreadable"] == ["inaturalist/images/00002.jpg"]
    assert sets["inaturalist"]["count"] == 4
    missing = "openimage_o/images/00001.jpg"
    assert "no such file" in sets["openimage-o"]["reasons"][missing]
    assert sets["imagenet"]["unreadable"] == [] and sets["imagenet"]["labelled"] == 6
    status, written = check(str(root))
    assert status == WITH_FAILURES and f"! {missing}: there is no such file" in written
    assert "qood-tui run --preset kuang-wong-2026 --data" in written


def test_quick_opens_no_image(root: Path, check: Check) -> None:
    (root / "images_largescale" / "inaturalist" / "images" / "00002.jpg").write_bytes(b"\xff\xd8\xff no more")
    status, written = check(str(root), "--quick")
    assert status == FINISHED and "inaturalist" in written and "not read" in written


def test_a_large_image_is_unreadable_by_the_limit_given(root: Path, check: Check) -> None:
    status, written = check(str(root), "--largest-image", "1000")
    assert status == WITH_FAILURES and "more than 1,000 pixels" in written and "and 1 more; --json" in written


def test_what_to_do_next_is_said(tmp_path: Path, root: Path, check: Check) -> None:
    status, written = check(str(root / "images_classic"))
    assert status == FINISHED and "--id NAME=FOLDER" in written
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("no image")
    status, written = check(str(tmp_path / "empty"))
    assert status == FINISHED and "holds no image set" in written and "1 .txt" in written
    status, written = check(str(tmp_path / "nowhere"))
    assert status == BAD_INPUT and "a readable folder is needed" in written
