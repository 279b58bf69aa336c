from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from engine.archive.verify import verify
from engine.errors import JournalError
from engine.session.arrays import Arrays
from engine.session.layout import JOURNAL
from engine.session.place import Folder
from engine.session.session import Session
from engine.session.writer import Writer
from qood_tui.state.state import State, fold
from tests.journals import RECORDED, Plain, forge, line_of, reseal, rewrite
from tests.made import Made
from tests.running import small_plan

LATEST = RECORDED / max(path.name for path in RECORDED.iterdir())
CORRUPTIONS = 1000


@pytest.fixture
def session(tmp_path: Path) -> Path:
    return Path(shutil.copytree(LATEST, tmp_path / "session"))


def test_a_whole_session_has_no_damage(recorded: Path) -> None:
    for whole in (recorded, *RECORDED.iterdir()):
        found = verify(Folder(whole))
        assert found.is_whole, found.damage
        assert any("SHA-256" in line for line in found.seen)


def corrupted(data: bytes, draw: random.Random) -> bytes:
    """Flip, delete, duplicate or insert some bytes."""
    at, count = draw.randrange(len(data)), draw.choice((1, 1, 1, 2, 7, 64, 1000))
    match draw.choice(("flip", "delete", "duplicate", "insert")):
        case "flip":
            changed = bytes(byte ^ draw.randrange(1, 256) for byte in data[at : at + count])
            return data[:at] + changed + data[at + count :]
        case "delete":
            return data[:at] + data[at + count :]
        case "duplicate":
            return data[: at + count] + data[at:]
        case _:
            return data[:at] + draw.randbytes(count) + data[at:]


def test_no_corruption_raises_or_changes_what_is_shown_and_each_is_named(session: Path) -> None:
    """What is still read of a damaged journal are events that were written, in their order."""
    draw = random.Random(7)
    entries = Session.at(LATEST).entries
    written = {entry.seq: entry for entry in entries}
    files = [session / JOURNAL] * 3 + sorted((session / "arrays").iterdir())
    for number in range(CORRUPTIONS):
        path = draw.choice(files)
        before = path.read_bytes()
        after = corrupted(before, draw)
        if after == before:
            continue
        path.write_bytes(after)
        found = verify(Folder(session), quick=True)
        assert not found.is_whole, (number, path.name)
        assert any(path.name.partition(".")[0] in line for line in found.damage), found
        try:
            read = Session.at(session)
            header, still = read.header, read.entries
        except JournalError:
            still = []
        assert all(written[entry.seq] == entry for entry in still)
        assert [entry.seq for entry in still] == sorted({entry.seq for entry in still})
        if still:
            assert isinstance(fold(header, still), State)
        path.write_bytes(before)
    assert verify(Folder(session), quick=True).is_whole


def test_cut_anywhere_it_opens_shows_every_whole_event_and_says_what_is_missing(session: Path) -> None:
    path = session / JOURNAL
    whole = path.read_bytes()
    entries = Session.at(LATEST).entries
    ends = [at + 1 for at, byte in enumerate(whole) if byte == 10]
    near = {end + step for end in ends for step in (-2, -1, 0, 1, 2)}
    for cut in sorted(near | set(range(ends[0], len(whole), 199)), reverse=True):
        if not ends[0] <= cut < len(whole):
            continue
        os.truncate(path, cut)
        read = Session.at(session)
        still, reader = read.entries, read.journal
        finished = sum(end <= cut for end in ends) - 1
        assert still == entries[:finished]
        assert reader.torn == cut - ends[finished]
        assert reader.skipped == 0
    found = verify(Folder(session), quick=True)
    assert any("closing event is missing" in line for line in found.damage)


def _swap(session: Path, first: int, second: int) -> None:
    path = session / JOURNAL
    lines = path.read_bytes().splitlines(keepends=True)
    lines[first], lines[second] = lines[second], lines[first]
    path.write_bytes(b"".join(lines))


def _without_line(session: Path, at: int) -> None:
    path = session / JOURNAL
    lines = path.read_bytes().splitlines(keepends=True)
    del lines[at]
    path.write_bytes(b"".join(lines))


