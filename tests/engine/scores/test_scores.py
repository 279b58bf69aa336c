"""What scores promise by themselves: definitions computed a second way, refusals, the command."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from engine import catalog
from engine.errors import InputError, ScoreError
from engine.scores import scorers
from engine.scores.fitted_logits import best_temperature
from engine.scores.outputs import FitSet, Head, Outputs

CLASSES, WIDTH = 7, 12


def made(n: int, seed: int) -> tuple[Outputs, torch.Tensor, Head]:
    random = torch.Generator().manual_seed(seed)
    head = Head(
        torch.randn(CLASSES, WIDTH, generator=torch.Generator().manual_seed(0)), torch.zeros(CLASSES) + 0.1
    )
    features = torch.randn(n, WIDTH, generator=random)
    logits = head.logits(features).float()
    labels = torch.randint(0, CLASSES, (n,), generator=random)
    agree = torch.rand(n, generator=random) < 0.7
    return Outputs(logits, features), torch.where(agree, logits.argmax(1), labels), head


OUTPUTS, LABELS, HEAD = made(300, 1)
FIT = FitSet(OUTPUTS, LABELS, HEAD)
OTHERS = made(90, 2)[0]


@pytest.mark.parametrize("name", sorted(catalog.SCORES))
def test_every_score_is_finite_and_each_image_stands_for_itself(name: str) -> None:
    score = scorers.scorer(name, FIT)
    found = score(OTHERS)
    assert found.dtype is torch.float64 and found.shape == (90,)
    assert torch.isfinite(found).all()
    assert OTHERS.features is not None
    some = score(Outputs(OTHERS.logits[10:20], OTHERS.features[10:20]))
    torch.testing.assert_close(some, found[10:20], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", sorted(catalog.SCORES))
def test_no_score_changes_what_it_is_given(name: str) -> None:
    before = OTHERS.logits.clone(), OTHERS.features.clone()
    scorers.scorer(name, FIT)(OTHERS)
    assert torch.equal(OTHERS.logits, before[0]) and torch.equal(OTHERS.features, before[1])


def test_mahalanobis_is_the_textbook_formula() -> None:
    x, wide = OTHERS.features.double(), OUTPUTS.features.double()
    means = torch.stack([wide[k == LABELS].mean(0) for k in range(CLASSES)])
    centred = wide - means[LABELS]
    inverse = torch.linalg.inv(centred.T @ centred / len(wide))
    difference = x[:, None] - means
    expected = torch.einsum("nkd,de,nke->nk", difference, inverse, difference).amin(1)
    torch.testing.assert_close(scorers.scorer("mahalanobis", FIT)(OTHERS), expected)


def test_a_width_that_never_varies_does_not_break_mahalanobis() -> None:
    flat = OUTPUTS.features.clone()
    flat[:, 3] = 1.5
    score = scorers.scorer("mahalanobis", FitSet(Outputs(OUTPUTS.logits, flat), LABELS, HEAD))
    assert torch.isfinite(score(OTHERS)).all()


def test_the_temperature_is_that_of_a_general_minimiser() -> None:
    logits = OUTPUTS.logits.double() * 3

    def loss(log_t: float) -> float:
        return float(torch.nn.functional.cross_entropy(logits / np.exp(log_t), LABELS))

    expected = np.exp(minimize_scalar(loss, bounds=(-5, 5), method="bounded", options={"xatol": 1e-10}).x)
    assert best_temperature(logits, LABELS) == pytest.approx(expected, rel=1e-5)


def test_saturated_logits_keep_their_order_in_float64() -> None:
    logits = torch.zeros(3, 5)
    logits[:, 0] = torch.tensor([20.0, 25.0, 30.0])
    for name in ("msp", "entropy", "margin", "energy", "klm"):
        found = scorers.scorer(name, FitSet(Outputs(logits)))(Outputs(logits))
        if name != "klm":
            assert (torch.diff(found) < 0).all(), name


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("vim", {"dimensions": WIDTH}, "leave nothing"),
        ("residual", {"dimensions": 0}, "leave nothing"),
        ("knn", {"k": 301}, "there are 300"),
        ("nnguide", {"k": 0}, "k = 0"),
        ("ash_s", {"share": 1.0}, "less than 1"),
        ("react", {"judge": "luck"}, "energy, maxlogit"),
    ],
)
def test_what_cannot_be_is_refused_by_name(name: str, parameters: dict[str, object], words: str) -> None:
    with pytest.raises(ScoreError, match=words) as caught:
        scorers.scorer(name, FIT, parameters)(OTHERS)
    assert words in str(caught.value)


def test_half_the_width_is_vims_default() -> None:
    default = scorers.scorer("vim", FIT)(OTHERS)
    torch.testing.assert_close(default, scorers.scorer("vim", FIT, {"dimensions": WIDTH // 2})(OTHERS))


def test_names_and_parameters_are_read_or_refused() -> None:
    assert scorers.parse("knn:k=10") == ("knn", {"k": 10})
    assert scorers.parse("react:share=0.99:judge=maxlogit") == ("react", {"share": 0.99, "judge": "maxlogit"})
    for text, words in (("mps", "msp"), ("knn:n=3", "choose from k"), ("knn:k=x", "int")):
        with pytest.raises(InputError, match=words):
            scorers.parse(text)


def test_scores_for_features_that_are_never_negative_warn_on_others() -> None:
    assert "negative" in scorers.warnings("ash_s", OTHERS)[0]
    assert scorers.warnings("ash_s", Outputs(OTHERS.logits, OTHERS.features.abs())) == []
    assert scorers.warnings("vim", OTHERS) == []


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "qood_tui", "scores", *arguments], capture_output=True, text=True
    )


def test_the_command_writes_what_it_can_and_says_what_it_left_out(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", logits=OTHERS.logits.numpy(), features=OTHERS.features.numpy())
    done = call(str(tmp_path / "in.npz"), "-o", str(tmp_path / "out.npz"))
    assert done.returncode == 0 and "left out, because arrays are missing" in done.stderr
    with np.load(tmp_path / "out.npz") as found:
        assert {"msp", "energy", "gen", "gen_all", "margin"} <= set(found.files) and "vim" not in found.files
        assert found["msp"].dtype == np.float64
        np.testing.assert_array_equal(found["energy"], scorers.scorer("energy")(OTHERS).numpy())
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
    from engine.commands import scores

    given = {"logits": np.zeros((1, 2)), **change}
    np.savez(tmp_path / "in.npz", **given)
    with pytest.raises(InputError, match=words) as caught:
        scores.read(tmp_path / "in.npz")
    assert caught.value.field == next(iter(change))


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
        logits=OTHERS.logits.numpy(),
        features=OTHERS.features.numpy(),
        weight=HEAD.weight.numpy(),
        bias=HEAD.bias.numpy(),
        fit_features=OUTPUTS.features.numpy(),
        fit_labels=LABELS.numpy(),
    )
    scores = [sys.executable, "-m", "qood_tui", "scores"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    listed = subprocess.run([*scores, "--list"], capture_output=True, text=True, env=environment)
    assert "smallest" in listed.stdout and "power = 1.0" in listed.stdout
    given = [str(tmp_path / "in.npz"), "-o", str(tmp_path / "out.npz"), "--score", "smallest,spread"]
    done = subprocess.run([*scores, *given], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "out.npz") as found:
        np.testing.assert_allclose(found["smallest"], OTHERS.logits.double().amin(1).numpy())
        assert found["spread"].shape == (90,)


def test_a_temperature_that_does_not_exist_is_refused() -> None:
    logits = torch.randn(200, 6, generator=torch.Generator().manual_seed(3))
    for labels, words in ((logits.argmax(1), "every fit image"), (logits.argmin(1), "no better than chance")):
        with pytest.raises(ScoreError, match=words):
            scorers.scorer("msp_temperature", FitSet(Outputs(logits), labels))
    labels = torch.where(torch.arange(200) % 5 == 0, logits.argmin(1), logits.argmax(1))
    small = best_temperature(logits, labels)
    assert best_temperature(logits * 1e4, labels) == pytest.approx(small * 1e4, rel=1e-6)


@pytest.mark.parametrize(
    "text", ["energy:temperature=0", "energy:temperature=nan", "gen:gamma=-1", "gen:top=0", "nci:alpha=inf"]
)
def test_parameters_without_a_meaning_are_refused(text: str) -> None:
    name, parameters = scorers.parse(text)
    with pytest.raises(ScoreError, match=name):
        scorers.scorer(name, FIT, parameters)


def test_a_fit_set_that_diverged_or_says_nothing_is_refused_by_name() -> None:
    bad = OUTPUTS.features.clone()
    bad[3, 2] = torch.nan
    with pytest.raises(ScoreError, match="vim: the fit set"):
        scorers.scorer("vim", FitSet(Outputs(OUTPUTS.logits, bad), LABELS, HEAD))
    one_each = FitSet(Outputs(OUTPUTS.logits[:7], OUTPUTS.features[:7]), torch.arange(7), HEAD)
    with pytest.raises(ScoreError, match="mahalanobis: no fit image differs"):
        scorers.scorer("mahalanobis", one_each)


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


def test_more_neighbours_than_a_class_has_images_are_warned_of() -> None:
    assert "reach beyond the 43 fit images" in scorers.warnings("knn", OTHERS, FIT)[0]
    assert scorers.warnings("knn", OTHERS, FIT, 10) == []
