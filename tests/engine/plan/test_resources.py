from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.errors import InputError
from engine.plan.resources import Checkpoint, Resources, parse_checkpoints
from engine.plan.toml import read_toml, to_toml
from engine.service import request


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


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("vit-narrow={file}", "demo"),
        ("deit3-wide=deit3_small_patch16_224:{file}", "demo"),
        ("deit_small_patch16_224.fb_in1k=vit_small_patch16_224:{file}", "a model other than"),
        ("mine={file}", "MODEL:FILE"),
        ("mine=vit_small_patch16_224:{file}.not", "no such file"),
    ],
)
def test_a_checkpoint_that_would_not_be_what_its_name_says_is_refused(
    tmp_path: Path, given: str, words: str
) -> None:
    file = tmp_path / "w.pth"
    file.write_bytes(b"x")
    with pytest.raises(InputError, match=words):
        parse_checkpoints((given.format(file=file),))
    name, _, rest = given.partition("=")
    model, _, path = rest.rpartition(":")
    plan = tmp_path / "plan.toml"
    plan.write_text(
        f'models = ["{name}"]\nid_set = "pets"\n[checkpoints]\n'
        f'"{name}" = {{ file = "{path.format(file=file)}", model = "{model}" }}\n'
    )
    with pytest.raises(InputError, match=words):
        read_toml(plan)


def test_a_tag_of_timms_may_be_given_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"x")
    tag = "deit_small_patch16_224.fb_in1k"
    assert parse_checkpoints((f"{tag}={tmp_path}/w.pth",)) == {tag: Checkpoint(str(tmp_path / "w.pth"))}


def test_a_repository_of_the_hub_is_no_path(tmp_path: Path) -> None:
    found = parse_checkpoints(("mine=hf-hub:owner/name@v1", "other=hf_hub:owner/name"))
    assert [one.file for one in found.values()] == ["hf-hub:owner/name@v1", "hf_hub:owner/name"]
    (tmp_path / "plan.toml").write_text(
        'models = ["mine"]\nid_set = "x"\n[checkpoints]\nmine = { file = "hf-hub:owner/name", ema = true }\n'
    )
    plan, resources = read_toml(tmp_path / "plan.toml")
    assert resources.checkpoints["mine"] == Checkpoint("hf-hub:owner/name", ema=True)
    assert resources.without_paths("see hf-hub:owner/name") == "see hf-hub:owner/name"
    (tmp_path / "again.toml").write_text(to_toml(plan, resources))
    assert read_toml(tmp_path / "again.toml")[1].checkpoints == resources.checkpoints


@pytest.mark.parametrize(
    ("checkpoints", "ema", "words"),
    [({"other": "w.pth"}, False, "no model of this name"), ({}, True, "none is given")],
)
def test_what_no_model_would_take_is_refused(
    tmp_path: Path, checkpoints: dict[str, str], ema: bool, words: str
) -> None:
    (tmp_path / "plan.toml").write_text('models = ["vit-narrow"]\n')
    named = {name: Checkpoint(file) for name, file in checkpoints.items()}
    with pytest.raises(InputError, match=words):
        request.prepare(
            str(tmp_path / "plan.toml"),
            resources=Resources(checkpoints=named, ema=ema),
            root=tmp_path / "sessions",
        )
    assert not (tmp_path / "sessions").exists()
