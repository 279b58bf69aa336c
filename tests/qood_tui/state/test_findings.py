"""What the top of the screen says first."""

from __future__ import annotations

from pathlib import Path

import msgspec

from engine import report
from engine.report.words import in_float
from engine.session.session import Session
from qood_tui.state.delta_table import table
from qood_tui.state.findings import headline, trouble
from qood_tui.state.state import State, fold
from tests.qood_tui.state.test_delta_table import look


def with_top1(state: State, key: str, top1: float) -> State:
    known = state.measured[key]
    measured = msgspec.structs.replace(known, values={**known.values, "top1": top1})
    return msgspec.structs.replace(state, measured={**state.measured, key: measured})


def test_a_model_at_the_level_of_guessing_is_named_before_what_it_lost(recorded: Path) -> None:
    state = fold((read := Session.at(recorded)).header, read.entries)
    assert trouble(state) is None and headline(state).plain
    key = "vit-narrow FP32"
    found = trouble(with_top1(state, key, 0.02))  # of 50 classes
    assert found is not None and "vit-narrow is no better than guessing" in found.plain
    assert "2.0% of 150 ID images" in found.plain
    assert trouble(with_top1(state, key, 0.2)) is None
    assert trouble(with_top1(state, "vit-narrow W4A4", 0.02)) is None  # quantization may do that


def test_weights_that_stay_in_floating_point_are_said_beside_the_bits(recorded: Path) -> None:
    state = fold((read := Session.at(recorded)).header, read.entries)
    assert table(state, look(state)).in_float == ()
    keys = ("vit-narrow W8A8", "vit-narrow W4A4", "deit3-wide W8A8", "deit3-wide W4A4")
    for shares, expected in (
        ((0.2231, 0.2231, 0, 0), ["vit-narrow: 22.3% of its weights stay in floating point"]),
        (
            (0, 0, 0.1, 0.5),
            [
                "deit3-wide: 10.0% of its weights stay in floating point at W8A8",
                "deit3-wide: 50.0% of its weights stay in floating point at W4A4",
            ],
        ),
    ):
        of = dict(zip(keys, shares, strict=True))
        bits = {k: msgspec.structs.replace(b, float_share=of.get(k, 0)) for k, b in state.bits.items()}
        hybrid = msgspec.structs.replace(state, bits=bits)
        assert (
            list(table(hybrid, look(hybrid)).in_float)
            == in_float(state.header.plan, bits.values())
            == expected
        )
        document = msgspec.structs.replace(
            report.document(Session.at(recorded), quick=True), bit_tables=tuple(bits.values())
        )
        assert all(words in report.render(document, "md") for words in expected)
