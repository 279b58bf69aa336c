"""Means over OOD sets: the same wherever one is shown, against scikit-learn's numbers of the arrays."""

from __future__ import annotations

import statistics
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from engine import report
from engine.measure import means
from engine.protocol.events import Cell
from engine.report.sections.limits import limits
from engine.session.arrays import Arrays
from engine.session.place import Folder
from engine.session.session import Session
from qood_tui.state import findings
from qood_tui.state.delta_table import Row, table
from qood_tui.state.state import fold
from qood_tui.state.view_options import Unit, ViewOptions
from tests.made import Made
from tests.running import small_plan

PLAN = small_plan(
    models=("vit-narrow", "vit-wide"),
    bits=("FP32", "W4A4"),
    ood_sets=("near", "lone", "far"),
    scores=("msp",),
    calibration_draws=3,
)
SIZES = {"fractals": 60, "near": 40, "lone": 1, "far": 50}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a session of three OOD sets, one of them a single image."""
    return Made(PLAN, SIZES).written(tmp_path_factory.mktemp("means"))


@pytest.fixture(scope="module")
def precision(session: Path) -> dict[str, float]:
    """Return every variant's mean average precision over the two sets with images enough."""
    rows = Arrays(Folder(session), PLAN).first(sum(SIZES.values()))
    found = {}
    for column, variant in enumerate(PLAN.variants()):
        id_scores = rows.values("msp", column, 0)
        of_sets = []
        for at in (1, 3):
            scores = np.concatenate([id_scores, rows.values("msp", column, at)])
            of_sets.append(average_precision_score(np.arange(len(scores)) >= len(id_scores), scores))
        found[variant.key] = float(np.mean(of_sets))
    return found


def rows_of(session: Path, unit: Unit) -> list[Row]:
    state = fold((read := Session.at(session)).header, read.entries)
    look = ViewOptions.at(PLAN)
    return list(table(state, ViewOptions(look.pointed, look.ood_set, look.score, unit=unit)).rows)


def test_a_set_of_one_image_is_in_no_mean(session: Path, precision: dict[str, float]) -> None:
    document = report.document(Session.at(session))
    on_screen = {row.variant.key: row for row in rows_of(session, Unit.VALUE) if not row.is_spread}
    lost = {delta.variant: delta for delta in document.deltas}
    points = {row.variant.key: row for row in rows_of(session, Unit.POINTS) if not row.is_spread}
    shares = {row.variant.key: row for row in rows_of(session, Unit.RELATIVE) if not row.is_spread}
    for row in document.variants:
        expected = pytest.approx(precision[row.key], abs=1e-6)
        mean = row.mean("msp")
        assert mean is not None and mean.over == 2 and mean.value("ap_out") == expected
        assert on_screen[row.key].mean.value == expected
        assert on_screen[row.key].averaged == ("near", "far")
        if row.bits != "FP32":
            whole = precision[f"{row.model} FP32"]
            change = whole - precision[row.key]
            assert lost[row.key].main.mean.value == pytest.approx(change, abs=1e-6)
            assert points[row.key].mean.value == pytest.approx(change * 100, abs=1e-4)
            assert shares[row.key].mean.value == pytest.approx(change / whole * 100, abs=1e-4)


@pytest.mark.parametrize("unit", [Unit.VALUE, Unit.POINTS])
def test_the_spread_over_draws_is_that_of_the_rows_and_of_the_report(
    session: Path, precision: dict[str, float], unit: Unit
) -> None:
    scale = 100 if unit is Unit.POINTS else 1
    spreads = [row for row in rows_of(session, unit) if row.is_spread]
    assert len(spreads) == 2
    for row in spreads:
        draws = [precision[variant.key] for variant in row.variants]
        assert len(draws) == 3
        assert row.mean.value == pytest.approx(statistics.stdev(draws) * scale, abs=1e-4)
    found = report.document(Session.at(session)).spread
    of_report = {one.model: one.spread.deviation for one in found if one.measure == "ap_out lost"}
    for row in spreads:
        draws = [precision[variant.key] for variant in row.variants]
        assert of_report[row.variant.model] == pytest.approx(statistics.stdev(draws), abs=1e-6)


def test_sentences_count_the_sets_that_means_are_over(
    session: Path,
) -> None:
    document = report.document(Session.at(session))
    assert "over 2 models and 2 of 3 OOD sets." in report.render(document, "md")
    state = fold((read := Session.at(session)).header, read.entries)
    assert ", mean of 2 models and 2 of 3 OOD sets, MSP" in findings.headline(state).plain
    assert "lone: only 1 image can be measured, so it is in no mean and no delta" in document.failures
    assert means.sets_in_words(document.deltas[:1], ("near",)) == "1 OOD set"
    assert means.models_in_words(document.deltas[:2], "W4A4") == "1 model"


def test_one_image_of_a_set_is_100_points(session: Path) -> None:
    assert any(
        "one image of lone is 100 points" in line for line in limits(report.document(Session.at(session)))
    )


def test_a_bit_setting_that_begins_like_another_is_not_counted_with_it(session: Path) -> None:
    delta = report.document(Session.at(session)).deltas[0]
    assert means.at_bits([delta], "W4A4") == [delta]
    assert not means.at_bits([delta], "W4A") and not means.at_bits([delta], "W4")


def test_a_mean_has_no_value_where_one_of_its_sets_has_none() -> None:
    cells = [
        Cell("a", "msp", 9, 9, {"ap_out": 0.25}),
        Cell("b", "msp", 9, 9, {"ap_out": 0.75}),
        Cell("c", "msp", 9, 1, {"ap_out": 1.0}),
    ]
    assert means.mean_over_sets(cells, "ap_out") == 0.5
    assert means.mean_over_sets([*cells, Cell("d", "msp", 9, 9, problem="NaN")], "ap_out") is None
    assert means.mean_over_sets([Cell("a", "msp", 1, 9, {"ap_out": 0.25})], "ap_out") is None
    assert means.mean_over_sets(cells[2:], "ap_out") is None