def _other_number(session: Path) -> None:
    array = np.load(session / "arrays" / "msp.npy")
    array[3, 1] += 1e-12
    np.save(session / "arrays" / "msp.npy", array)


def _twice(session: Path) -> None:
    array = np.load(session / "arrays" / "samples.npy")
    array[5] = array[4]
    np.save(session / "arrays" / "samples.npy", array)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda s: _without_line(s, 20), "missing"),
        (lambda s: _without_line(s, -1), "closing event is missing"),
        (lambda s: _swap(s, 20, 21), "journal.jsonl line"),
        (lambda s: reseal(s, lambda text: text.replace(b'"auroc"', b'"auRoc"')), "were changed"),
        (lambda s: reseal(s, lambda text: text.replace(b'"seed":0', b'"seed":1')), "identity"),
        (_other_number, "arrays/msp: rows 0 to 49 differ"),
        (_twice, "one of them twice"),
        (lambda s: (s / "arrays" / "nll.npy").unlink(), "nll.npy"),
        (lambda s: (s / "arrays" / "x.npy").symlink_to("/etc/passwd"), "arrays/x.npy: it is a link"),
        (lambda s: (s / "quantized").symlink_to("/etc"), "link to elsewhere"),
        (lambda s: os.mkfifo(s / "arrays" / "pipe.npy"), "not a plain file"),
    ],
)
def test_every_kind_of_damage_is_named(session: Path, harm: Callable[[Path], object], said: str) -> None:
    harm(session)
    found = verify(Folder(session), quick=True)
    assert any(said in line for line in found.damage), found.damage


def test_a_saved_quantizer_that_was_changed_is_named(copied: Path) -> None:
    session = copied
    found = verify(Folder(session), quick=True)
    assert found.is_whole and "4 quantized variants, by SHA-256" in found.seen
    path = next((session / "quantized").iterdir())
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    assert verify(Folder(session), quick=True).damage == (
        f"quantized/{path.name}: it differs from what was saved",
    )
    path.write_bytes(data[:-1])
    assert "an intact safetensors file is needed" in verify(Folder(session), quick=True).damage[0]
    path.write_bytes((1 << 62).to_bytes(8, "little") + b"{}")
    assert "claims" in verify(Folder(session), quick=True).damage[0]


def test_a_session_that_is_being_written_is_whole_so_far(session: Path) -> None:
    _without_line(session, -1)
    writer = Writer(session)
    found = verify(Folder(session), quick=True)
    assert found.is_whole and "it is still being written" in found.notes
    writer.abandon()
    assert not verify(Folder(session), quick=True).is_whole


HUGE = 2**60


@pytest.mark.parametrize(
    ("name", "harm"),
    [
        ("link", lambda path: (path.unlink(), path.symlink_to("/dev/zero"))),
        ("pipe", lambda path: (path.unlink(), os.mkfifo(path))),
        ("folder", lambda path: (path.unlink(), path.mkdir())),
        ("pickle", lambda path: np.save(path, np.array([[{}]], object), allow_pickle=True)),
        ("huge", lambda path: path.write_bytes(path.read_bytes().replace(b"(120, 6)", b"(%d, 6)" % HUGE))),
        ("negative", lambda path: path.write_bytes(path.read_bytes().replace(b"(120, 6)", b"(-12, 6)"))),
        ("wide", lambda path: np.save(path, np.zeros((120, 7)))),
        ("integers", lambda path: np.save(path, np.zeros((120, 6), np.int64))),
        ("columns first", lambda path: np.save(path, np.asfortranarray(np.zeros((120, 6))))),
    ],
)
def test_arrays_of_a_stranger_are_refused_in_words(
    session: Path, name: str, harm: Callable[[Path], object]
) -> None:
    harm(session / "arrays" / "msp.npy")
    with pytest.raises(JournalError, match=r"msp\.npy"):
        Arrays(Folder(session), Session.at(session).header.plan)


