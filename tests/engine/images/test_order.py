"""The order of a sweep: seeded, balanced, every set equally far along."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.images import order


@given(st.lists(st.integers(1, 200), min_size=1, max_size=6))
def test_every_set_is_equally_far_along_at_every_row(sizes: list[int]) -> None:
    which, place = order.interleave(sizes)
    assert len(which) == sum(sizes)
    for rows in range(1, len(which) + 1, max(1, len(which) // 20)):
        for i, size in enumerate(sizes):
            seen = int((which[:rows] == i).sum())
            assert abs(seen - size * rows / len(which)) <= 1.0 + len(sizes)
    for i in range(len(sizes)):
        np.testing.assert_array_equal(place[which == i], np.arange(sizes[i]))


@given(st.integers(1, 100), st.integers(0, 5))
def test_a_smaller_subset_is_a_balanced_prefix_of_a_larger_one(count: int, seed: int) -> None:
    labels = np.repeat(np.arange(10), 20)
    larger = order.draw(labels, 100, seed)
    np.testing.assert_array_equal(order.draw(labels, count, seed), larger[:count])
    share = np.bincount(labels[larger[:count]], minlength=10)
    assert share.max() - share.min() <= 1
    assert len(set(larger.tolist())) == 100


def test_images_of_no_class_are_shuffled_by_the_seed_alone() -> None:
    unlabelled = np.full(50, -1)
    drawn = order.draw(unlabelled, 50, 3)
    assert sorted(drawn.tolist()) == list(range(50)) and drawn.tolist() != list(range(50))
    np.testing.assert_array_equal(order.draw(unlabelled, 20, 3), drawn[:20])
    assert order.draw(unlabelled, 50, 4).tolist() != drawn.tolist()


@given(st.integers(1, 12), st.integers(1, 40))
def test_a_tenth_of_every_label_is_held_out_whatever_the_plan(classes: int, each: int) -> None:
    labels = np.tile(np.arange(classes), each)
    evaluated, held_out = order.hold_out(labels)
    assert sorted([*evaluated, *held_out]) == list(range(len(labels)))
    assert len(held_out) == round(len(labels) / 10)
    counts = np.bincount(labels[held_out], minlength=classes)
    assert counts.max() - counts.min() <= 1
