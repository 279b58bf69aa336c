from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tracemalloc
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import JournalError
from engine.plan.plan import preset
from engine.protocol.events import (
    VERSION,
    ChunkFinished,
    Entry,
    Logged,
    PhaseChanged,
    ScoresAdded,
    SessionClosed,
    SessionResumed,
)
from engine.session import attempts, store
from engine.session.arrays import Arrays
from engine.session.journal import Reader, parse_header
from engine.session.layout import JOURNAL
from engine.session.migrations import HEADERS
from engine.session.place import Folder
from engine.session.seal import sealed
from engine.session.session import Session, seconds_of, swept
from engine.session.writer import Writer
from tests.journals import RECORDED, reseal


@pytest.fixture
def session(tmp_path: Path) -> Path:
    return store.create(preset("quick"), {}, tmp_path, "quick")


def test_reads_back_what_was_written(session: Path) -> None:
    writer = Writer(session)
    writer.append(Logged("info", "one"))
    writer.append(ChunkFinished(0, 5, 0.1, {}))
    writer.close("finished")
    read = Session.at(session)
    header, entries, reader = read.header, read.entries, read.journal
    assert header.plan == preset("quick")
    assert [entry.seq for entry in entries] == [1, 2, 3]
    assert entries[0].event == Logged("info", "one")
    assert attempts.finished_rows(entry.event for entry in entries) == 5
    assert reader.skipped == reader.torn == 0


def test_closing_event_counts_and_hashes_what_came_before(session: Path) -> None:
    writer = Writer(session)
    writer.append(Logged("info", "one"))
    writer.close("finished")
    lines = (session / JOURNAL).read_bytes().splitlines(keepends=True)
    closed = Session.at(session).entries[-1].event
    assert isinstance(closed, SessionClosed)
    assert closed.events == 1
    assert closed.sha256 == hashlib.sha256(b"".join(lines[:-1])).hexdigest()


def test_a_growing_journal_is_followed(session: Path) -> None:
    writer, reader = Writer(session), Reader(Folder(session))
    two = sealed(b'{"seq":2,"t":1.0,"event":{"type":"logged","level":"info","text":"two"}}')
    assert reader.poll() == []
    writer.append(Logged("info", "one"))
    assert [e.event for e in reader.poll()] == [Logged("info", "one")]
    with (session / JOURNAL).open("ab") as file:
        file.write(two[:20])
    assert reader.poll() == [] and reader.torn > 0
    with (session / JOURNAL).open("ab") as file:
        file.write(two[20:])
    assert [e.event for e in reader.poll()] == [Logged("info", "two")] and reader.torn == 0


def test_cut_at_every_byte_it_opens_with_every_whole_event(session: Path) -> None:
    writer = Writer(session)
    for i in range(4):
        writer.append(Logged("info", f"line {i}"))
    writer.close("finished")
    path = session / JOURNAL
    whole = path.read_bytes()
    header_end = whole.index(b"\n") + 1
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        if cut < header_end:
            with pytest.raises(JournalError):
                Session.at(session)
            continue
        entries = Session.at(session).entries
        assert len(entries) == whole[:cut].count(b"\n") - 1


def test_a_torn_tail_is_kept_aside_and_writing_goes_on(session: Path) -> None:
    writer = Writer(session)
    writer.append(Logged("info", "one"))
    writer.abandon()
    with (session / JOURNAL).open("ab") as file:
        file.write(b'{"seq":2,"torn')
    again = Writer(session)
    again.append(Logged("info", "two"))
    again.close("finished")
    read = Session.at(session)
    entries, reader = read.entries, read.journal
    assert [e.seq for e in entries] == [1, 2, 3] and reader.skipped == 0
    assert (session / "journal.jsonl.torn").read_bytes() == b'{"seq":2,"torn'


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_damage_never_raises_and_is_counted(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    session = store.create(preset("quick"), {}, tmp_path_factory.mktemp("damage"), "quick")
    writer = Writer(session)
    for i in range(6):
        writer.append(Logged("info", f"line {i}"))
    writer.abandon()
    path = session / JOURNAL
    whole = path.read_bytes()
    header_end = whole.index(b"\n") + 1
    at = header_end + data.draw(st.integers(0, 10_000)) % (len(whole) - header_end)
    path.write_bytes(whole[:at] + data.draw(st.binary(min_size=1, max_size=20)) + whole[at + 1 :])
    entries = Session.at(session).entries
    texts = [e.event.text for e in entries if isinstance(e.event, Logged)]
    assert len(texts) >= 3


def test_one_damaged_line_is_counted_once(session: Path) -> None:
    writer = Writer(session)
    for i in range(6):
        writer.append(Logged("info", f"line {i}"))
    writer.abandon()
    lines = (session / JOURNAL).read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b"line 1", b"line x")
    (session / JOURNAL).write_bytes(b"".join([*lines[:4], *lines[5:]]))  # and one line is missing
    journal = Session.at(session).journal
    assert journal.skipped == 2 and journal.damage == [
        "line 3: its checksum does not match",
        "line 5: 1 event missing before it",
    ]


