from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from engine.measure.significance import holm, mcnemar, sequential_reach, two_sided


def right(only_one: int, only_other: int, both: int) -> tuple[np.ndarray, np.ndarray]:
    one = np.r_[np.ones(only_one), np.zeros(only_other), np.ones(both)].astype(bool)
    other = np.r_[np.zeros(only_one), np.ones(only_other), np.ones(both)].astype(bool)
    return one, other


@pytest.mark.parametrize(("b", "c"), [(0, 0), (3, 9), (9, 3), (5, 5), (40, 10), (0, 1)])
def test_mcnemar_is_the_exact_binomial_test(b: int, c: int) -> None:
    expected = binomtest(b, b + c).pvalue if b + c else 1.0
    assert mcnemar(*right(b, c, 20)) == pytest.approx(expected)


def test_mcnemar_hardly_changes_where_it_stops_being_exact() -> None:
    assert mcnemar(*right(470, 530, 0)) == pytest.approx(mcnemar(*right(470, 531, 0)), rel=0.1)


def test_holm_is_the_textbook_example_and_never_below_the_raw_value() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == [] and holm([0.9, 0.8]) == [1.0, 1.0]


def test_two_sided_p_values() -> None:
    assert two_sided(1.959964, 1) == pytest.approx(0.05, abs=1e-6)
    assert two_sided(0, 0) == 1 and two_sided(0.1, 0) == 0


def test_sequential_intervals_reach_farther_and_least_where_planned() -> None:
    reach = [sequential_reach(n, 10_000) for n in (500, 2000, 10_000, 100_000)]
    assert min(reach) == reach[2] == pytest.approx(3.03, abs=0.01)
    assert all(value > 1.96 for value in reach)


def test_sequential_intervals_cover_at_all_looks_together_and_plain_ones_do_not() -> None:
    random = np.random.default_rng(0)
    looks = np.array([50, 100, 200, 400, 800])
    held = {"sequential": 0, "plain": 0}
    for _ in range(500):
        x = random.normal(size=800)
        means = np.array([x[:n].mean() for n in looks])
        errors = np.array([x[:n].std(ddof=1) / np.sqrt(n) for n in looks])
        reach = np.array([sequential_reach(int(n), 800) for n in looks])
        held["sequential"] += bool((np.abs(means) <= reach * errors).all())
        held["plain"] += bool((np.abs(means) <= 1.96 * errors).all())
    assert held["sequential"] >= 0.95 * 500 > held["plain"]
