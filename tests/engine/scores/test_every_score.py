"""One tester for all scores of the catalog: what they are, and what every score promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from engine import catalog
from engine.commands import scores
from engine.scores import scorers
from engine.scores.outputs import Outputs, Scorer
from tests.engine.scores.arrays import ARRAYS, CLASSES, FIT, HEAD, IMAGES, OUTPUTS, WIDTH
from tests.engine.scores.references import EXACT, LIBRARY, TOLERANCE, PytorchOOD

NAMES = sorted(catalog.SCORES)


def fitted(text: str) -> Scorer:
    name, parameters = scorers.parse(text)
    return scorers.scorer(name, FIT, parameters)


def of_features(features: torch.Tensor) -> Outputs:
    return Outputs(HEAD.logits(features), features)


@pytest.fixture(scope="module")
def library() -> PytorchOOD:
    return PytorchOOD(ARRAYS)


@pytest.mark.parametrize("name", NAMES)
class TestEveryScore:
    def test_has_a_reference(self, name: str) -> None:
        assert name in EXACT

    def test_is_one_float64_number_per_image_and_changes_nothing(self, name: str) -> None:
        logits, features = OUTPUTS.logits.clone(), OUTPUTS.wide().clone()
        found = fitted(name)(OUTPUTS)
        assert found.dtype is torch.float64 and found.shape == (IMAGES,)
        assert torch.isfinite(found).all() and len(found.unique()) > IMAGES / 2
        assert torch.equal(OUTPUTS.logits, logits) and torch.equal(OUTPUTS.wide(), features)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_is_computed_in_float64_whatever_it_is_given(self, name: str, dtype: torch.dtype) -> None:
        narrow = Outputs(OUTPUTS.logits.to(dtype), OUTPUTS.wide().to(dtype))
        wide = Outputs(narrow.logits.double(), narrow.wide())
        score = fitted(name)
        found = score(narrow)
        assert found.dtype is torch.float64
        torch.testing.assert_close(found, score(wide), rtol=1e-12, atol=1e-12)

    def test_of_an_image_does_not_depend_on_its_neighbours(self, name: str) -> None:
        score = fitted(name)
        whole = score(OUTPUTS)
        order = torch.randperm(IMAGES, generator=torch.Generator().manual_seed(0))
        for rows in (torch.arange(10, 20), torch.tensor([3]), torch.tensor([5, 5, 5]), order):
            some = score(Outputs(OUTPUTS.logits[rows], OUTPUTS.wide()[rows]))
            torch.testing.assert_close(some, whole[rows], rtol=1e-9, atol=1e-9)

    def test_of_no_images_is_no_number(self, name: str) -> None:
        assert fitted(name)(Outputs(OUTPUTS.logits[:0], OUTPUTS.wide()[:0])).shape == (0,)

    @pytest.mark.parametrize("constant", [0.0, 1.0, -2.5])
    def test_of_constant_features_is_finite_and_equal(self, name: str, constant: float) -> None:
        found = fitted(name)(of_features(torch.full((4, WIDTH), constant)))
        assert torch.isfinite(found).all()
        torch.testing.assert_close(found, found[:1].expand(4), rtol=1e-9, atol=1e-9)

    def test_of_equal_logits_is_finite(self, name: str) -> None:
        assert torch.isfinite(fitted(name)(Outputs(torch.zeros(IMAGES, CLASSES), OUTPUTS.wide()))).all()

    @pytest.mark.parametrize("factor", [1e-6, 1e6])
    def test_of_very_small_and_very_large_features_is_finite(self, name: str, factor: float) -> None:
        assert torch.isfinite(fitted(name)(of_features(OUTPUTS.wide() * factor))).all()

    def test_of_a_diverged_image_is_nan_and_of_the_others_as_before(self, name: str) -> None:
        """A number that is NaN must reach whoever reports it, and not be ranked as a finite one."""
        score, (logits, features) = fitted(name), (OUTPUTS.logits.clone(), OUTPUTS.wide().clone())
        logits[4], features[4] = torch.nan, torch.nan
        found = score(Outputs(logits, features))
        others = torch.arange(IMAGES) != 4
        assert torch.isnan(found[4])
        torch.testing.assert_close(found[others], score(OUTPUTS)[others], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("text", EXACT)
def test_a_score_is_its_formula_written_a_second_time(text: str) -> None:
    expected = EXACT[text](ARRAYS)
    np.testing.assert_allclose(fitted(text)(OUTPUTS).numpy(), expected, rtol=TOLERANCE.get(text, 1e-9))


@pytest.mark.parametrize("text", LIBRARY)
def test_a_score_ranks_as_pytorch_ood_does(library: PytorchOOD, text: str) -> None:
    assert spearmanr(fitted(text)(OUTPUTS).numpy(), LIBRARY[text](library))[0] > 0.999999


# Recorded values of OpenOOD and of the formulas in float64. Asked for: after `val`, fitted on that part.
RECORDED_EXACTLY = {
    "msp": "ref64__msp_conf",
    "maxlogit": "ref64__maxlogit_conf",
    "energy": "ref64__energy_conf_T1",
    "entropy": "ref64__entropy",
    "gen": "ref64__gen_conf_g0.1_M100_sum_noclamp",
}
RECORDED_RANKS = {
    "energy:temperature=10": "openood__ebo_T10",
    "mahalanobis": "openood__mds",
    "relative_mahalanobis": "openood__rmds",
    "knn": "openood__knn_K50",
    "vim": "openood__vim_dim16",
    "ash_b": "openood__ash_b_p65",
    "scale": "openood__scale_p85",
    "she": "openood__she_inner",
    "fdbd": "openood__fdbd_dist",
    "nnguide:k=100": "openood__nnguide_K100_alpha1",
    "nci": "openood__nci_a1e-4",
    "val react": "openood__react_p90",
    "val react:share=0.99": "openood__react_p99",
    "val residual": "openood__residual_dim16_fit_on_val",
}


class Recorded:
    """Arrays and what OpenOOD gave on them."""

    def __init__(self, folder: Path) -> None:
        with np.load(folder / "c10_d32_signed_inputs.npz") as file:
            self.inputs = {name: torch.from_numpy(file[name].astype("f4")) for name in file.files}
        with np.load(folder / "c10_d32_signed_scores.npz") as file:
            self.expected = {name: file[name].astype("f8") for name in file.files}
            self.inputs["logits"] = torch.from_numpy(file["logits"])

    def score(self, asked: str) -> np.ndarray:  # type: ignore[type-arg]
        part, _, text = asked.rpartition(" ")
        part, given = part or "train", self.inputs
        arrays = {
            "logits": given["logits"],
            "features": torch.cat([given["id"], given["ood"]]),
            "weight": given["W"],
            "bias": given["b"],
            "fit_features": given[part],
            "fit_labels": given[f"y{part}"].long(),
        }
        name, parameters = scorers.parse(text)
        return scores.compute(arrays, [(name, parameters)])[0][name]


@pytest.fixture(scope="module")
def recorded_scores(reference: Path) -> Recorded:
    return Recorded(reference / "scores")


@pytest.mark.parametrize(("name", "expected"), RECORDED_EXACTLY.items())
def test_logit_scores_equal_the_recorded_float64_values(
    recorded_scores: Recorded, name: str, expected: str
) -> None:
    sign = -1 if "_conf" in expected else 1
    found = recorded_scores.score(name)
    np.testing.assert_allclose(found, sign * recorded_scores.expected[expected], rtol=0, atol=1e-9)


@pytest.mark.parametrize(("asked", "expected"), RECORDED_RANKS.items())
def test_a_score_ranks_as_openood_does(recorded_scores: Recorded, asked: str, expected: str) -> None:
    found = recorded_scores.score(asked)
    assert spearmanr(found, -recorded_scores.expected[expected])[0] > 0.999999


def test_kl_matching_is_openoods_as_far_as_its_float32_goes(recorded_scores: Recorded) -> None:
    found = recorded_scores.score("val klm")
    np.testing.assert_allclose(found, -recorded_scores.expected["openood__klm"], atol=1e-5)
