"""Scores by name: parameters, refusals and warnings."""

from __future__ import annotations

import pytest
import torch

from engine.errors import InputError, ScoreError
from engine.scores import scorers
from engine.scores.outputs import FitSet, Outputs
from tests.engine.scores.arrays import FIT, FIT_OUTPUTS, HEAD, LABELS, OUTPUTS, WIDTH


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
        scorers.scorer(name, FIT, parameters)(OUTPUTS)
    assert name in str(caught.value)


@pytest.mark.parametrize(
    "text", ["energy:temperature=0", "energy:temperature=nan", "gen:gamma=-1", "gen:top=0", "nci:alpha=inf"]
)
def test_parameters_without_a_meaning_are_refused(text: str) -> None:
    name, parameters = scorers.parse(text)
    with pytest.raises(ScoreError, match=name):
        scorers.scorer(name, FIT, parameters)


def test_names_and_parameters_are_read_or_refused() -> None:
    assert scorers.parse("knn:k=10") == ("knn", {"k": 10})
    assert scorers.parse("react:share=0.99:judge=maxlogit") == ("react", {"share": 0.99, "judge": "maxlogit"})
    for text, words in (("mps", "msp"), ("knn:n=3", "choose from k"), ("knn:k=x", "int")):
        with pytest.raises(InputError, match=words):
            scorers.parse(text)


def test_a_fit_set_that_diverged_or_says_nothing_is_refused_by_name() -> None:
    diverged = FIT_OUTPUTS.wide().clone()
    diverged[3, 2] = torch.nan
    with pytest.raises(ScoreError, match="vim: the fit set"):
        scorers.scorer("vim", FitSet(Outputs(FIT_OUTPUTS.logits, diverged), LABELS, HEAD))
    one_each = FitSet(Outputs(FIT_OUTPUTS.logits[:7], FIT_OUTPUTS.wide()[:7]), torch.arange(7), HEAD)
    with pytest.raises(ScoreError, match="mahalanobis: no fit image differs"):
        scorers.scorer("mahalanobis", one_each)


def test_a_width_that_never_varies_does_not_break_mahalanobis() -> None:
    flat = FIT_OUTPUTS.wide().clone()
    flat[:, 3] = 1.5
    score = scorers.scorer("mahalanobis", FitSet(Outputs(FIT_OUTPUTS.logits, flat), LABELS, HEAD))
    assert torch.isfinite(score(OUTPUTS)).all()


def test_saturated_logits_keep_their_order() -> None:
    logits = torch.zeros(3, 5)
    logits[:, 0] = torch.tensor([20.0, 25.0, 30.0])
    for name in ("msp", "entropy", "margin", "energy"):
        found = scorers.scorer(name)(Outputs(logits))
        assert (torch.diff(found) < 0).all(), name
    scorers.scorer("klm", FitSet(Outputs(logits)))(Outputs(logits))


def test_half_the_width_is_vims_default() -> None:
    default = scorers.scorer("vim", FIT)(OUTPUTS)
    torch.testing.assert_close(default, scorers.scorer("vim", FIT, {"dimensions": WIDTH // 2})(OUTPUTS))


def test_scores_for_features_that_are_never_negative_warn_on_others() -> None:
    assert "negative" in scorers.warnings("ash_s", OUTPUTS)[0]
    assert scorers.warnings("ash_s", Outputs(OUTPUTS.logits, OUTPUTS.wide().abs())) == []
    assert scorers.warnings("vim", OUTPUTS) == []


def test_more_neighbours_than_a_class_has_images_are_warned_of() -> None:
    assert "reach beyond the 43 fit images" in scorers.warnings("knn", OUTPUTS, FIT)[0]
    assert scorers.warnings("knn", OUTPUTS, FIT, 10) == []
