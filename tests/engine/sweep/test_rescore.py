"""Scores added to a finished session from the outputs that it kept."""

from __future__ import annotations

import errno
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from engine import report
from engine.__main__ import main
from engine.archive.verify import verify
from engine.commands import scores
from engine.errors import EngineError, InputError, JournalError
from engine.plan.plan import Plan
from engine.protocol.events import DeltasMeasured, Logged, Measured, ScoresAdded, SessionClosed
from engine.session.arrays import Arrays
from engine.session.layout import JOURNAL, OUTPUTS, RESERVE
from engine.session.lease import LeaseLost
from engine.session.outputs import KeptOutputs, path_of
from engine.session.place import Folder
from engine.session.session import Session
from engine.session.writer import Writer
from engine.sweep.rescore import rescore
from qood_tui.state.state import fold
from tests.running import small_plan, sweep

OF_SWEEP = ("msp", "energy", "vim", "mahalanobis", "react")
PLAN = small_plan(
    models=("vit-narrow", "deit3-wide"), bits=("FP32", "W4A4"), scores=OF_SWEEP, keep_outputs=True
)


def quiet(_: str) -> None:
    return None


@pytest.fixture(scope="module")
def swept() -> Path:
    return sweep(PLAN)


@pytest.fixture(scope="module")
def poor() -> Path:
    """Return a session of the same sweep with two scores, for the others to be added."""
    return sweep(msgspec.structs.replace(PLAN, scores=("msp", "energy")))


