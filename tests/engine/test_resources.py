from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.resources import Checkpoint, Resources


def test_words_for_a_session_have_no_path_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "somebody"
    monkeypatch.setenv("HOME", str(home))
    resources = Resources(
        data="/data/of/mine",
        ood={"x": str(home / "scans")},
        checkpoints={"m": Checkpoint(str(home / "weights/m.pth"))},
        environment={"HF_HOME": "/cache/of/mine/hf", "CUDA_VISIBLE_DEVICES": "0"},
    )
    said = f"/data/of/mine/val: no; {home}/scans/1.jpg; {home}/weights/m.pth; (/cache/of/mine/hf); "
    said += f"{home}/other; 10"
    assert resources.without_paths(said) == "mine/val: no; scans/1.jpg; m.pth; (hf); ~/other; 10"
    assert str(home) not in resources.without_paths(os.pathsep.join((str(home), said)))


def test_a_home_that_is_the_root_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/")
    assert Resources().without_paths("3/4 of /x") == "3/4 of /x"
