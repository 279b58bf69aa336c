from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from engine import journal
from qood_tui.sources import LONGEST_PAUSE, ReplaySource, play_times
from qood_tui.store import State, reduce


def test_reduce_leaves_the_old_state_alone(recorded: Path) -> None:
    header, entries, _ = journal.read(recorded)
    state = State(header)
    for entry in entries[:40]:
        before = (state.seq, dict(state.ready), dict(state.measured), state.log)
        after = reduce(state, entry)
        assert before == (state.seq, state.ready, state.measured, state.log)
        state = after


def test_the_time_left_shrinks_to_nothing(recorded: Path) -> None:
    header, entries, _ = journal.read(recorded)
    state, left = State(header), []
    for entry in entries:
        state = reduce(state, entry)
        if state.seconds_left is not None:
            left.append(state.seconds_left)
    assert left[-1] == 0.0 and max(left) < 120
    assert state.seconds_left is None


def test_replay_speed_pause_and_end(recorded: Path) -> None:
    source = ReplaySource(recorded)
    source.faster(100)
    assert source.speed == 64
    source.faster(-100)
    assert source.speed == 0.25
    source.toggle()
    assert not source.tick(10.0) and source.position == 0.0
    source.toggle()
    source.speed = 64
    while source.playing:
        source.tick(0.25)
    assert source.position == source.length and source.state.closed is not None
    source.toggle()
    assert source.playing and source.position == 0.0 and source.state.seq <= 1


def test_long_pauses_are_cut_short(recorded: Path) -> None:
    entries = journal.read(recorded)[1]
    times = play_times(entries)
    assert all(b - a <= LONGEST_PAUSE + 1e-9 for a, b in pairwise(times))
    assert times == sorted(times)


def test_rows_shown_are_those_that_were_finished_then(recorded: Path) -> None:
    source = ReplaySource(recorded)
    assert source.rows() is None
    source.seek(source.length)
    rows = source.rows()
    assert rows is not None and rows.count == source.state.rows


def test_a_session_without_arrays_still_plays(copied: Path) -> None:
    for file in (copied / "arrays").iterdir():
        file.unlink()
    source = ReplaySource(copied)
    source.seek(source.length)
    assert source.rows() is None and source.state.curves


def test_arrays_that_lie_about_their_size_are_not_used(copied: Path) -> None:
    path = copied / "arrays" / "msp.npy"
    data = path.read_bytes()
    path.write_bytes(data.replace(b"(390, 6)", b"(390,60)"))
    source = ReplaySource(copied)
    source.seek(source.length)
    assert source.rows() is None


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY garbage", b"cos\nsystem\n(S'echo'\ntR."])
def test_arrays_that_are_no_arrays_are_not_used(copied: Path, damage: bytes) -> None:
    (copied / "arrays" / "samples.npy").write_bytes(damage)
    source = ReplaySource(copied)
    source.seek(source.length)
    assert source.rows() is None