def test_one_damaged_number_costs_no_other_line(session: Path) -> None:
    writer = Writer(session)
    for i in range(6):
        writer.append(Logged("info", f"line {i}"))
    writer.abandon()
    reseal(session, lambda text: text.replace(b'{"seq":2,', b'{"seq":52,'))
    read = Session.at(session)
    entries, reader = read.entries, read.journal
    assert [e.event.text for e in entries if isinstance(e.event, Logged)] == [f"line {i}" for i in range(6)]
    assert reader.skipped == 0


def test_events_and_fields_from_a_later_version_are_passed_over_and_are_no_damage(session: Path) -> None:
    with (session / JOURNAL).open("ab") as file:
        file.write(sealed(b'{"seq":1,"t":0.1,"event":{"type":"from.the.future","x":1},"y":2}'))
        file.write(sealed(b'{"seq":2,"t":0.2,"event":{"type":"logged","level":"info","text":"a","more":1}}'))
    read = Session.at(session)
    entries, reader = read.entries, read.journal
    assert [e.seq for e in entries] == [2]
    assert (reader.unknown, reader.skipped, reader.damage) == (1, 0, [])
    writer = Writer(session)
    writer.close("finished")
    closed = Session.at(session).entries[-1]
    assert isinstance(closed.event, SessionClosed) and (closed.seq, closed.event.events) == (3, 2)


def test_an_event_that_is_known_and_makes_no_sense_is_damage(session: Path) -> None:
    with (session / JOURNAL).open("ab") as file:
        file.write(sealed(b'{"seq":1,"t":0.1,"event":{"type":"logged","level":7}}'))
    read = Session.at(session)
    entries, reader = read.entries, read.journal
    assert not entries and (reader.unknown, reader.skipped) == (0, 1)
    assert reader.damage == ["line 2: it is not an event"]


def test_a_field_of_the_plan_from_a_later_version_is_named_and_keeps_writers_out(session: Path) -> None:
    reseal(session, lambda text: text.replace(b'"seed":0', b'"seed":0,"dithering":"blue"'))
    read = Session.at(session)
    header, reader = read.header, read.journal
    assert header.plan == preset("quick") and reader.strange == ("dithering",)
    with pytest.raises(JournalError, match="dithering"):
        Writer(session)


def test_a_newer_format_is_refused_with_the_version_needed(session: Path) -> None:
    newer = f'"version":{VERSION + 1}'.encode()
    reseal(
        session,
        lambda text: text.replace(b'"version":%d' % VERSION, newer).replace(b"qood-tui 0", b"qood-tui 9"),
    )
    with pytest.raises(JournalError, match=rf"format {VERSION + 1} by qood-tui 9\..* update it"):
        Session.at(session)


@pytest.mark.parametrize("version", sorted(path.name for path in RECORDED.iterdir()))
def test_a_session_of_every_version_can_still_be_read(version: str) -> None:
    read = Session.at(RECORDED / version)
    header, entries, reader = read.header, read.entries, read.journal
    assert parse_header((RECORDED / version / JOURNAL).open("rb").readline(), "journal")["version"] == int(
        version
    )
    assert (reader.skipped, reader.unknown, reader.torn, reader.strange) == (0, 0, 0, ())
    assert isinstance(entries[-1].event, SessionClosed) and entries[-1].event.outcome == "finished"
    rows = attempts.finished_rows(entry.event for entry in entries)
    assert Arrays(Folder(RECORDED / version), header.plan).first(rows).count == rows == 120
    assert set(header.plan.models) == {"vit-narrow", "deit3-wide"}


def test_there_is_a_migration_from_every_version_and_a_session_to_show_it() -> None:
    assert sorted(HEADERS) == list(range(1, VERSION))
    assert {path.name for path in RECORDED.iterdir()} == {str(v) for v in range(1, VERSION + 1)}


def test_a_session_in_an_older_format_is_not_written_to(tmp_path: Path) -> None:
    shutil.copytree(RECORDED / "1", tmp_path / "old")
    before = (tmp_path / "old" / JOURNAL).read_bytes()
    with pytest.raises(JournalError, match="older format"):
        Writer(tmp_path / "old")
    assert (tmp_path / "old" / JOURNAL).read_bytes() == before


def test_the_identity_is_the_hash_of_the_plan_as_it_stands_in_the_header(session: Path) -> None:
    line = (session / JOURNAL).read_bytes()

    class Raw(msgspec.Struct):
        plan: msgspec.Raw
        identity: str

    found = msgspec.json.decode(line, type=Raw)
    assert hashlib.sha256(bytes(found.plan)).hexdigest() == found.identity == preset("quick").identity()


