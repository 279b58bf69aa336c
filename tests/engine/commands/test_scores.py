"""`qood-tui scores`: files in, files out."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from engine.commands import scores
from engine.errors import InputError
from engine.scores import scorers
from tests.commands import engine
from tests.engine.scores.arrays import FIT_OUTPUTS, HEAD, LABELS, OUTPUTS


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    return engine("scores", *arguments)


def test_the_command_writes_what_it_can_and_says_what_it_left_out(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", logits=OUTPUTS.logits.numpy(), features=OUTPUTS.features.numpy())
    done = call(str(tmp_path / "in.npz"), "-o", str(tmp_path / "out.npz"))
    assert done.returncode == 0 and "left out, because arrays are missing" in done.stderr
    with np.load(tmp_path / "out.npz") as found:
        assert {"msp", "energy", "gen", "gen_all", "margin"} <= set(found.files) and "vim" not in found.files
        assert found["msp"].dtype == np.float64
        np.testing.assert_array_equal(found["energy"], scorers.scorer("energy")(OUTPUTS).numpy())
    refused = call(str(tmp_path / "in.npz"), "-o", str(tmp_path / "o.npz"), "--score", "vim")
    assert refused.returncode == 2 and "fit_features" in refused.stderr
    listed = call("--list")
    assert "k = 50" in listed.stdout and "dimensions" in listed.stdout


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"logits": np.zeros(3)}, "2 dimensions"),
        ({"logits": np.array([[1.0, np.nan]])}, r"first is at \(0, 1\)"),
        ({"features": np.zeros((4, 3))}, "must be equal"),
        ({"fit_labels": np.array([9])}, "labels from 0 to 1"),
    ],
)
def test_wrong_arrays_are_refused_by_name(tmp_path: Path, change: dict[str, np.ndarray], words: str) -> None:
    given = {"logits": np.zeros((1, 2)), **change}
    np.savez(tmp_path / "in.npz", **given)
    with pytest.raises(InputError, match=words) as caught:
        scores.read(tmp_path / "in.npz")
    assert caught.value.field == next(iter(change))


@pytest.mark.parametrize("content", ["npy", "text", "big-endian", "member", "pickled", "narrow"])
def test_files_of_any_kind_are_read_or_refused_without_a_traceback(tmp_path: Path, content: str) -> None:
    path, out = tmp_path / "in.npz", tmp_path / "out.npz"
    out.write_bytes(b"precious")
    match content:
        case "npy":
            with path.open("wb") as file:
                np.save(file, np.zeros((3, 4)))
        case "text":
            path.write_text("hello")
        case "big-endian":
            np.savez(path, logits=np.zeros((3, 4), ">f4"))
        case "member":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("logits.npy", b"hello")
        case "pickled":
            np.savez(path, logits=np.array([[object()]]))
        case "narrow":
            np.savez(path, logits=np.zeros((3, 1)))
    done = call(str(path), "-o", str(out), "--score", "margin")
    assert "Traceback" not in done.stderr and len(done.stderr.strip().splitlines()) <= 3
    if content == "big-endian":
        assert done.returncode == 0
    else:
        assert done.returncode == 2 and out.read_bytes() == b"precious", done.stderr


def test_another_package_can_offer_scores(tmp_path: Path) -> None:
    (tmp_path / "theirs.py").write_text(
        "def smallest(logits, power=1.0):\n"
        "    return logits.double().amin(1) ** power\n"
        "def spread(fit):\n"
        "    mean = fit.features().mean(0)\n"
        "    return lambda outputs: (outputs.wide() - mean).abs().sum(1)\n"
    )
    about = tmp_path / "theirs-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[qood_tui.scores]\nsmallest = theirs:smallest\n[qood_tui.fitted_scores]\nspread = theirs:spread\n"
    )
    np.savez(
        tmp_path / "in.npz",
        logits=OUTPUTS.logits.numpy(),
        features=OUTPUTS.features.numpy(),
        weight=HEAD.weight.numpy(),
        bias=HEAD.bias.numpy(),
        fit_features=FIT_OUTPUTS.features.numpy(),
        fit_labels=LABELS.numpy(),
    )
    command = [sys.executable, "-m", "qood_tui", "scores"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    listed = subprocess.run([*command, "--list"], capture_output=True, text=True, env=environment)
    assert "smallest" in listed.stdout and "power = 1.0" in listed.stdout
    given = [str(tmp_path / "in.npz"), "-o", str(tmp_path / "out.npz"), "--score", "smallest,spread"]
    done = subprocess.run([*command, *given], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "out.npz") as found:
        np.testing.assert_allclose(found["smallest"], OUTPUTS.logits.double().amin(1).numpy())
        assert found["spread"].shape == (90,)
