from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.session import store
from engine.text import in_utc, short


@pytest.mark.parametrize(
    ("time", "wanted"),
    [
        ("2026-11-23T20:17:05.123+00:00", "2026-11-23 20:17 UTC"),
        ("2026-11-23T20:17:05.123Z", "2026-11-23 20:17 UTC"),
        ("2026-11-23T23:47:05-05:30", "2026-11-24 05:17 UTC"),
        ("2026-11-23T20:17:05", "2026-11-23 20:17 UTC"),
        ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00+14:00"),  # before the first day in UTC
        ("yesterday\x1b[31m", "yesterday\ufffd[31m"),
    ],
)
def test_a_time_of_day_has_its_zone(time: str, wanted: str) -> None:
    assert in_utc(time) == wanted


def test_the_list_of_sessions_says_the_zone_of_its_times() -> None:
    assert store.summary(store.find("demo")).created.endswith(" UTC")


@pytest.mark.parametrize(
    ("value", "digits", "wanted"),
    [
        (100.0, 2, "100"),
        (100 / 3, 2, "33"),
        (99.96, 3, "100"),
        (0.000123456, 3, "0.000123"),
        (123456.7, 3, "123457"),
        (-0.5, 3, "-0.5"),
        (1e-5, 3, "0.00001"),
        (250.0, 1, "250"),
        (0.0, 3, "0"),
        (2.5e-17, 2, "2.5e-17"),
        (1e30, 3, "1e+30"),
        (float("inf"), 3, "inf"),
    ],
)
def test_a_number_has_an_exponent_only_where_it_is_very_large_or_small(
    value: float, digits: int, wanted: str
) -> None:
    assert short(value, digits) == wanted


@given(st.floats(1e-6, 9e9), st.integers(1, 7))
def test_a_short_number_is_the_number_to_its_digits(value: float, digits: int) -> None:
    for signed in (value, -value):
        assert "e" not in short(signed, digits)
        assert float(short(signed, digits)) == pytest.approx(signed, rel=0.51 * 10 ** (1 - digits))
