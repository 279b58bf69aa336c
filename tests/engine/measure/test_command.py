from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from engine.measure.detection import detection


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "qood_tui", "metrics", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


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
    import re

    assert re.search(words, done.stderr), done.stderr


def test_the_table_warns_of_ties_and_equal_scores(tmp_path: Path) -> None:
    np.save(tmp_path / "id.npy", np.zeros(1000))
    np.save(tmp_path / "ood.npy", np.zeros(600))
    done = call("--id", str(tmp_path / "id.npy"), "--ood", f"x={tmp_path / 'ood.npy'}")
    assert done.returncode == 0 and "all scores are equal" in done.stdout
    assert "0.5000" in done.stdout and "0.3750" in done.stdout


def test_partial_auroc_is_scikit_learns_and_detection_error_the_least() -> None:
    random = np.random.default_rng(0)
    for levels in (None, 8):
        id_scores, ood_scores = random.normal(0, 1, 500), random.normal(1.5, 1, 200)
        if levels:
            id_scores, ood_scores = np.round(id_scores), np.round(ood_scores)
        is_ood = np.r_[np.zeros(500), np.ones(200)]
        expected = roc_auc_score(is_ood, np.r_[id_scores, ood_scores], max_fpr=0.05)
        assert detection(id_scores, ood_scores).partial_auroc == pytest.approx(expected, abs=1e-12)
        thresholds = np.unique(np.r_[id_scores, ood_scores, np.inf])
        errors = [((id_scores >= t).mean() + (ood_scores < t).mean()) / 2 for t in thresholds]
        assert detection(id_scores, ood_scores).detection_error == pytest.approx(min(errors), abs=1e-12)
