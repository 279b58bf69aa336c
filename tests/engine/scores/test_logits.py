from __future__ import annotations

import numpy as np
import torch

from engine.scores.logits import brier, msp, negative_log_likelihood, rank_of_label

LOGITS = torch.from_numpy(np.random.default_rng(0).normal(0, 5, (200, 30)).astype(np.float32))


def test_a_half_precision_model_keeps_distinct_scores() -> None:
    logits = LOGITS.bfloat16() * 2
    assert msp(logits).dtype == torch.float64
    assert len(torch.unique(msp(logits))) > len(torch.unique(torch.softmax(logits, 1).amax(1)))


def test_negative_log_likelihood_needs_a_label() -> None:
    labels = torch.randint(0, 30, (200,))
    labels[::3] = -1
    found = negative_log_likelihood(LOGITS, labels)
    expected = torch.nn.functional.cross_entropy(LOGITS.double(), labels.clamp(min=0), reduction="none")
    assert torch.isnan(found[::3]).all()
    torch.testing.assert_close(found[labels >= 0], expected[labels >= 0])


def test_rank_zero_is_argmax_and_ties_go_by_index() -> None:
    labels = torch.randint(0, 30, (200,))
    rank = rank_of_label(LOGITS, labels)
    assert torch.equal(rank == 0, LOGITS.argmax(1) == labels)
    top5 = (LOGITS.topk(5).indices == labels[:, None]).any(1)
    assert torch.equal(rank < 5, top5)
    flat = torch.zeros(3, 4)
    assert rank_of_label(flat, torch.tensor([0, 2, -1])).tolist() == [0, 2, -1]


def test_a_diverged_model_is_never_right() -> None:
    broken = torch.full((2, 10), torch.nan)
    assert rank_of_label(broken, torch.tensor([0, 3])).tolist() == [10, 10]
    assert torch.isnan(msp(broken)).all()


def test_brier_is_the_squared_distance_from_the_one_hot_label() -> None:
    labels = torch.randint(0, 30, (200,))
    one_hot = torch.nn.functional.one_hot(labels, 30)
    expected = (LOGITS.double().softmax(1) - one_hot).square().sum(1)
    torch.testing.assert_close(brier(LOGITS, labels), expected)
    assert torch.isnan(brier(LOGITS, torch.full((200,), -1))).all()
