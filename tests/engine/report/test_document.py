"""What a report says is what the arrays say, whatever the journal says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from engine import report
from engine.errors import InputError, JournalError
from engine.measure.measures import BY_SET, COMPARED, COMPARED_OF_LABELS, OF_LABELS
from engine.protocol.events import ScoresAdded
from engine.report import FORMATS, render
from engine.report.document import document
from engine.session.arrays import Arrays
from engine.session.layout import JOURNAL
from engine.session.place import Folder
from engine.session.session import Session
from engine.session.writer import Writer
from tests.journals import Plain, rewrite


def scores_of(session: Path, variant: str, of_set: str, name: str = "msp") -> tuple[np.ndarray, np.ndarray]:
    """Return labels (1 is OOD) and scores of one variant on the ID set and one OOD set."""
    header = Session.at(session).header
    column = [v.key for v in header.plan.variants()].index(variant)
    samples = np.load(session / "arrays" / "samples.npy")
    values = np.load(session / "arrays" / f"{name}.npy")[:, column]
    which = 1 + header.plan.ood_sets.index(of_set)
    chosen = np.isin(samples[:, 0], [0, which]) & (samples[:, 3] == 1)
    return (samples[chosen, 0] == which).astype(int), values[chosen]


def edit_array(session: Path, name: str, row: int, column: int, value: float) -> None:
    """Change one number of an array, as a hex editor would."""
    path = session / "arrays" / f"{name}.npy"
    array = np.load(path)
    array[row, column] = value
    np.save(path, array)


def edit_last(session: Path, kind: str, change: object) -> None:
    """Change the last event of a kind and seal its line again."""
    lines = [json.loads(line) for line in (session / JOURNAL).read_bytes().splitlines()]
    last = max(at for at, line in enumerate(lines) if line.get("event", {}).get("type") == kind)

    def at_last(position: int, line: Plain) -> None:
        if position == last:
            change(line["event"])  # type: ignore[operator]

    rewrite(session, at_last)


def test_a_whole_session_agrees_with_its_journal_in_every_number(recorded: Path) -> None:
    found = document(Session.at(recorded))
    assert found.mismatches == ()
    cells = 6 * (len(OF_LABELS) + 3 * 4 * (3 + len(BY_SET)))  # of all variants
    deltas = 4 * (len(COMPARED_OF_LABELS) + len(COMPARED) * 5) * 6  # of all quantized, by set and mean
    assert found.checked.numbers > cells + deltas
    chunks = sum(e.event.__class__.__name__ == "ChunkFinished" for e in Session.at(recorded).entries)
    assert found.checked.hashes == chunks * 7
    assert found.intervals == "arrays" and found.resamples == 1000


def test_measures_are_those_of_scikit_learn(recorded: Path) -> None:
    found = document(Session.at(recorded))
    row = found.row("deit3-wide W4A4")
    assert row is not None
    values, told = [], ("auroc", "ap_out", "ap_in", "fpr95_ood_positive")
    for name in found.plan.ood_sets:
        labels, scores = scores_of(recorded, "deit3-wide W4A4", name)
        cell = row.cell("msp", name)
        assert cell is not None and cell.value("auroc") == pytest.approx(roc_auc_score(labels, scores))
        assert cell.value("ap_out") == pytest.approx(average_precision_score(labels, scores))
        assert cell.value("ap_in") == pytest.approx(average_precision_score(1 - labels, -scores))
        fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
        assert cell.value("fpr95_ood_positive") == pytest.approx(fpr[np.argmax(tpr >= 0.95)])
        values.append([cell.value(measure) for measure in told])
    mean = row.mean("msp")
    assert mean is not None and mean.over == 4
    assert [mean.value(measure) for measure in told] == pytest.approx(np.mean(values, axis=0))


def test_calibration_and_accuracy_are_counted_by_hand(recorded: Path) -> None:
    found = document(Session.at(recorded))
    samples = np.load(recorded / "arrays" / "samples.npy")
    of_id = samples[:, 0] == 0
    rank = np.load(recorded / "arrays" / "rank.npy")[of_id, 0]
    confidence = -np.load(recorded / "arrays" / "msp.npy")[of_id, 0]
    gaps = 0.0
    for low in np.arange(15) / 15:
        inside = (confidence > low) & (confidence <= low + 1 / 15)
        if inside.any():
            gaps += inside.mean() * abs(confidence[inside].mean() - (rank[inside] == 0).mean())
    assert found.variants[0].value("top1") == pytest.approx(float(np.mean(rank == 0)), abs=1e-6)
    assert found.variants[0].value("ece") == pytest.approx(gaps, abs=1e-6)
    assert found.variants[0].value("nll") == pytest.approx(
        float(np.load(recorded / "arrays" / "nll.npy")[of_id, 0].mean()), abs=1e-6
    )


def test_a_changed_array_is_named_with_its_measures_and_its_rows(copied: Path) -> None:
    samples = np.load(copied / "arrays" / "samples.npy")
    row = int(np.flatnonzero(samples[:, 0] == 1)[20])
    edit_array(copied, "msp", row, 2, -1.0)
    found = document(Session.at(copied))
    told = "\n".join(found.mismatches)
    assert "vit-narrow W4A4, unseen-fractals, msp, auroc: the journal says 0." in told
    assert f"SHA-256 of msp.npy, rows {row // 50 * 50} to" in told
    assert "vit-narrow W4A4, unseen-fractals, ap_out lost, low end" in told
    assert "deit3-wide W4A4, unseen-fractals, msp, auroc" not in told
    labels, scores = scores_of(copied, "vit-narrow W4A4", "unseen-fractals")
    cell = found.variants[2].cell("msp", "unseen-fractals")
    assert cell is not None and cell.value("auroc") == pytest.approx(roc_auc_score(labels, scores))


def test_a_changed_row_that_moves_no_table_is_found_by_its_hash(copied: Path) -> None:
    samples = np.load(copied / "arrays" / "samples.npy")
    row = int(np.flatnonzero(samples[:, 0] == 1)[0])
    edit_array(copied, "brier", row, 0, 0.5)  # of an OOD image: counts nowhere
    (one,) = document(Session.at(copied)).mismatches
    assert "SHA-256 of brier.npy" in one


@pytest.mark.parametrize("place", ["value", "low", "high"])
def test_a_changed_delta_is_named_by_its_place(copied: Path, place: str) -> None:
    def change(event: Plain) -> None:
        event["variants"][1]["by_set"]["ap_out"]["sets"]["noise"][place] += 0.001

    edit_last(copied, "deltas.tabled", change)
    (one,) = document(Session.at(copied)).mismatches
    names = {"value": "value", "low": "low end", "high": "high end"}
    assert one.startswith(f"vit-narrow W4A4, noise, ap_out lost, {names[place]}: the journal says ")
    quick = document(Session.at(copied), quick=True)
    assert len(quick.mismatches) == (place == "value")
    assert quick.intervals == "journal"


def test_changed_means_measures_and_curves_are_found(copied: Path) -> None:
    edit_last(copied, "deltas.tabled", lambda e: e["by_bits"]["W4A4"].update(high=0.5))
    edit_last(copied, "variant.measured", lambda e: e["values"].update(nll=e["values"]["nll"] + 1e-4))
    edit_last(copied, "curves.drawn", lambda e: e["curves"][0]["tpr"].__setitem__(20, 0.0011))
    told = "\n".join(document(Session.at(copied)).mismatches)
    assert "mean of W4A4, ap_out lost, high end: the journal says 0.5," in told
    assert "deit3-wide W4A4, nll: the journal says" in told
    assert "deit3-wide W4A4, unseen-fractals, ROC curve" in told and "1 of them are off the curve" in told
    assert len(told.splitlines()) == 3


def test_a_score_or_variant_that_the_arrays_do_not_have_is_a_mismatch(copied: Path) -> None:
    edit_last(copied, "variant.measured", lambda e: e.update(variant="deit3-wide W2A2"))
    told = document(Session.at(copied)).mismatches
    assert any("deit3-wide W2A2" in line for line in told)


def test_quick_takes_the_intervals_of_the_journal_and_measures_the_values(recorded: Path) -> None:
    quick, whole = document(Session.at(recorded), quick=True), document(Session.at(recorded))
    assert quick.deltas == whole.deltas and quick.by_bits == whole.by_bits and quick.twins == whole.twins
    assert quick.mismatches == () and (quick.intervals, whole.intervals) == ("journal", "arrays")
    assert "not recomputed" in report.render(quick, "md")
    assert "not recomputed" not in report.render(whole, "md")


def test_a_session_without_arrays_says_what_is_missing(copied: Path) -> None:
    (copied / "arrays" / "energy.npy").unlink()
    with pytest.raises(JournalError, match=r"energy\.npy"):
        document(Session.at(copied))
    shutil.rmtree(copied / "arrays")
    with pytest.raises(JournalError, match="folder arrays is missing"):
        document(Session.at(copied))


def test_arrays_with_fewer_rows_than_finished_are_refused(copied: Path) -> None:
    for path in (copied / "arrays").iterdir():
        np.save(path, np.load(path)[:100])
    with pytest.raises(JournalError, match="390 rows are finished, but there are only 100"):
        document(Session.at(copied))


def test_an_unfinished_session_reports_what_is_there(copied: Path) -> None:
    path = copied / JOURNAL
    lines = path.read_bytes().splitlines(keepends=True)
    chunks = [at for at, line in enumerate(lines) if b"chunk.finished" in line]
    path.write_bytes(b"".join(lines[: chunks[3] + 1]))
    found = document(Session.at(copied))
    assert (found.state, found.rows, found.planned, found.sequential) == ("interrupted", 200, 390, True)
    rank = Arrays(Folder(copied), found.plan).first(200).values("rank", 0, 0)
    assert found.variants[0].value("top1") == pytest.approx(float(np.mean(rank == 0)), abs=1e-6)
    assert found.mismatches == () and all(row.main.mean.p is None for row in found.deltas)
    text = report.render(found, "md")
    assert "after 200 of 390 images" in text and "The session is interrupted" in text
    path.write_bytes(b"".join(lines[: chunks[0]]))
    with pytest.raises(InputError, match="nothing in it is finished"):
        document(Session.at(copied))


@pytest.mark.parametrize("resamples", [0, 1, 10**12])
def test_a_number_of_resamples_from_a_stranger_is_not_obeyed(copied: Path, resamples: int) -> None:
    edit_last(copied, "deltas.tabled", lambda e: e.update(resamples=resamples))
    found = document(Session.at(copied))
    assert found.resamples == 1000
    assert [line for line in found.mismatches if line.startswith("resamples: the journal says")]


def test_a_damaged_journal_is_told_first_whatever_the_arrays_say(copied: Path) -> None:
    path = copied / JOURNAL
    lines = path.read_bytes().splitlines(keepends=True)
    at = max(n for n, line in enumerate(lines) if b'"type":"chunk.finished"' in line)
    lines[at] = lines[at].replace(b'"seconds":', b'"secondz":')
    path.write_bytes(b"".join(lines))
    found = document(Session.at(copied))
    assert any(f"line {at + 1}" in line for line in found.mismatches)
    for form in FORMATS:
        if form != "csv":  # whose mismatches are told beside it
            assert f"line {at + 1}" in render(found, form)


def test_a_headline_that_was_chosen_later_is_not_said_to_have_been_the_plans(copied: Path) -> None:
    writer = Writer(copied)
    writer.append(ScoresAdded((), {}, "energy", {}, {}))
    writer.close("finished")
    said = render(document(Session.at(copied)), "md")
    assert "Energy, chosen after the sweep: the plan had chosen MSP" in said
    assert "which the plan chose beforehand" not in said
