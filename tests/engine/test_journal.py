from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import journal, sessions
from engine.errors import JournalError
from engine.journal import Reader, Writer
from engine.plan import preset
from engine.protocol import ChunkFinished, Logged, SessionClosed


@pytest.fixture
def session(tmp_path: Path) -> Path:
    return sessions.create(preset("quick"), {}, tmp_path, "quick")


def test_reads_back_what_was_written(session: Path) -> None:
    writer = Writer(session)
    writer.append(Logged("info", "one"))
    writer.append(ChunkFinished(0, 5, 0.1, {}))
    writer.close("finished")
    header, entries, reader = journal.read(session)
    assert header.plan == preset("quick")
    assert [entry.seq for entry in entries] == [1, 2, 3]
    assert entries[0].event == Logged("info", "one")
    assert journal.finished_rows(entries) == 5
    assert reader.skipped == reader.torn == 0


def test_closing_event_counts_and_hashes_what_came_before(session: Path) -> None:
    writer = Writer(session)
    writer.append(Logged("info", "one"))
    writer.close("finished")
    lines = (session / journal.NAME).read_bytes().splitlines(keepends=True)
    closed = journal.read(session)[1][-1].event
    assert isinstance(closed, SessionClosed)
    assert closed.events == 1
    assert closed.sha256 == hashlib.sha256(b"".join(lines[:-1])).hexdigest()


def test_a_growing_journal_is_followed(session: Path) -> None:
    writer, reader = Writer(session), Reader(session)
    assert reader.poll() == []
    writer.append(Logged("info", "one"))
    assert [e.event for e in reader.poll()] == [Logged("info", "one")]
    with (session / journal.NAME).open("ab") as file:
        file.write(b'{"seq":2,"t":1.0,"ev')
    assert reader.poll() == [] and reader.torn > 0
    with (session / journal.NAME).open("ab") as file:
        file.write(b'ent":{"type":"logged","level":"info","text":"two"}}\n')
    assert [e.event for e in reader.poll()] == [Logged("info", "two")] and reader.torn == 0


def test_cut_at_every_byte_it_opens_with_every_whole_event(session: Path) -> None:
    writer = Writer(session)
    for i in range(4):
        writer.append(Logged("info", f"line {i}"))
    writer.close("finished")
    path = session / journal.NAME
    whole = path.read_bytes()
    header_end = whole.index(b"\n") + 1
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        if cut < header_end - 1:
            with pytest.raises(JournalError):
                journal.read(session)
            continue
        _, entries, _ = journal.read(session)
        assert len(entries) == whole[:cut].count(b"\n") - 1 if cut >= header_end else not entries


def test_a_torn_tail_is_kept_aside_and_writing_goes_on(session: Path) -> None:
    writer = Writer(session)
    writer.append(Logged("info", "one"))
    writer.abandon()
    with (session / journal.NAME).open("ab") as file:
        file.write(b'{"seq":2,"torn')
    again = Writer(session)
    again.append(Logged("info", "two"))
    again.close("finished")
    _, entries, reader = journal.read(session)
    assert [e.seq for e in entries] == [1, 2, 3] and reader.skipped == 0
    assert (session / "journal.jsonl.torn").read_bytes() == b'{"seq":2,"torn'


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_damage_never_raises_and_is_counted(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    session = sessions.create(preset("quick"), {}, tmp_path_factory.mktemp("damage"), "quick")
    writer = Writer(session)
    for i in range(6):
        writer.append(Logged("info", f"line {i}"))
    writer.abandon()
    path = session / journal.NAME
    whole = path.read_bytes()
    header_end = whole.index(b"\n") + 1
    at = header_end + data.draw(st.integers(0, 10_000)) % (len(whole) - header_end)
    path.write_bytes(whole[:at] + data.draw(st.binary(min_size=1, max_size=20)) + whole[at + 1 :])
    _, entries, _ = journal.read(session)
    texts = [e.event.text for e in entries if isinstance(e.event, Logged)]
    assert len(texts) >= 3


def test_one_damaged_number_costs_no_other_line(session: Path) -> None:
    writer = Writer(session)
    for i in range(6):
        writer.append(Logged("info", f"line {i}"))
    writer.abandon()
    path = session / journal.NAME
    path.write_bytes(path.read_bytes().replace(b'{"seq":2,', b'{"seq":52,'))
    _, entries, reader = journal.read(session)
    assert [e.event.text for e in entries if isinstance(e.event, Logged)] == [f"line {i}" for i in range(6)]
    assert reader.skipped == 0


def test_unknown_events_are_skipped_and_counted(session: Path) -> None:
    with (session / journal.NAME).open("ab") as file:
        file.write(b'{"seq":1,"t":0.1,"event":{"type":"from.the.future","x":1}}\n')
        file.write(b'{"seq":2,"t":0.2,"event":{"type":"logged","level":"info","text":"a","more":1}}\n')
    _, entries, reader = journal.read(session)
    assert len(entries) == 1 and reader.skipped >= 1


def test_a_newer_format_is_refused_with_the_version_needed(session: Path) -> None:
    path = session / journal.NAME
    path.write_bytes(path.read_bytes().replace(b'"version":1', b'"version":2'))
    with pytest.raises(JournalError, match="format 2"):
        journal.read(session)


@pytest.mark.parametrize("text", [b"", b"{}\n", b"[1]\n", b"\x80abc\n", b"[" * 100_000 + b"\n", b"nul"])
def test_what_is_no_journal_is_refused_in_words(tmp_path: Path, text: bytes) -> None:
    (tmp_path / journal.NAME).write_bytes(text)
    with pytest.raises(JournalError):
        journal.read(tmp_path)


def test_a_gigantic_line_is_passed_over(session: Path) -> None:
    with (session / journal.NAME).open("ab") as file:
        file.write(b'{"seq":1,' + b" " * (3 << 20) + b"}\n")
        file.write(b'{"seq":2,"t":0.2,"event":{"type":"logged","level":"info","text":"a"}}\n')
    _, entries, reader = journal.read(session)
    assert [e.seq for e in entries] == [2] and reader.skipped >= 1


def test_only_one_writer(session: Path) -> None:
    writer = Writer(session)
    assert journal.is_being_written(session)
    with pytest.raises(BlockingIOError):
        Writer(session)
    writer.abandon()
    assert not journal.is_being_written(session)


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
            session = sessions.create(preset("quick"), {}, Path(mount), "full")
            writer = Writer(session)
            with pytest.raises(OSError) as caught:
                for _ in range(100_000):
                    writer.append(Logged("info", "x" * 1000))
            assert caught.value.errno == errno.ENOSPC
            writer.close("failed", "the disk is full")
            _, entries, reader = journal.read(session)
            assert isinstance(entries[-1].event, SessionClosed) and reader.skipped == 0
        finally:
            subprocess.run(["umount", mount], check=True)
    assert not os.path.ismount(mount)