@pytest.fixture
def session(poor: Path, tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns("lease*")  # which may be there for an instant after the end
    return Path(shutil.copytree(poor, tmp_path / "session", ignore=ignored))


def files_of(session: Path) -> dict[str, str]:
    files = [file for file in session.rglob("*") if file.is_file()]
    return {str(f.relative_to(session)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def closing_hash_is_right(session: Path) -> bool:
    lines = (session / JOURNAL).read_bytes().splitlines(keepends=True)
    closed = Session.at(session).entries[-1].event
    assert isinstance(closed, SessionClosed)
    return (
        closed.sha256 == hashlib.sha256(b"".join(lines[:-1])).hexdigest() and closed.events == len(lines) - 2
    )


def plan_of(session: Path) -> Plan:
    return Session.at(session).plan


def last_of(session: Path, kind: type) -> Any:
    return [e.event for e in Session.at(session).entries if isinstance(e.event, kind)][-1]


def test_what_is_added_has_the_bits_of_what_a_sweep_computes(swept: Path, session: Path) -> None:
    rescore(session, ["vim", "mahalanobis", "react"], None, quiet)
    for name in OF_SWEEP:
        here, there = (path / "arrays" / f"{name}.npy" for path in (session, swept))
        assert here.read_bytes() == there.read_bytes(), name
    assert plan_of(session) == msgspec.structs.replace(PLAN, scores=OF_SWEEP)
    assert last_of(session, DeltasMeasured) == last_of(swept, DeltasMeasured)
    of_sweep = {e.event.variant: e.event for e in Session.at(swept).entries if isinstance(e.event, Measured)}
    now = {e.event.variant: e.event for e in Session.at(session).entries if isinstance(e.event, Measured)}
    assert now == of_sweep


def test_scores_of_the_sweep_computed_again_are_identical_and_nothing_is_written(swept: Path) -> None:
    before = files_of(swept)
    said = rescore(swept, list(OF_SWEEP), None, quiet)
    assert len(said) == len(OF_SWEEP) and all("1,560 numbers are identical" in line for line in said)
    assert files_of(swept) == before


def test_the_journal_goes_on_and_everything_reads_the_added_scores(session: Path) -> None:
    rows = len(Session.at(session).entries)
    said = rescore(session, ["knn:k=10", "gen"], "knn", quiet)
    assert any("knn: added for 390 images and 4 variants" in line for line in said)
    read = Session.at(session)
    header, entries, reader = read.header, read.entries, read.journal
    assert (reader.skipped, reader.torn, reader.unknown) == (0, 0, 0)
    assert closing_hash_is_right(session) and read.state == "finished"
    added = [entry.event for entry in entries[rows:]]
    assert isinstance(added[0], ScoresAdded) and isinstance(added[-1], SessionClosed)
    assert (added[0].scores, added[0].parameters) == (("knn", "gen"), {"knn": {"k": 10}})
    assert {"torch", "numpy", "qood-tui"} <= set(added[0].versions)
    assert not (session / RESERVE).exists() and not list(session.rglob("*.partial"))
    plan = plan_of(session)
    assert (plan.scores, plan.headline) == (("msp", "energy", "knn", "gen"), "knn")
    assert Arrays(Folder(session), plan).digests(0, 390)["knn"] == added[0].digests["knn"]
    state = fold(header, entries)
    assert state.header.plan == plan and state.closed is not None
    assert {cell.score for cell in state.measured["vit-narrow W4A4"].cells} == set(plan.scores)
    assert set(state.cells_of("vit-narrow W4A4")) == set(plan.ood_sets)
    assert any("scores added: knn, gen" in line.text for line in state.log)
    found = report.document(Session.at(session))
    assert {cell.score for row in found.variants for cell in row.sets} == set(plan.scores)
    assert found.headline == "knn"
    closed = next(entry for entry in entries if isinstance(entry.event, SessionClosed))
    assert found.seconds == closed.t < entries[-1].t
    assert verify(Folder(session)).damage == ()


def test_an_added_score_is_that_of_the_scores_command_on_the_same_arrays(session: Path) -> None:
    rescore(session, ["knn:k=10"], None, quiet)
    outputs = KeptOutputs(Folder(session), PLAN)
    logits, features = outputs.part(3, 0, 390)
    arrays = {"logits": logits, "features": features, **outputs.fit(3)}
    found, failed = scores.compute(
        {name: torch.from_numpy(array) for name, array in arrays.items()}, [("knn", {"k": 10})]
    )
    here = np.load(session / "arrays" / "knn.npy")[:, 3]
    assert not failed
    np.testing.assert_allclose(here, found["knn"], rtol=1e-9)
    # By its definition: the distance to the tenth nearest feature of the fit set, all of length 1.
    bank, query = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (arrays["fit_features"], features))
    distance = np.sort(np.linalg.norm(query[:40, None] - bank[None], axis=2), 1)[:, 9]
    np.testing.assert_allclose(here[:40], distance, rtol=1e-4)


def test_another_headline_is_measured_without_outputs(session: Path, swept: Path) -> None:
    shutil.rmtree(session / OUTPUTS)
    assert rescore(session, [], "energy", quiet) == ["headline: energy"]
    added = last_of(session, ScoresAdded)
    assert (added.scores, added.digests, added.headline) == ((), {}, "energy")
    whole = sweep(msgspec.structs.replace(PLAN, scores=("msp", "energy"), headline="energy"))
    assert last_of(session, DeltasMeasured) == last_of(whole, DeltasMeasured)
    assert closing_hash_is_right(session)
    rescore(session, [], "msp", quiet)
    assert last_of(session, DeltasMeasured) == last_of(swept, DeltasMeasured)


def test_a_score_has_the_parameters_it_was_added_with(session: Path) -> None:
    rescore(session, ["knn:k=10"], None, quiet)
    before = files_of(session)
    with pytest.raises(InputError, match="this session has it with k = 10"):
        rescore(session, ["gen", "knn:k=11"], None, quiet)
    assert rescore(session, ["knn:k=10"], None, quiet)[0].endswith("are identical")
    assert files_of(session) == before


@pytest.mark.parametrize(
    ("asked", "headline", "words"),
    [
        (["knnn"], None, "did you mean knn"),
        (["knn:k=0"], None, "above 0"),
        (["knn:q=1"], None, "parameter of knn"),
        (["gen"], "vim", "choose from msp, energy, gen"),
        ([], None, "--headline NAME"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(
    poor: Path, asked: list[str], headline: str | None, words: str
) -> None:
    before = files_of(poor)
    with pytest.raises(InputError, match=words):
        rescore(poor, asked, headline, quiet)
    assert files_of(poor) == before


def test_a_session_that_kept_nothing_says_what_would_help(recorded: Path) -> None:
    for score in ("knn", "gen", "msp"):
        with pytest.raises(InputError, match="--keep-outputs"):
            rescore(recorded, [score], None, quiet)


def test_a_session_that_is_not_finished_is_refused(session: Path) -> None:
    lines = (session / JOURNAL).read_bytes().splitlines(keepends=True)
    (session / JOURNAL).write_bytes(b"".join(lines[:-4]))
    with pytest.raises(InputError, match=r"interrupted.*--resume"):
        rescore(session, ["gen"], None, quiet)


@pytest.mark.parametrize("name", ["logits", "features", "fit_features", "weight", "msp"])
def test_damage_is_refused_and_nothing_is_added(session: Path, name: str) -> None:
    variant = PLAN.variants()[2]
    path = session / "arrays" / "msp.npy" if name == "msp" else path_of(session, variant, name)
    array = np.load(path, mmap_mode="r+")
    array[11] += 1
    array.flush()
    before = files_of(session)
    with pytest.raises(JournalError, match=r"rows 0 to 49|deit3-wide FP32 .* damaged"):
        rescore(session, ["vim"], None, quiet)
    assert files_of(session) == before


def test_outputs_that_are_not_here_are_said(session: Path) -> None:
    shutil.rmtree(session / OUTPUTS)
    with pytest.raises(JournalError, match="are missing"):
        rescore(session, ["gen"], None, quiet)


def test_a_damaged_journal_is_not_gone_on_with(session: Path) -> None:
    lines = (session / JOURNAL).read_bytes().splitlines(keepends=True)
    lines[5] = lines[5].replace(b'"t":', b'"t":9')
    (session / JOURNAL).write_bytes(b"".join(lines))
    with pytest.raises(JournalError, match="line 6"):
        rescore(session, ["gen"], None, quiet)


def test_a_score_without_any_value_is_not_added(session: Path) -> None:
    before = files_of(session)
    with pytest.raises(EngineError, match=r"knn has no value.*k = 5000"):
        rescore(session, ["gen", "knn:k=5000"], None, quiet)
    assert files_of(session) == before


def test_another_writer_is_waited_for_by_the_user(session: Path) -> None:
    writer = Writer(session)
    with pytest.raises((EngineError, InputError), match=r"running|being written"):
        rescore(session, ["gen"], None, quiet)
    writer.release_reserve()
    writer.abandon()
    rescore(session, ["gen"], None, quiet)


@pytest.mark.parametrize("after", [0, 1, 5])
def test_a_full_disk_leaves_the_session_as_it_was(
    session: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """The disk is full from the first array on, or from so many events on."""
    before, append, written = files_of(session), Writer.append, []

    def full(writer: Writer, event: Any) -> Any:
        written.append(event)
        if len(written) >= after:
            raise OSError(errno.ENOSPC, "No space left on device")
        return append(writer, event)

    def no_room(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if after:
        monkeypatch.setattr(Writer, "append", full)
    else:
        monkeypatch.setattr(np, "save", no_room)
    with pytest.raises(EngineError, match=r"No space left.*is unchanged"):
        rescore(session, ["gen", "knn"], "gen", quiet)
    assert files_of(session) == before
    monkeypatch.undo()
    rescore(session, ["gen", "knn"], "gen", quiet)
    assert closing_hash_is_right(session)


def test_a_session_that_was_taken_over_is_left_to_its_new_owner(
    session: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another machine has the journal by the time of the second event, and has written to it."""
    append, theirs = Writer.append, b"a line of the other machine\n"

    def lost(writer: Writer, event: Any) -> Any:
        if isinstance(event, ScoresAdded):
            return append(writer, event)
        with (session / JOURNAL).open("ab") as file:
            file.write(theirs)
        raise LeaseLost("taken over")

    monkeypatch.setattr(Writer, "append", lost)
    with pytest.raises(JournalError, match="taken over"):
        rescore(session, ["gen"], None, quiet)
    assert (session / JOURNAL).read_bytes().endswith(theirs)


@pytest.mark.parametrize("cut", [1, 3])
def test_an_addition_that_was_killed_is_made_whole_by_the_next(session: Path, cut: int) -> None:
    """The process dies before the events are on the disk, or after some of them."""
    rows = len((session / JOURNAL).read_bytes().splitlines())
    rescore(session, ["gen"], "gen", quiet)
    lines = (session / JOURNAL).read_bytes().splitlines(keepends=True)
    (session / JOURNAL).write_bytes(b"".join(lines[: rows - 1 + cut]))
    assert Session.at(session).state == "finished"
    rescore(session, ["gen"], "gen", quiet)
    assert closing_hash_is_right(session)
    assert last_of(session, DeltasMeasured).rows == 390
    cells = last_of(session, Measured).cells
    assert {cell.score for cell in cells} == {"msp", "energy", "gen"} == set(plan_of(session).scores)


def test_warnings_are_said_once(session: Path) -> None:
    rescore(session, ["react"], None, quiet)
    rescore(session, ["ash_s"], None, quiet)
    texts = [e.event.text for e in Session.at(session).entries if isinstance(e.event, Logged)]
    assert sum("react: it assumes features" in text for text in texts) == 1
    assert len(texts) == len(set(texts))


def test_the_command_runs_in_a_process_of_its_own(session: Path) -> None:
    program = "from qood_tui.cli.rescore import rescore; rescore()"
    scores = [sys.executable, "-c", program, str(session), "--score", "gen,knn:k=10", "--headline", "gen"]
    ran = subprocess.run(scores, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "gen: added for 390 images and 4 variants" in ran.stdout and "headline: gen" in ran.stdout
    assert "vit-narrow W4A4: gen, knn" in ran.stderr


def test_the_command_ends_with_2_or_3_and_says_why(
    session: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    for score, status, words in (("knnn", 2, "did you mean knn"), ("knn:k=5000", 3, "knn has no value")):
        monkeypatch.setattr(sys, "argv", ["engine", "rescore", str(session), "--score", score])
        assert main() == status
        told = capsys.readouterr().err
        assert "qood-tui sessions rescore: " in told and words in told
