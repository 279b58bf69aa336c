from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from engine.plan.validation import MOST_VARIANTS
from engine.protocol.events import Entry, ScoresAdded, VariantFailed
from engine.session.session import Session
from qood_tui.state.sources import LONGEST_PAUSE, ReplaySource, play_times
from qood_tui.state.state import State, fold, reduce


def test_reduce_leaves_the_old_state_alone(recorded: Path) -> None:
    read = Session.at(recorded)
    header, entries = read.header, read.entries
    state = State(header)
    for entry in entries[:40]:
        before = (state.seq, dict(state.ready), dict(state.measured), state.log)
        after = reduce(state, entry)
        assert before == (state.seq, state.ready, state.measured, state.log)
        state = after


def test_the_time_left_shrinks_to_nothing(recorded: Path) -> None:
    read = Session.at(recorded)
    header, entries = read.header, read.entries
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
    entries = Session.at(recorded).entries
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


def test_what_was_measured_under_another_headline_is_not_shown_under_the_new_one(recorded: Path) -> None:
    read = Session.at(recorded)
    header, entries = read.header, read.entries
    state = fold(header, entries)
    assert state.deltas is not None and state.curves
    added = Entry(state.seq + 1, state.t, ScoresAdded((), {}, "energy", {}, {}))
    after = reduce(state, added)
    assert after.header.plan.headline == "energy"
    assert after.deltas is None and after.curves == {} and after.settling == {}
    same = reduce(
        state, Entry(state.seq + 1, state.t, ScoresAdded((), {}, state.header.plan.headline, {}, {}))
    )
    assert same.deltas == state.deltas and same.curves == state.curves


def test_ever_more_variants_are_not_followed(recorded: Path) -> None:
    state = State(Session.at(recorded).header)
    for number in range(MOST_VARIANTS + 50):
        state = reduce(state, Entry(number + 1, 0.0, VariantFailed(f"invented {number}", "")))
    assert len(state.failed) == MOST_VARIANTS
