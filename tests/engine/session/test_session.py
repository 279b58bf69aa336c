from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.archive.transfer import export
from engine.errors import JournalError
from engine.plan.plan import Plan, preset
from engine.protocol.events import (
    ChunkFinished,
    Logged,
    ScoresAdded,
    SessionResumed,
    SetReady,
    SetsPrepared,
    VariantFailed,
    VariantReady,
    WorkerStarted,
)
from engine.session import notes, store
from engine.session.layout import ARRAYS, JOURNAL
from engine.session.session import Session
from engine.session.writer import Writer
from tests.journals import RECORDED, VERSIONS

GOLDEN = Path(__file__).parent / "golden"  # what a session of every format says, by its number
ROWS = {"msp": "a" * 64}


def nouns(session: Session) -> dict[str, Any]:
    """Return everything that a session says of itself, as plain data."""
    journal = session.journal
    told = {
        "id": session.header.id,
        "format": journal.version,
        "plan": session.plan,
        "identity": session.header.identity,
        "events": dict(sorted(Counter(type(event).__name__ for event in session.events).items())),
        "entries": len(session.entries),
        "last": session.last,
        "damage": [session.damaged, journal.unknown, list(journal.strange)],
        "state": session.state,
        "closed": session.closed,
        "seconds": session.seconds,
        "resumptions": session.resumptions,
        "planned": session.planned,
        "rows": session.rows,
        "chunks": session.chunks,
        "prepared": session.prepared,
        "ready": session.calibrated,
        "lost": session.failed,
        "worker": session.worker,
        "arrays": {name: list(session.arrays.array(name).shape) for name in session.arrays.names},
        "digests": session.arrays.digests(0, session.rows),
        "files": {file.name: file.size for file in session.files},
        "note": session.note,
    }
    return dict(json.loads(msgspec.json.encode(told)))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_of_every_format_says_what_it_always_said(version: str) -> None:
    golden = json.loads((GOLDEN / f"{version}.json").read_text())
    assert nouns(Session.at(RECORDED / version)) == golden


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_in_one_file_is_the_same_session(version: str, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(RECORDED / version, folder)
    notes.write(folder, "worth knowing")
    session = Session.at(export(folder, tmp_path / "other.qood").file)
    assert nouns(session) == nouns(Session.at(folder))
    assert session.name == "mine" and session.note == "worth knowing"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "other.qood"]


def quick(root: Path, **changes: Any) -> tuple[Path, Writer]:
    plan = msgspec.structs.replace(preset("quick"), **changes)
    folder = store.create(plan, (), root, "quick")
    return folder, Writer(folder)


def prepared(plan: Plan, rows: int) -> SetsPrepared:
    return SetsPrepared((SetReady(plan.id_set, "id", "", rows, "0" * 64),), rows, ())


def test_what_an_attempt_says_of_rows_it_did_not_finish_is_not_the_sessions(tmp_path: Path) -> None:
    folder, writer = quick(tmp_path)
    one, other = (variant.key for variant in writer.plan.variants()[:2])
    gone, there = WorkerStarted("gone", 1, {}), WorkerStarted("there", 1, {})
    for event in (gone, prepared(writer.plan, 7), VariantReady(one, "1" * 64, 0.0, 10)):
        writer.append(event)
    assert Session.at(folder).planned == 7 and Session.at(folder).rows == 0
    of_second = (there, prepared(writer.plan, 9), VariantReady(one, "2" * 64, 0.0, 50))
    for event in (SessionResumed(0), *of_second, VariantFailed(other, "it diverged")):
        writer.append(event)
    for first, rows in ((0, 4), (4, 2), (8, 1)):
        writer.append(ChunkFinished(first, rows, 1.0, ROWS))
    session = Session.at(folder)
    assert session.state == "running"
    writer.abandon()
    assert (session.planned, session.rows, [chunk.first for chunk in session.chunks]) == (9, 6, [0, 4])
    assert session.calibrated[one].digest == "2" * 64 and session.classes == {one: 50}
    assert session.failed == {other: "it diverged"} and session.worker == there
    assert (session.resumptions, session.closed, session.is_closed) == (1, None, False)
    assert Session.at(folder).state == "interrupted"


def test_added_scores_are_in_the_plan_and_not_in_the_sweep(tmp_path: Path) -> None:
    folder, writer = quick(tmp_path, scores=("msp",), headline="msp", score_parameters={})
    writer.append(ChunkFinished(0, 4, 1.0, ROWS))
    writer.close("finished")
    before = Session.at(folder)
    sweep = list(before.entries)
    writer = Writer(folder)
    writer.append(ScoresAdded(("knn",), {"knn": {"k": 10}}, "knn", {}, {}))
    session = Session.at(folder)
    assert session.state == "finished" and session.closed is not None and not session.is_closed
    writer.close("finished")
    session = Session.at(folder)
    assert session.header.plan.scores == ("msp",) and session.plan.scores == ("msp", "knn")
    assert session.plan.headline == "knn" and session.plan.score_parameters == {"knn": {"k": 10}}
    assert list(session.sweep) == sweep and session.seconds == before.seconds


def test_a_session_is_read_once_and_followed_from_its_beginning(tmp_path: Path) -> None:
    folder, writer = quick(tmp_path)
    writer.append(Logged("info", "first"))
    session = Session.at(folder)
    reader = session.follow()
    assert len(session.entries) == len(reader.poll()) == 1
    writer.append(Logged("info", "second"))
    assert len(session.entries) == 1
    assert [entry.event for entry in reader.poll()] == [Logged("info", "second")]
    writer.abandon()


def test_damage_is_counted_and_the_rest_is_read(tmp_path: Path) -> None:
    shutil.copytree(RECORDED / "2", tmp_path / "mine")
    lines = (tmp_path / "mine" / JOURNAL).read_bytes().splitlines(keepends=True)
    lines[5] = lines[5].replace(b'"seq":5', b'"seq":6')
    (tmp_path / "mine" / JOURNAL).write_bytes(b"".join(lines) + b'{"seq":58,"to')
    session = Session.at(tmp_path / "mine")
    assert session.damaged == 2 and len(session.entries) == 57
    assert (session.rows, session.state) == (120, "finished")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="the session journal cannot be read"):
        Session.at(tmp_path)
    shutil.copytree(RECORDED / "2", tmp_path / "mine")
    session = Session.at(tmp_path / "mine")
    assert session.has_arrays and session.note == ""
    (tmp_path / "mine" / ARRAYS / "nll.npy").unlink()
    with pytest.raises(JournalError, match=r"nll\.npy"):
        _ = session.arrays
    session = Session.at(tmp_path / "mine")
    shutil.rmtree(tmp_path / "mine")
    with pytest.raises(JournalError, match="it can no longer be read"):
        _ = session.entries
