from __future__ import annotations

import pytest

from engine.progress import Progress
from tests.running import small_plan

PLAN = small_plan(chunk_images=125)
ROWS = range(125, 3501, 125)


def looks(progress: Progress, rows: range) -> list[tuple[int, bool, bool]]:
    return [(finished, *progress._is_due(finished)) for finished in rows]


@pytest.mark.parametrize("first_row", [125, 500, 625, 1000, 2000])
def test_a_sweep_that_goes_on_looks_exactly_where_it_would_have_looked(first_row: int) -> None:
    whole = looks(Progress(PLAN, lambda _event: None), ROWS)
    # The look at the first row itself may have been cut short, so it is taken again.
    again = looks(Progress(PLAN, lambda _event: None, first_row), range(first_row, 3501, 125))
    assert again == [look for look in whole if look[0] >= first_row]
    assert sum(curve for _, _, curve in whole) == 3
