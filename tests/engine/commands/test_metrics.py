from __future__ import annotations

import json
import re
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from tests.commands import engine


def call(*arguments: str) -> CompletedProcess[str]:
    return engine("metrics", *arguments)


def test_every_reference_case_through_the_command(reference: Path, tmp_path: Path) -> None:
    expected = json.loads((reference / "metrics" / "expected.json").read_text())
    for case in ("ties_5levels", "constant", "inf_ok", "tiny_1_1"):
        with np.load(reference / "metrics" / f"{case}.npz") as pair:
            np.save(tmp_path / "id.npy", pair["id_confidence"])
            np.save(tmp_path / "ood.npy", pair["ood_confidence"])
        given = ("--id", str(tmp_path / "id.npy"), "--ood", f"a set={tmp_path / 'ood.npy'}")
        done = call(*given, "--confidence", "--json")
        assert done.returncode == 0, done.stderr
        (found,) = json.loads(done.stdout)["sets"]
        assert found["name"] == "a set"
        for name, value in expected[case].items():
            assert found[name] == pytest.approx(value, abs=1e-9), (case, name)
        assert found["auroc_ci"][0] <= found["auroc"] <= found["auroc_ci"][1]


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        (np.array([1.0, np.nan, np.nan]), "far: .*2 of 3 scores are NaN, the first at index 1"),
        (np.array([]), "far: .*empty"),
        (np.zeros((2, 2)), "far: .*one dimension"),
        (np.array(["a"]), "far: .*one dimension"),
    ],
)
def test_what_cannot_be_measured_is_refused_by_set(tmp_path: Path, scores: np.ndarray, words: str) -> None:
    np.save(tmp_path / "id.npy", np.arange(5.0))
    np.save(tmp_path / "far.npy", scores)
    done = call("--id", str(tmp_path / "id.npy"), "--ood", f"far={tmp_path / 'far.npy'}")
    assert done.returncode == 2
    assert re.search(words, done.stderr), done.stderr


def test_the_table_warns_of_ties_and_equal_scores(tmp_path: Path) -> None:
    np.save(tmp_path / "id.npy", np.zeros(1000))
    np.save(tmp_path / "ood.npy", np.zeros(600))
    done = call("--id", str(tmp_path / "id.npy"), "--ood", f"x={tmp_path / 'ood.npy'}")
    assert done.returncode == 0 and "all scores are equal" in done.stdout
    assert "0.5000" in done.stdout and "0.3750" in done.stdout


def scores_of(seed: int, count: int, shift: float) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1, count)


def test_what_scores_writes_is_read_by_name(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    outputs = {"id": random.normal(0, 2, (90, 7)), "far": random.normal(0, 1, (60, 7))}
    for name, logits in outputs.items():
        np.savez(tmp_path / f"{name}-logits.npz", logits=logits.astype(np.float32))
        files = (str(tmp_path / f"{name}-logits.npz"), "-o", str(tmp_path / f"{name}.npz"))
        assert engine("scores", *files, "--score", "msp,energy").returncode == 0
    given = ("--id", str(tmp_path / "id.npz"), "--ood", f"far={tmp_path / 'far.npz'}", "--json")
    found = json.loads(call(*given).stdout)["sets"]
    assert [(one["name"], one["score"]) for one in found] == [("far", "msp"), ("far", "energy")]
    for one in found:
        with np.load(tmp_path / "id.npz") as known, np.load(tmp_path / "far.npz") as far:
            scores = np.concatenate([known[one["score"]], far[one["score"]]])
        assert one["auroc"] == pytest.approx(roc_auc_score([0] * 90 + [1] * 60, scores), abs=1e-12)
    (only,) = json.loads(call(*given, "--score", "energy").stdout)["sets"]
    assert only == found[1]
    table = call(*given[:-1], "--score", "energy").stdout
    assert "far energy" in table
    refused = call(*given, "--score", "vim")
    assert refused.returncode == 2 and "id.npz has msp, energy" in refused.stderr


def test_what_openood_leaves_is_confidence_and_read_as_such(tmp_path: Path) -> None:
    conf = {"imagenet": scores_of(1, 80, 1.0), "ninco": scores_of(2, 50, 0.0)}
    for name, values in conf.items():
        labels = np.zeros(len(values), np.int64)
        np.savez(tmp_path / f"{name}.npz", pred=labels, conf=values.astype(np.float32)[:, None], label=labels)
    for more in ((), ("--confidence",)):
        done = call(
            "--id", str(tmp_path / "imagenet.npz"), "--ood", f"n={tmp_path / 'ninco.npz'}", "--json", *more
        )
        (found,) = json.loads(done.stdout)["sets"]
        both = -np.concatenate(list(conf.values())).astype(np.float32)
        assert found["auroc"] == pytest.approx(roc_auc_score([0] * 80 + [1] * 50, both), abs=1e-12)
        assert found["auroc"] > 0.6 and "is negated" in done.stderr


def test_forms_of_arrays_that_programs_leave_are_the_same_scores(tmp_path: Path) -> None:
    known, far = scores_of(3, 40, 0.0).astype(np.float16), scores_of(4, 30, 1.0).astype(np.float16)
    np.save(tmp_path / "id.npy", known)
    np.savez(tmp_path / "id.npz", msp=known[:, None])
    np.savez_compressed(tmp_path / "far.npz", arr_0=far.astype(">f4"))
    np.save(tmp_path / "far.npy", far)
    expected = roc_auc_score([0] * 40 + [1] * 30, np.concatenate([known, far]))
    for of_id, of_ood in (("id.npy", "far.npz"), ("id.npz", "far.npy"), ("id.npz", "far.npz")):
        done = call("--id", str(tmp_path / of_id), "--ood", f"far={tmp_path / of_ood}", "--json")
        (found,) = json.loads(done.stdout)["sets"]
        assert found["auroc"] == pytest.approx(expected, abs=1e-12)


def test_scores_of_different_names_are_told_apart(tmp_path: Path) -> None:
    known, far = scores_of(3, 40, 0.0), scores_of(4, 30, 1.0)
    np.savez(tmp_path / "id.npz", msp=known, energy=known)
    np.savez(tmp_path / "far.npz", vim=far, knn=far)
    done = call("--id", str(tmp_path / "id.npz"), "--ood", f"far={tmp_path / 'far.npz'}")
    assert done.returncode == 2 and "far.npz has vim, knn" in done.stderr
    np.savez(tmp_path / "one.npz", energy=far)
    np.savez(tmp_path / "other.npz", knn=known)
    done = call("--id", str(tmp_path / "other.npz"), "--ood", f"far={tmp_path / 'one.npz'}")
    assert done.returncode == 2 and "one.npz has energy" in done.stderr
    np.save(tmp_path / "plain.npy", far)
    done = call("--id", str(tmp_path / "id.npz"), "--ood", f"far={tmp_path / 'plain.npy'}")
    assert done.returncode == 2 and "--score msp" in done.stderr
    np.savez(tmp_path / "broken.npz", a=np.array({"x": 1}, object), b=known)
    done = call("--id", str(tmp_path / "broken.npz"), "--ood", f"far={tmp_path / 'far.npz'}")
    assert done.returncode == 2 and "Traceback" not in done.stderr
