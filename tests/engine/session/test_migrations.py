"""Sessions of older formats say the same in the present one, and go on where lines have seals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from engine.archive.redact import redact
from engine.protocol.events import DeltasMeasured, Measured, VariantDelta
from engine.report.document import document
from engine.session.layout import JOURNAL
from engine.session.session import Session
from engine.session.writer import Writer
from tests.journals import RECORDED, Plain

OLD = ("1", "2")


def written(version: str, kind: str) -> list[Plain]:
    lines = (RECORDED / version / JOURNAL).read_text().splitlines()
    return [event for line in lines[1:] if (event := json.loads(line)["event"])["type"] == kind]


@pytest.mark.parametrize("version", OLD)
def test_measures_of_older_formats_are_by_id(version: str) -> None:
    events = [entry.event for entry in Session.at(RECORDED / version).entries]
    found = [event for event in events if isinstance(event, Measured)]
    for event, plain in zip(found, written(version, "measured"), strict=True):
        assert (event.rows, event.variant) == (plain["rows"], plain["variant"])
        assert {name: value for name, value in plain.items() if name in event.values} == event.values
        assert set(event.values) >= {"top1", "top5", "nll", "ece", "aurc"}
        for cell, (name, score, n_id, n_ood, *numbers) in zip(event.cells, plain["cells"], strict=True):
            assert (cell.name, cell.score, cell.n_id, cell.n_ood) == (name, score, n_id, n_ood)
            assert [*cell.values.values(), cell.problem] == numbers


@pytest.mark.parametrize("version", OLD)
def test_deltas_of_older_formats_are_by_id(version: str) -> None:
    (event,) = (
        e.event for e in Session.at(RECORDED / version).entries if isinstance(e.event, DeltasMeasured)
    )
    (plain,) = written(version, "deltas.measured")
    for row, before in zip(event.variants, plain["variants"], strict=True):
        for measure, name in (("ap_out", "ap_out"), ("fpr95_ood_positive", "fpr95")):
            values = {of_set: delta.value for of_set, delta in row.sets(measure).items()}
            assert values == {of_set: delta["value"] for of_set, delta in before[name].items()}
            mean = row.mean(measure)
            assert mean is not None and mean.p_holm == before[f"{name}_mean"]["p_holm"]
        assert {name: row.of_labels[name].high for name in row.of_labels} == {
            name: before[name]["high"] for name in ("top1", "nll")
        }


@pytest.mark.parametrize("version", sorted(path.name for path in RECORDED.iterdir()))
def test_every_number_of_every_format_is_measured_again(version: str) -> None:
    found = document(Session.at(RECORDED / version))
    assert found.mismatches == () and found.checked.numbers > 500
    assert all(row.value("augrc") is not None for row in found.variants)


def test_a_session_of_format_2_goes_on_in_the_present_one(tmp_path: Path) -> None:
    session = Path(shutil.copytree(RECORDED / "2", tmp_path / "old"))
    before = [entry.event for entry in Session.at(session).entries]
    writer = Writer(session)
    said = next(event for event in before if isinstance(event, Measured))
    writer.append(said)
    writer.abandon()
    read = Session.at(session)
    entries, reader = read.entries, read.journal
    assert [entry.event for entry in entries] == [*before, said] and not reader.damage


def test_a_redacted_copy_is_in_the_present_format_and_leaves_nothing_out(tmp_path: Path) -> None:
    told = redact(RECORDED / "2", tmp_path, "copy")
    assert told["unknown"] == 0
    read = Session.at(tmp_path / "copy")
    header, entries, reader = read.header, read.entries, read.journal
    assert reader.version == header.version > 2
    tables = [entry.event for entry in entries if isinstance(entry.event, DeltasMeasured)]
    (before,) = (e.event for e in Session.at(RECORDED / "2").entries if isinstance(e.event, DeltasMeasured))
    assert tables == [before]


def test_deltas_without_the_main_measure_are_no_event() -> None:
    with pytest.raises(ValueError, match="ap_out"):
        VariantDelta("m W4A4", {}, {})