def test_a_folder_of_arrays_that_is_a_link_is_refused(session: Path, tmp_path: Path) -> None:
    (session / "arrays").rename(tmp_path / "elsewhere")
    (session / "arrays").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(JournalError, match="link"):
        Arrays(Folder(session), Session.at(session).header.plan)


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_a_journal_that_is_no_plain_file_is_refused_in_words(session: Path, kind: str) -> None:
    path = session / JOURNAL
    path.rename(session / "elsewhere")
    match kind:
        case "link":
            path.symlink_to(session / "elsewhere")
        case "pipe":
            os.mkfifo(path)
        case _:
            path.mkdir()
    with pytest.raises(JournalError, match="the session journal cannot be read"):
        Session.at(session).follow()


def of(kind: str, **changes: object) -> Callable[[Plain], object]:
    """Return a change of every event of a kind."""
    return lambda event: event.update(changes) if event["type"] == kind else None


def first_look(event: Plain) -> None:
    if event["type"] == "variant.measured" and event["rows"] < 120:
        event["values"]["top1"] = 0.1234


def first_curve(event: Plain) -> None:
    if event["type"] == "curves.drawn":
        event["curves"][0]["tpr"][1] = 0.0001


def larger_sets(event: Plain) -> None:
    if event["type"] == "sets.prepared":
        for one in event["sets"]:
            one["count"] *= 1000


def other_names(event: Plain) -> None:
    if event["type"] == "sets.prepared":
        for one in event["sets"]:
            one["name"] = f"zz{one['name']}"


def without_tables(event: Plain) -> None:
    if event["type"] in ("variant.measured", "curves.drawn", "deltas.tabled"):
        event.update(type="logged", level="info", text="nothing")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (first_look, "top1: the journal says 0.1234"),
        (first_curve, "ROC curve"),
        (larger_sets, "images"),
        (other_names, "image sets"),
        (of("sets.prepared", rows=12), "12 in all, 120 in its sets"),
        (without_tables, "has no table of all its rows"),
    ],
)
def test_what_was_forged_with_every_hash_made_anew_is_told_by_the_arrays(
    session: Path, change: Callable[[Plain], object], said: str
) -> None:
    forge(session, change)
    found = verify(Folder(session))
    assert any(said in line for line in found.damage), found


@pytest.mark.parametrize(("first", "rows"), [(0, 0), (0, -5), (-120, 120), (0, 2**62), (2**62, 1)])
def test_counts_that_cannot_be_are_told_and_raise_nothing(session: Path, first: int, rows: int) -> None:
    forge(session, of("chunk.finished", first=first, rows=rows))
    assert not verify(Folder(session)).is_whole


def test_very_many_findings_are_counted(session: Path) -> None:
    for number in range(300):
        (session / f"odd-{number}").touch()
    assert verify(Folder(session), quick=True).notes[-1].startswith("and 1")


def test_scores_at_the_ends_of_what_a_number_can_be_raise_nothing(session: Path) -> None:
    path = session / "arrays" / "msp.npy"
    array = np.load(path)
    array[::2], array[1::2] = 1.7e308, -1.7e308
    np.save(path, array)
    assert not verify(Folder(session)).is_whole


def test_a_plan_of_too_many_variants_is_refused(session: Path) -> None:
    def many(position: int, line: Plain) -> None:
        if not position:
            line["plan"]["models"] = [f"m{number}" for number in range(200)]
            line["plan"]["calibration_draws"] = 100

    rewrite(session, many)
    assert "variants" in verify(Folder(session)).damage[0]


def test_sessions_that_kept_outputs_are_whole_whichever_identity_they_have(tmp_path: Path) -> None:
    plan = small_plan(
        models=("vit-narrow",), bits=("FP32", "W4A4"), ood_sets=("near",), scores=("msp",), keep_outputs=True
    )
    session = Made(plan, {"fractals": 60, "near": 40}).written(tmp_path)
    now = Session.at(session).header.identity
    assert now == msgspec.structs.replace(plan, keep_outputs=False).identity()
    assert verify(Folder(session)).is_whole
    of_old = hashlib.sha256(msgspec.json.encode(plan, order="deterministic")).hexdigest()
    path = session / JOURNAL
    for identity, is_whole in ((of_old, True), ("0" * 64, False)):
        first, *rest = path.read_bytes().splitlines(keepends=True)
        header = {**json.loads(first), "identity": identity}
        path.write_bytes(b"".join([line_of(header), *rest]))
        forge(session, lambda event: None)
        assert verify(Folder(session)).is_whole is is_whole
