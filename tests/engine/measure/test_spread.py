from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine import report
from engine.errors import InputError
from engine.measure.spread import groups, spread
from engine.plan.validation import validated
from engine.protocol.events import SetsPrepared, VariantReady
from engine.session.arrays import Arrays
from engine.session.place import Folder
from engine.session.session import Session
from tests.running import small_plan, sweep

PLAN = small_plan(models=("vit-narrow",), bits=("FP32", "W4A4"), calibration_draws=3, seed=7)


@pytest.fixture(scope="module")
def session() -> Path:
    return sweep(PLAN)


def test_the_spread_is_that_of_numpy_and_needs_two_values() -> None:
    found = spread([1.0, None, 2.0, 4.0])
    assert found is not None
    assert (found.draws, found.low, found.high) == (3, 1.0, 4.0)
    assert found.mean == pytest.approx(7 / 3)
    assert found.deviation == pytest.approx(float(np.std([1, 2, 4], ddof=1)))
    assert spread([1.0, None]) is None


def test_floating_point_is_swept_once_and_every_draw_is_a_variant() -> None:
    assert [v.key for v in PLAN.variants()] == [
        "vit-narrow FP32",
        "vit-narrow W4A4",
        "vit-narrow W4A4 #2",
        "vit-narrow W4A4 #3",
    ]
    assert [len(group) for group in groups(PLAN)] == [1, 3]
    with pytest.raises(InputError, match="calibration_draws"):
        validated(small_plan(calibration_draws=0))


def test_every_draw_is_recorded_and_calibrates_on_other_images(session: Path) -> None:
    events = [entry.event for entry in Session.at(session).entries]
    draws = next(e for e in events if isinstance(e, SetsPrepared)).calibrations
    assert [draw.seed for draw in draws] == [7, 8, 9]
    assert all(len(set(draw.images)) == PLAN.calibration_images for draw in draws)
    assert len({draw.images for draw in draws}) == len({draw.digest for draw in draws}) == 3
    assert len({e.digest for e in events if isinstance(e, VariantReady)}) == 4


def test_the_report_says_how_far_every_number_spreads(session: Path) -> None:
    found = json.loads(report.render(report.document(Session.at(session)), "json"))
    rank = Arrays(Folder(session), PLAN).first(Session.at(session).rows).values
    accuracy = [float(np.mean(rank("rank", column, 0) == 0)) for column in (1, 2, 3)]
    row = next(r for r in found["spread"] if r["measure"] == "top1")
    assert (row["model"], row["bits"], row["spread"]["draws"]) == ("vit-narrow", "W4A4", 3)
    assert row["spread"]["mean"] == pytest.approx(np.mean(accuracy), abs=1e-6)
    assert row["spread"]["deviation"] == pytest.approx(np.std(accuracy, ddof=1), abs=1e-6)
    places = {(r["measure"], r["set"], r["score"]) for r in found["spread"]}
    assert ("auroc", "noise", "energy") in places and ("ap_out lost", "", "") in places
    text = report.render(report.document(Session.at(session)), "md")
    assert "3 draws of 32 images (seeds 7, 8, 9)" in text and "vit-narrow W4A4 #3" in text
