from __future__ import annotations

import pytest

from engine import sessions
from engine.text import in_utc


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
    assert sessions.summary(sessions.find("demo")).created.endswith(" UTC")
