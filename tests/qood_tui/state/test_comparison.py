"""Sessions side by side: what is subtracted is of the same, or it is told."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import msgspec
import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from engine.archive.pseudonyms import GONE
from engine.measure.measures import AP_OUT
from engine.protocol.events import SetsPrepared, VariantReady
from engine.session.arrays import Arrays
from engine.session.place import Folder
from engine.session.session import Session
from qood_tui.app import QoodApp
from qood_tui.cli import headless
from qood_tui.screens.compare import CompareScreen
from qood_tui.state import comparison, matching
from qood_tui.state.state import State, fold
from qood_tui.state.view_options import Unit
from tests.made import Made
from tests.qood_tui.driving import text_of, until
from tests.running import small_plan

PLAN = small_plan(
    models=("vit-narrow",), bits=("FP32", "W4A4"), ood_sets=("near", "lone", "far"), scores=("msp",)
)
SIZES = {"fractals": 60, "near": 40, "lone": 1, "far": 50}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a session whose means are over `near` and `far`."""
    return Made(PLAN, SIZES, fit="f" * 64).written(tmp_path_factory.mktemp("first"))


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a session over more sets, of other images, weights, calibration and fit images."""
    plan = msgspec.structs.replace(PLAN, ood_sets=("far", "more", "near"))
    sizes = {"fractals": 60, "far": 50, "more": 70, "near": 40}
    made = Made(
        plan,
        sizes,
        seed=1,
        weights={"vit-narrow": "d" * 64},
        images={"near": "e" * 64},
        calibration="1" * 64,
        fit="2" * 64,
    )
    return made.written(tmp_path_factory.mktemp("second"))


def state_of(session: Path) -> State:
    return fold((read := Session.at(session)).header, read.entries)


def precision(session: Path, column: int, names: tuple[str, ...]) -> float:
    plan = Session.at(session).header.plan
    arrays = Arrays(Folder(session), plan)
    rows, found = arrays.first(arrays.count), []
    for name in names:
        scores = [rows.values("msp", column, at) for at in (0, plan.ood_sets.index(name) + 1)]
        is_ood = np.repeat([0, 1], [len(scores[0]), len(scores[1])])
        found.append(average_precision_score(is_ood, np.concatenate(scores)))
    return float(np.mean(found))


@pytest.mark.parametrize("unit", list(Unit))
def test_a_mean_is_over_the_sets_that_all_have(first: Path, second: Path, unit: Unit) -> None:
    found = comparison.compared([state_of(first), state_of(second)], AP_OUT, unit)
    for line in found.lines:
        values = []
        for session in (first, second):
            whole, own = (precision(session, column, ("near", "far")) for column in (0, 1))
            lost = {
                Unit.POINTS: (whole - own) * 100,
                Unit.RELATIVE: (whole - own) / whole * 100,
                Unit.VALUE: own,
            }
            values.append(whole if line.variant.bits.is_float else lost[unit])
        told = [line.number(at, comparison.MEAN) for at in (0, 1)]
        assert [one.value for one in told] == [pytest.approx(value, abs=1e-4) for value in values]
        difference = line.difference(1, comparison.MEAN)
        assert difference.value == pytest.approx(values[1] - values[0], abs=1e-4)
        assert difference.low is None and (told[1].mark, told[1].low) == (" ", None)
    assert found.notes[-1].startswith("means are over the OOD sets that all sessions have, ")
    assert found.notes[-1].endswith(": near, far")
    alone = comparison.compared([state_of(second)] * 2, AP_OUT, unit)
    mean = alone.lines[1].number(0, comparison.MEAN)
    assert not any("means are over" in line for line in alone.notes)
    assert unit is Unit.VALUE or mean.low is not None


def test_without_a_set_in_common_there_is_no_mean_and_it_is_told(first: Path, tmp_path: Path) -> None:
    plan = msgspec.structs.replace(PLAN, ood_sets=("other",))
    other = Made(plan, {"fractals": 60, "other": 40}).written(tmp_path)
    found = comparison.compared([state_of(first), state_of(other)], AP_OUT, Unit.POINTS)
    for line in found.lines:
        assert [line.number(at, comparison.MEAN).value for at in (0, 1)] == [None, None]
        assert line.difference(1, comparison.MEAN).value is None
        assert line.number(1, "other").value is not None
    assert found.notes[-1] == "no mean if the sessions have no OOD set in common"
    assert found.notes[-1] in headless.compared([first, other], as_csv=False)


DIFFERENT = (
    "different images: near",
    "different weights: vit-narrow",
    "calibrated on different images",
    "scores fitted on different images",
)


async def test_the_screen_and_text_say_the_same_of_what_differs(first: Path, second: Path) -> None:
    plain = headless.compared([first, second], as_csv=False).splitlines()
    app = QoodApp(first, others=(second,))
    async with app.run_test(size=(140, 40)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, CompareScreen))
        await pilot.pause(0.2)
        heading = text_of(app, "sessions").splitlines()
        for words in DIFFERENT:
            assert any(line.startswith(words) for line in heading), words
            assert any(line.startswith(f"- {words}") for line in plain), words
        await pilot.press("y")
        assert all(words in app.clipboard for words in DIFFERENT)


def test_csv_says_of_every_cell_what_it_has_in_common_with_the_first(first: Path, second: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(headless.compared([first, second], as_csv=True))))
    cells = {(r["session"], r["bits"], r["column"]): r for r in rows}
    near, far, mean, top1 = (
        cells[second.name, "W4A4", column] for column in ("near", "far", "mean", "top-1")
    )
    assert [one["same images"] for one in (near, far, mean, top1)] == ["no", "yes", "no", "yes"]
    assert {one["same weights"] for one in (near, far, mean, top1)} == {"no"}
    assert {one["same calibration images"] for one in (near, far)} == {"no"}
    assert {one["same fit images"] for one in (near, far)} == {"no"}
    assert cells[second.name, "FP32", "far"]["same calibration images"] == ""
    assert mean["mean over"] == "far near" and near["mean over"] == ""
    assert near["images"] == str(sum((60, 50, 70, 40)))
    assert all(r[name] == "" for r in rows if r["session"] == first.name for name in r if "same" in name)


def test_what_was_redacted_is_not_called_the_same(first: Path) -> None:
    read = Session.at(first)
    header, entries = read.header, read.entries

    def redacted(event: object) -> object:
        if isinstance(event, VariantReady):
            return msgspec.structs.replace(event, digest=GONE)
        if isinstance(event, SetsPrepared):
            sets = tuple(msgspec.structs.replace(one, digest=GONE) for one in event.sets)
            return msgspec.structs.replace(event, sets=sets)
        return event

    changed = [msgspec.structs.replace(e, event=redacted(e.event)) for e in entries]
    state = fold(header, changed)
    assert matching.same_weights(state, state, "vit-narrow") is None
    assert matching.same_images(state, state, ("near",)) is None
    assert matching.images_in_words([state, state]) == "unknown whether these are the same images"
    assert (
        matching.same_calibration(state, state, 0) is True
        and matching.same_calibration(state, state, 9) is None
    )


def test_a_session_with_a_strange_name_is_neither_markup_nor_a_formula(first: Path) -> None:
    state = state_of(first)
    found = comparison.compared([state, state], AP_OUT, Unit.POINTS)
    text = comparison.as_csv(found, ["=1+1", "b"])
    assert {row["session"] for row in csv.DictReader(io.StringIO(text))} == {"'=1+1", "b"}
    assert r"A = \<b\>\|x" in comparison.as_markdown(found, ["<b>|x", "b"], [comparison.MEAN])
