from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.archive.transfer import export
from engine.errors import InputError
from engine.plan.variants import Column
from engine.protocol.events import Entry, Logged, PhaseChanged, SessionClosed, VariantReady
from engine.session.layout import JOURNAL
from engine.session.seal import sealed
from engine.session.session import Session
from qood_tui.state.markers import Kind, Marker, markers, of_kind, on_line
from qood_tui.state.sources import LiveSource, ReplaySource, play_times, seconds_of
from qood_tui.state.state import fold
from tests.benchmarks.made_up import long_session

ENTRIES = [
    Entry(1, 0.0, PhaseChanged("starting")),
    Entry(2, 0.5, VariantReady("a FP32", "", 0.1, 50)),
    Entry(3, 1.0, Logged("info", "nothing much")),
    Entry(4, 1.0, Logged("warning", "look")),
    Entry(5, 1.5, SessionClosed("finished", "", 4, "")),
]


def test_a_file_is_replayed_as_its_folder_is(recorded: Path, tmp_path: Path) -> None:
    file = ReplaySource(export(recorded, tmp_path / "one.qood").file)
    folder = ReplaySource(recorded)
    for source in (file, folder):
        source.seek(source.length)
    assert file.state == folder.state and file.times == folder.times and not file.missing
    rows, same = file.rows(), folder.rows()
    assert rows is not None and same is not None and rows.count == same.count
    assert (rows.values("msp", Column(1), 0) == same.values("msp", Column(1), 0)).all()
    live = LiveSource(file.session)
    assert live.tick(0.0) and live.state == folder.state and not live.tick(60.0) and not live.lost


def test_markers_are_phases_variants_and_warnings() -> None:
    found = markers(ENTRIES, play_times(ENTRIES))
    assert [(one.shown, one.time, one.kind) for one in found] == [
        (1, 0.0, Kind.PHASE),
        (2, 0.5, Kind.VARIANT),
        (4, 1.0, Kind.WARNING),
        (5, 1.5, Kind.PHASE),
    ]
    assert found[2].text == "look"
    assert [one.shown for one in of_kind(found, Kind.PHASE)] == [1, 5]
    assert of_kind(found, Kind.ALL) == found


def test_the_most_urgent_of_several_in_a_cell_is_marked_and_the_last_is_in_the_line() -> None:
    found = [
        Marker(1, 0.0, Kind.PHASE, ""),
        Marker(2, 0.1, Kind.WARNING, ""),
        Marker(3, 0.2, Kind.VARIANT, ""),
    ]
    assert on_line([*found, Marker(4, 10.0, Kind.PHASE, "")], 10.0, 10) == {0: Kind.WARNING, 9: Kind.PHASE}
    assert on_line(found[:1], 0.0, 10) == {0: Kind.PHASE}


@pytest.mark.parametrize("kind", list(Kind))
def test_jumping_on_and_back_visits_every_marker_of_the_kind_once(recorded: Path, kind: Kind) -> None:
    source = ReplaySource(recorded)
    source.kind = kind
    source.seek(0.0)
    source.step(-len(source.entries))
    wanted = of_kind(source.markers, kind)
    there = []
    while (found := source.jump(1)) is not None:
        assert source.marker == found and not source.playing
        assert source.state.seq == source.entries[found.shown - 1].seq
        there.append(found)
    assert there == wanted
    back = []
    while (found := source.jump(-1)) is not None:
        back.append(found)
    assert back == wanted[-2::-1]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("83", 83), ("1:23", 83), ("1:02:03", 3723), ("0.5", 0.5), ("50%", 100), ("12.5 %", 25), (" END ", 200)],
)
def test_times_are_read_as_they_are_written(text: str, seconds: float) -> None:
    assert seconds_of(text, 200.0) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "-1", "1:2:3:4", "soon", "nan", "inf", "1e400", "%", "1:-2", "9" * 500])
def test_what_is_no_time_is_refused_with_how_to_write_one(text: str) -> None:
    with pytest.raises(InputError, match="1:23"):
        seconds_of(text, 200.0)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_live_equals_file_equals_any_sequence_of_seeks_steps_and_jumps(
    recorded: Path, data: st.DataObject
) -> None:
    read = Session.at(recorded)
    header, entries = read.header, read.entries
    live = LiveSource(recorded)
    live.tick(0.0)
    assert live.state == fold(header, entries)
    source = ReplaySource(recorded)
    for _ in range(data.draw(st.integers(1, 8))):
        match data.draw(st.sampled_from(("seek", "time", "step", "jump", "tick"))):
            case "seek":
                source.seek(data.draw(st.floats(-1, source.length + 1)))
            case "time":
                source.seek_time(data.draw(st.floats(0, source.ends + 1)))
            case "step":
                source.step(data.draw(st.integers(-400, 400)))
            case "jump":
                source.kind = data.draw(st.sampled_from(list(Kind)))
                source.jump(data.draw(st.sampled_from((-1, 1))))
            case _:
                source.playing = True
                source.tick(data.draw(st.floats(0, 1)))
        shown = [entry for entry in entries if entry.seq <= source.state.seq]
        assert source.state == fold(header, shown)
    source.seek(source.length)
    assert source.state == live.state


def test_a_session_that_grows_live_is_at_every_moment_what_its_file_is(
    recorded: Path, tmp_path: Path
) -> None:
    lines = (recorded / JOURNAL).read_bytes().splitlines(keepends=True)
    growing = tmp_path / "growing"
    growing.mkdir()
    (growing / JOURNAL).write_bytes(lines[0])
    live = LiveSource(growing)
    for line in lines[1:]:
        with (growing / JOURNAL).open("ab") as file:
            file.write(line)
        live.tick(0.0)
        read = Session.at(growing)
        header, entries = read.header, read.entries
        assert live.state == fold(header, entries)


def test_a_replay_says_what_is_missing(recorded: Path, tmp_path: Path) -> None:
    assert ReplaySource(recorded).missing == []
    session = shutil.copytree(recorded, tmp_path / "cut")
    path = session / JOURNAL
    lines = path.read_bytes().splitlines(keepends=True)
    lines[10] = lines[10].replace(b"e", b"E", 1)
    future = sealed(b'{"seq":%d,"t":9.9,"event":{"type":"from.the.future"}}' % (len(lines) - 1))
    path.write_bytes(b"".join([*lines[:-1], future, lines[-1][:20]]))
    said = "\n".join(ReplaySource(session).missing)
    assert "line 11" in said and "20 bytes" in said and "later version" in said and "closing event" in said


def test_any_seek_in_a_session_of_many_events_takes_a_few_steps(tmp_path: Path) -> None:
    """How long it takes is measured in the benchmarks; here, that no seek folds from the start."""
    source = ReplaySource(long_session(tmp_path / "long", 20_000))
    source.playing = False
    started = time.process_time()
    for share in (1.0, 0.0, 0.5, 0.999, 0.25):
        source.seek(source.length * share)
    sought = time.process_time() - started
    started = time.process_time()
    fold(source.state.header, source.entries)
    assert sought < time.process_time() - started
