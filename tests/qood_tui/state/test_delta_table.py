"""The delta table as data, against the events that it is made of and against a second way to compute it."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import msgspec
import numpy as np
import pytest
from rich.text import Text

from engine.measure.measure import Measure
from engine.measure.measures import AP_OUT, COMPARED, MEASURES
from engine.protocol.events import Delta, SetDeltas, VariantDelta
from engine.session import store
from engine.session.arrays import Arrays
from engine.session.place import Folder
from engine.session.session import Session
from qood_tui.state import comparison, findings, matching, table_export
from qood_tui.state.delta_table import Number, Row, number_of, table
from qood_tui.state.sources import ReplaySource
from qood_tui.state.state import State, fold
from qood_tui.state.view_options import RowOrder, Unit, ViewOptions
from tests.journals import RECORDED as FORMATS

FPR95 = MEASURES["fpr95_ood_positive"]
RECORDED = [measure for measure in COMPARED if measure.id != "fpr99_ood_positive"]  # in the demo


@pytest.fixture(scope="module")
def demo() -> State:
    read = Session.at(store.find("demo"))
    header, entries = read.header, read.entries
    return fold(header, entries)


def with_sets(row: VariantDelta, sets: dict[str, Delta]) -> VariantDelta:
    """Return a row with other losses of the main measure."""
    by_set = {**row.by_set, AP_OUT.id: SetDeltas(sets, row.main.mean)}
    return msgspec.structs.replace(row, by_set=by_set)


def look(state: State, **changes: object) -> ViewOptions:
    return msgspec.structs.replace(ViewOptions.at(state.header.plan), **changes)


def row_of(state: State, key: str, **changes: object) -> Row:
    return next(row for row in table(state, look(state, **changes)).rows if row.variant.key == key)


def test_numbers_are_those_of_the_arrays(demo: State) -> None:
    plan = demo.header.plan
    rows = Arrays(Folder(store.find("demo")), plan).first(demo.rows)
    for key in ("vit-wide W4A4", "deit3-narrow W8A8"):
        position = [v.key for v in plan.variants()].index(key)
        base = [v.key for v in plan.variants()].index(f"{key.split(' ')[0]} FP32")
        lost = row_of(demo, key)
        share = row_of(demo, key, unit=Unit.RELATIVE)
        value = row_of(demo, key, unit=Unit.VALUE)
        for at, name in enumerate(plan.ood_sets, 1):
            whole, own = (
                AP_OUT(rows.values("msp", c, 0), rows.values("msp", c, at)) for c in (base, position)
            )
            assert lost.sets[name].value == pytest.approx((whole - own) * 100, abs=1e-4)
            assert share.sets[name].value == pytest.approx((whole - own) / whole * 100, abs=1e-3)
            assert value.sets[name].value == pytest.approx(own, abs=1e-6)
        assert lost.mean.value == pytest.approx(
            np.mean([n.value for n in lost.sets.values() if n.value is not None]), abs=1e-3
        )


@pytest.mark.parametrize("measure", RECORDED, ids=[measure.id for measure in RECORDED])
def test_a_loss_is_marked_as_one_whichever_way_a_measure_goes(demo: State, measure: Measure) -> None:
    worst = row_of(demo, "vit-wide W4A4", measure=measure)
    assert worst.mean.mark == "▼"
    assert (worst.mean.value or 0) * (-1 if not measure.larger_is_better else 1) > 0
    assert row_of(demo, "vit-wide W4A4", measure=measure, unit=Unit.VALUE).mean.mark == "▼"


def test_a_relative_loss_is_of_its_reference_or_is_none(demo: State) -> None:
    source = ReplaySource(store.find("demo"))
    source.seek(source.length * 0.6)
    for state in (demo, source.state):
        row = row_of(state, "deit-narrow W4A4", unit=Unit.RELATIVE)
        points, base = row_of(state, "deit-narrow W4A4"), row_of(state, "deit-narrow FP32")
        assert None not in (row.mean.value, points.mean.value, base.mean.value)
        assert row.mean.value == pytest.approx((points.mean.value or 0) / (base.mean.value or 1), rel=0.05)
    delta = Delta(-0.4, -0.6, -0.2, None)
    assert number_of(delta, FPR95, Unit.RELATIVE, 0.0) == Number()
    flat = number_of(Delta(0.0, -0.01, 0.02, 0.0), AP_OUT, Unit.RELATIVE, 0.5)
    assert (flat.low, flat.high) == (pytest.approx(-2.0), pytest.approx(4.0))


def test_a_relative_interval_is_of_the_exact_reference_however_small_the_delta(demo: State) -> None:
    plan = demo.header.plan
    rows = Arrays(Folder(store.find("demo")), plan).first(demo.rows)
    base, at = [v.key for v in plan.variants()].index("vit-wide FP32"), plan.ood_sets.index("noise") + 1
    whole = AP_OUT(rows.values("msp", base, 0), rows.values("msp", base, at))
    assert demo.deltas is not None
    tiny = Delta(2e-7, -0.004, 0.004, 3e-7)
    changed = tuple(with_sets(v, {**v.main.sets, "noise": tiny}) for v in demo.deltas.variants)
    state = msgspec.structs.replace(demo, deltas=msgspec.structs.replace(demo.deltas, variants=changed))
    found = row_of(state, "vit-wide W4A4", unit=Unit.RELATIVE).sets["noise"]
    assert found.value == pytest.approx(3e-5)
    assert (found.low, found.high) == (
        pytest.approx(-0.4 / whole, abs=1e-6),
        pytest.approx(0.4 / whole, abs=1e-6),
    )
    unknown = row_of(msgspec.structs.replace(state, references={}), "vit-wide W4A4", unit=Unit.RELATIVE)
    assert (unknown.sets["noise"].value, unknown.sets["noise"].low) == (pytest.approx(3e-5), None)


def test_a_loss_is_of_the_same_images_or_is_not_known_yet(demo: State) -> None:
    early = msgspec.structs.replace(demo, deltas=None)
    assert row_of(early, "vit-wide W4A4").mean.value == pytest.approx(
        row_of(demo, "vit-wide W4A4").mean.value, abs=1e-4
    )
    base = msgspec.structs.replace(demo.measured["vit-wide FP32"], rows=1000)
    measured = {**demo.measured, "vit-wide FP32": base}
    row = row_of(msgspec.structs.replace(early, measured=measured), "vit-wide W4A4")
    assert row.mean.value is None and not row.sets and row.top1.value is None


def test_rows_say_of_how_many_images_they_are() -> None:
    source = ReplaySource(store.find("demo"))
    source.seek(source.length * 0.6)
    state = source.state
    assert state.deltas is not None and state.deltas.rows < state.rows
    rows = {row.variant.key: row for row in table(state, look(state)).rows}
    assert rows["vit-wide W4A4"].images == state.deltas.rows
    assert rows["vit-wide FP32"].images == state.measured["vit-wide FP32"].rows
    note = table_export.as_markdown(table(state, look(state, order=RowOrder.MEAN)))
    assert "filter" not in note and f"{state.deltas.rows:,} images" in note


def test_a_gain_everywhere_is_no_loss(demo: State) -> None:
    assert demo.deltas is not None
    gain = Delta(-0.012, -0.02, -0.005, -0.01, 0.001, 0.002)
    gained = tuple(with_sets(v, dict.fromkeys(v.main.sets, gain)) for v in demo.deltas.variants)
    state = msgspec.structs.replace(demo, deltas=msgspec.structs.replace(demo.deltas, variants=gained))
    assert findings.largest_loss(state).plain == "No variant lost on any OOD set."


def test_a_variant_that_failed_is_named_beside_a_table_without_it(demo: State) -> None:
    state = msgspec.structs.replace(demo, failed={"vit-wide W4A4": "it diverged"})
    assert "Left out: vit-wide W4A4" in table_export.as_markdown(table(state, look(state)))


def test_sorted_tables_have_the_largest_loss_on_top_and_references_last(demo: State) -> None:
    for order, of_row in (
        (RowOrder.MEAN, lambda r: r.mean.value),
        (RowOrder.TOP1, lambda r: r.top1.value),
        (RowOrder.SET, lambda r: r.sets["noise"].value),
    ):
        rows = table(demo, look(demo, order=order, ood_set="noise")).rows
        values = [of_row(row) for row in rows if not row.variant.bits.is_float]
        assert values == sorted(values, reverse=True)
        assert all(row.variant.bits.is_float for row in rows[-5:])
    fpr = table(demo, look(demo, order=RowOrder.MEAN, measure=FPR95)).rows
    assert (fpr[0].mean.value or 0) < 0
    values = [r.mean.value for r in table(demo, look(demo, order=RowOrder.MEAN, unit=Unit.VALUE)).rows]
    assert values == sorted(values, key=lambda value: value or 0)


def test_filters_keep_what_holds_every_word_and_what_changed(demo: State) -> None:
    kept = table(demo, look(demo, words="DEIT w4"))
    assert [row.label for row in kept.rows][:2] == ["deit-narrow W4A8", "deit-narrow W4A4"]
    assert kept.total == 30 and all("deit" in row.label for row in kept.rows)
    assert {row.variant.model for row in table(demo, look(demo, words="wide")).rows} == {
        "vit-wide",
        "deit3-wide",
    }
    changed = table(demo, look(demo, only_changes=True)).rows
    assert changed and all(row.is_change for row in changed)
    assert not table(demo, look(demo, words="no such thing")).rows


def test_few_images_are_provisional_until_the_sweep_ends(demo: State) -> None:
    source = ReplaySource(store.find("demo"))
    source.seek(source.length * 0.6)
    assert 0 < source.state.rows < source.state.total
    assert table(source.state, look(source.state)).is_provisional
    assert not table(source.state, look(source.state, measure=MEASURES["auroc"])).is_provisional
    assert not table(demo, look(demo)).is_provisional


def test_only_measures_that_a_session_has_can_be_shown(demo: State) -> None:
    assert demo.measures == RECORDED and State(demo.header).measures == list(COMPARED)
    latest = fold((read := Session.at(max(FORMATS.iterdir()))).header, read.entries)
    assert latest.measures == list(COMPARED)
    for measure in COMPARED:
        row = row_of(latest, "vit-narrow W4A4", measure=measure)
        assert row.mean.value is not None and row.mean.low is not None


def test_the_interval_of_every_variant_settles(demo: State) -> None:
    assert {measure for measure, _ in demo.settling} == {"ap_out", "auroc"}
    for key, widths in demo.settling.items():
        assert len(widths) >= 3, key
        assert widths[-1] < widths[0]


def test_what_was_lost_most_is_said_with_its_certainty(demo: State) -> None:
    found = findings.worst(demo)
    assert found is not None and demo.deltas is not None
    assert found.delta.value == max(d.value for v in demo.deltas.variants for d in v.main.sets.values())
    sentence = findings.largest_loss(demo).plain
    assert sentence.startswith(f"Largest loss: {found.variant} on {found.ood_set} +")
    assert sentence.endswith("▼, significant: p < 0.001, Holm-corrected")
    for width in (70, 80, 200):
        line = findings.largest_loss(demo, width)
        assert line.cell_len <= width and "▼" in line.plain
    assert all(line.cell_len <= 20 for line in findings.in_brief(demo, 20))
    source = ReplaySource(store.find("demo"))
    source.seek(source.length * 0.75)
    interim = findings.largest_loss(source.state).plain
    assert "▼ so far" in interim and "significant" not in interim


def test_csv_holds_every_number_with_its_interval(demo: State) -> None:
    found = table(demo, look(demo))
    rows = list(csv.DictReader(io.StringIO(table_export.as_csv(found))))
    assert len(rows) == 30 * (len(found.sets) + 2)
    (one,) = [
        r for r in rows if (r["model"], r["bits"], r["set"]) == ("vit-wide", "W4A4", "mean of OOD sets")
    ]
    mean = row_of(demo, "vit-wide W4A4").mean
    assert float(one["value"]) == pytest.approx(mean.value) and float(one["low"]) == pytest.approx(mean.low)
    assert one["change"] == "loss" and one["unit"] == "points lost" and one["images"] == "3500"
    reference = next(r for r in rows if r["bits"] == "FP32")
    assert reference["unit"] == "values" and reference["low"] == ""


def test_markdown_and_latex_are_whole_tables(demo: State) -> None:
    found = table(demo, look(demo))
    markdown = table_export.as_markdown(found).splitlines()
    bars = {line.count("|") for line in markdown if line.startswith("|")}
    assert len(bars) == 1 and sum(line.startswith("|") for line in markdown) == 32
    latex = table_export.as_latex(found)
    rows = [line for line in latex.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 31 and len({row.count("&") for row in rows}) == 1
    assert r"\textbf{+12.2}" in latex and latex.count(r"\begin{tabular}") == 1
    assert "3,500 images" in latex.splitlines()[0]


def test_names_of_sets_are_text_in_every_export(demo: State) -> None:
    names = ("95_a", "under_score", "a--b", "end_")
    found = msgspec.structs.replace(table(demo, look(demo)), sets=names, left_out=("vit_x W4A4",))
    head = next(line for line in table_export.as_latex(found).splitlines() if line.startswith("variant"))
    assert head == (r"variant & 95\_a & under\_score & a{-}{-}b & end\_ & mean & 95 \% interval & top{-}1 \\")
    titles = table_export.as_markdown(found).splitlines()[0]
    assert titles == r"| variant | 95_a | under_score | a--b | end\_ | mean | 95 % interval | top-1 |"


def test_a_picture_asks_nothing_of_the_network() -> None:
    picture = table_export.as_svg([Text("a <b> & c", style="red")], 20, "title")
    assert picture.startswith("<svg") and "&lt;b&gt;" in picture
    assert "http" not in picture.replace("http://www.w3.org", "") and "@font-face" not in picture


def test_sessions_are_compared_cell_by_cell(demo: State, recorded: Path) -> None:
    read = Session.at(recorded)
    header, entries = read.header, read.entries
    other = fold(header, entries)
    found = comparison.compared([demo, other], AP_OUT, Unit.POINTS)
    assert found.columns == ("unseen-fractals", "digits", "photo-patches", "noise", "", "top-1")
    assert len(found.lines) == 30
    line = next(line for line in found.lines if line.variant.key == "vit-narrow W4A4")
    one, two = line.number(0, "noise"), line.number(1, "noise")
    difference = line.difference(1, "noise")
    assert None not in (one.value, two.value, difference.value, one.high, two.low, difference.low)
    assert difference.value == pytest.approx((two.value or 0) - (one.value or 0))
    assert difference.low == pytest.approx((two.low or 0) - (one.high or 0))
    alone = next(line for line in found.lines if line.variant.key == "deit-narrow W4A4")
    assert alone.difference(1, "noise").value is None and "·" in comparison.cells(found, alone, "noise")
    same = comparison.compared([demo, demo], AP_OUT, Unit.POINTS)
    differences = [line.difference(1, "") for line in same.lines]
    assert all(one.value == 0 and not one.is_clear for one in differences)
    assert not matching.differing([demo, demo]) and not matching.other_images([demo, demo])
    assert matching.differing([demo, other])["id images"] == ("1500", "150")
    plan = msgspec.structs.replace(demo.header.plan, first_and_last=8)
    ends = msgspec.structs.replace(demo, header=msgspec.structs.replace(demo.header, plan=plan))
    assert matching.differing([demo, ends]) == {"first and last": ("none", "8")}
    assert matching.differing([ends, demo]) == {"first and last": ("8", "none")}
    assert "fractals" in matching.other_images([demo, other])
    assert "different images" in matching.images_in_words([demo, other])
    assert matching.images_in_words([demo, demo]) == "same images"
    assert "unknown" in matching.images_in_words([demo, State(demo.header)])
    rows = list(csv.DictReader(io.StringIO(comparison.as_csv(found, ["a", "b"]))))
    assert len(rows) == 30 * 2 * 6 and rows[0]["difference"] == ""
