"""What an attempt that was cut off said of rows that it did not finish counts for nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.plan.plan import Plan
from engine.protocol.events import (
    AnyEvent,
    BatchSized,
    BitsTabled,
    ChunkFinished,
    CurvesDrawn,
    DeltasMeasured,
    Entry,
    Header,
    ImageUnreadable,
    Logged,
    Measured,
    ModelLoaded,
    PhaseChanged,
    SessionClosed,
    SessionResumed,
    SetReady,
    SetsPrepared,
    VariantFailed,
    VariantReady,
    WorkerStarted,
)
from engine.session.attempts import counted
from qood_tui.state.state import State, fold

WORKER = WorkerStarted("cpu", 1, {})
TORN = ImageUnreadable("textures", "a.png", "it is truncated")
PREVIEW = Measured(10, "m FP32", {"top1": 0.5}, ())


def chunk(first: int, rows: int = 10) -> ChunkFinished:
    return ChunkFinished(first, rows, 1.0, {})


def prepared(rows: int) -> SetsPrepared:
    return SetsPrepared((SetReady("id", "id", "", rows, ""),), rows, ())


def test_an_image_between_its_event_and_the_chunks_end_is_counted_once() -> None:
    events = [WORKER, TORN, SessionResumed(0), WORKER, TORN, chunk(0), SessionResumed(10), WORKER]
    assert counted(events).count(TORN) == 1
    assert counted([WORKER, chunk(0), TORN, SessionResumed(10), WORKER, chunk(10)]).count(TORN) == 0
    assert counted([WORKER, chunk(0), TORN]).count(TORN) == 0


def test_an_attempt_without_finished_rows_leaves_nothing() -> None:
    void = [
        WorkerStarted("cpu", 7, {}),
        prepared(5),
        ModelLoaded("m", "", "old", 1, 1, 32, 1.0, "", "", (), ()),
        BatchSized(0, 64),
        VariantReady("m W4A4", "old", 1.0, 10),
        BitsTabled("m W4A4", (), (), 0, 0, 0),
        VariantFailed("m W8A8", "no memory"),
        Logged("warning", "of other images"),
        PREVIEW,
        CurvesDrawn(10, "m FP32", ()),
    ]
    events = [PhaseChanged("starting"), *void, SessionResumed(0), WORKER, prepared(20), PREVIEW, chunk(0)]
    found = counted(events)
    assert not [event for event in void if event != PREVIEW and event in found]
    assert found.count(PREVIEW) == 1 and prepared(20) in found and WORKER in found


def test_what_an_attempt_with_finished_rows_said_stays() -> None:
    events = [WORKER, prepared(20), VariantFailed("m W8A8", "why"), BatchSized(0, 8), chunk(0)]
    assert counted(events) == events
    later = [*events, BatchSized(10, 4, "memory"), SessionResumed(10), WORKER, BatchSized(10, 8), chunk(10)]
    assert BatchSized(10, 4, "memory") not in counted(later) and BatchSized(10, 8) in counted(later)


def test_looks_at_a_chunk_that_is_scored_again_with_smaller_batches_are_void() -> None:
    again = Measured(10, "m FP32", {"top1": 0.6}, ())
    events = [WORKER, PREVIEW, BatchSized(0, 4, "memory"), again, chunk(0)]
    assert PREVIEW not in counted(events) and again in counted(events)


def test_a_look_at_rows_that_were_never_finished_is_left_for_readers_to_refuse() -> None:
    forged = Measured(99, "m FP32", {"top1": 1.0}, ())
    assert forged in counted([WORKER, chunk(0), forged, SessionClosed("finished", "", 3, "")])


EVENTS = st.one_of(
    st.sampled_from([WORKER, SessionResumed(0), TORN, prepared(5), prepared(20), Logged("warning", "w")]),
    st.builds(VariantReady, st.sampled_from(["a", "b"]), st.sampled_from("xy"), st.just(1.0), st.just(10)),
    st.builds(VariantFailed, st.sampled_from(["a", "b"]), st.just("why")),
    st.builds(
        lambda rows, variant, top1: Measured(rows, variant, {"top1": top1}, ()),
        st.sampled_from([5, 10, 20]),
        st.sampled_from(["a", "b"]),
        st.sampled_from([0.1, 0.2]),
    ),
)


@given(st.lists(EVENTS, max_size=30), st.integers(0, 3))
def test_the_screen_counts_what_the_report_counts(events: list[AnyEvent], chunks: int) -> None:
    """Fold all events, or only those that count: the same state."""
    places = range(0, len(events), max(1, len(events) // (chunks or 1)))[:chunks]
    for number, place in enumerate(places):
        events.insert(place + number, chunk(10 * number))
    # A look is at finished rows, or at the chunk that is being scored; the rest no sweep says.
    rows, honest = 0, []
    for event in events:
        if isinstance(event, DeltasMeasured | Measured) and event.rows > rows and (rows or event.rows > 10):
            continue
        honest.append(event)
        rows += event.rows if isinstance(event, ChunkFinished) else 0
    header = Header("qood-session", 2, "id", "2026-01-01T00:00:00+00:00", "app", Plan(models=("m",)), "")

    def state(of: list[AnyEvent]) -> State:
        return fold(header, [Entry(at, 0.0, event) for at, event in enumerate([*of, WORKER], start=1)])

    whole, only = state(honest), state([*counted([*honest, WORKER])])
    for name in ("rows", "unreadable", "ready", "failed", "measured", "prepared"):
        assert getattr(whole, name) == getattr(only, name), name