@pytest.mark.parametrize("text", [b"", b"{}\n", b"[1]\n", b"\x80abc\n", b"[" * 100_000 + b"\n", b"nul"])
def test_what_is_no_journal_is_refused_in_words(tmp_path: Path, text: bytes) -> None:
    (tmp_path / JOURNAL).write_bytes(text)
    with pytest.raises(JournalError):
        Session.at(tmp_path)


def test_a_gigantic_line_is_passed_over(session: Path) -> None:
    with (session / JOURNAL).open("ab") as file:
        file.write(b'{"seq":1,' + b" " * (3 << 20) + b"}\n")
        file.write(sealed(b'{"seq":2,"t":0.2,"event":{"type":"logged","level":"info","text":"a"}}'))
    read = Session.at(session)
    entries, reader = read.entries, read.journal
    assert [e.seq for e in entries] == [2] and reader.damage[0].startswith("line 2: it is longer")


def test_only_one_writer(session: Path) -> None:
    writer = Writer(session)
    assert Folder(session).is_being_written()
    with pytest.raises(BlockingIOError):
        Writer(session)
    writer.abandon()
    assert not Folder(session).is_being_written()


def test_a_full_disk_leaves_whole_lines_and_room_for_the_closing_event() -> None:
    """Write to a file system of 200 KB until it is full."""
    import subprocess
    import tempfile

    with tempfile.TemporaryDirectory() as mount:
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", mount], capture_output=True
        )
        if made.returncode:
            pytest.skip("a small file system cannot be mounted here")
        try:
            session = store.create(preset("quick"), {}, Path(mount), "full")
            writer = Writer(session)
            with pytest.raises(OSError) as caught:
                for _ in range(100_000):
                    writer.append(Logged("info", "x" * 1000))
            assert caught.value.errno == errno.ENOSPC
            writer.close("failed", "the disk is full")
            read = Session.at(session)
            entries, reader = read.entries, read.journal
            assert isinstance(entries[-1].event, SessionClosed) and reader.skipped == 0
        finally:
            subprocess.run(["umount", mount], check=True)
    assert not os.path.ismount(mount)


def test_a_line_of_a_gigabyte_is_passed_over_in_little_memory(session: Path) -> None:
    path = session / JOURNAL
    os.truncate(path, path.stat().st_size + (1 << 30))
    with path.open("ab") as file:
        file.write(b"\n" + sealed(b'{"seq":1,"t":0.2,"event":{"type":"logged","level":"info","text":"a"}}'))
    tracemalloc.start()
    read = Session.at(session)
    entries, reader = read.entries, read.journal
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [entry.seq for entry in entries] == [1] and reader.damage[0].startswith("line 2: it is longer")
    assert peak < 16 << 20


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
@pytest.mark.parametrize("kind", [b"logged", b"from.the.future"])
def test_nesting_without_end_is_damage(session: Path, opening: bytes, kind: bytes) -> None:
    closing = opening.replace(b'"a":', b"").translate(bytes.maketrans(b"[{", b"]}"))[::-1]
    deep = opening * 60_000 + b"1" + closing * 60_000
    line = b'{"seq":1,"t":0.1,"event":{"type":"%b","level":"info","text":"a","x":%b}}' % (kind, deep)
    with (session / JOURNAL).open("ab") as file:
        file.write(sealed(line))
    read = Session.at(session)
    entries, reader = read.entries, read.journal
    assert not entries and reader.damage == ["line 2: it is not an event"]


def test_the_time_that_a_session_lay_interrupted_is_not_counted() -> None:
    times = (
        (0.5, PhaseChanged("images")),
        (4.0, PhaseChanged("sweeping")),
        (7204.0, SessionResumed(100)),  # killed after 4 seconds, resumed two hours later
        (7210.5, SessionClosed("cancelled", "", 3, "")),
        (90_000.25, SessionResumed(200)),
        (90_001.5, SessionClosed("finished", "", 5, "")),
        (95_000.0, ScoresAdded((), {}, "msp", {}, {})),
        (95_001.0, SessionClosed("finished", "", 7, "")),
    )
    entries = [Entry(seq, t, event) for seq, (t, event) in enumerate(times, 1)]
    assert seconds_of(entries) == 4.0 + 6.5 + 1.25
    assert seconds_of(entries[:2]) == 4.0 and seconds_of([]) == 0.0
    assert swept(entries)[-1].t == 90_001.5


def test_a_recorded_interruption_took_as_long_as_its_two_parts() -> None:
    entries = Session.at(store.find("interrupted")).entries
    (at,) = [at for at, entry in enumerate(entries) if isinstance(entry.event, SessionResumed)]
    first, second = entries[at - 1].t, entries[-1].t - entries[at].t
    assert seconds_of(entries) == pytest.approx(first + second, abs=1e-6)
    assert seconds_of(entries) < entries[-1].t
