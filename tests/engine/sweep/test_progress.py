from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine.protocol.events import AnyEvent, DeltasMeasured, Logged
from engine.session.arrays import Arrays
from engine.session.place import Folder
from engine.sweep.progress import Progress
from tests.made import CLASSES, Made
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


def test_a_sweep_is_enough_only_once_every_set_is_in_the_means(tmp_path: Path) -> None:
    plan = small_plan(
        models=("vit-narrow",),
        bits=("FP32", "W4A4"),
        ood_sets=("near", "rare"),
        scores=("msp",),
        stop_width=99.0,
        chunk_images=100,
    )
    arrays = Arrays(Folder(Made(plan, {"fractals": 600, "near": 600, "rare": 2}).written(tmp_path)), plan)
    events: list[AnyEvent] = []
    progress = Progress(plan, events.append)
    progress.classes = {variant.key: CLASSES for variant in plan.variants()}
    with ThreadPoolExecutor(1) as pool:
        progress.measure(arrays, 600, arrays.count, pool)
        (early,) = [event for event in events if isinstance(event, DeltasMeasured)]
        assert set(early.variants[0].main.sets) == {"near"} and not progress.is_enough()
        progress.measure(arrays, 1200, arrays.count, pool)
    late = [event for event in events if isinstance(event, DeltasMeasured)][-1]
    assert set(late.variants[0].main.sets) == {"near", "rare"} and progress.is_enough()
    told = [event.text for event in events if isinstance(event, Logged)]
    assert "fewer than 2 images of rare were seen" in told[0] and told[1].startswith("enough after 1200")
