"""Sentences of a report, against counts made by hand."""

from __future__ import annotations

import msgspec
import pytest

from engine.report import words
from engine.report.contents import Document
from engine.report.sections import outline


@pytest.mark.parametrize(("bits", "other"), [("W4A3", "W4A32"), ("W3A3", "W3A32"), ("W4A32", "W4A3")])
def test_a_mean_counts_the_models_of_its_own_bit_setting_only(found: Document, bits: str, other: str) -> None:
    one, two = found.deltas[0], found.deltas[-1]
    plan = msgspec.structs.replace(
        found.plan, models=("vit-narrow", "deit3-wide"), bits=("FP32", bits, other)
    )
    rows = tuple(
        msgspec.structs.replace(row, variant=variant)
        for row, variant in (
            (one, f"vit-narrow {bits}"),
            (one, f"vit-narrow {other}"),
            (two, f"deit3-wide {other}"),
        )
    )
    mean = msgspec.structs.replace(one.main.mean, value=0.5, low=0.4, high=0.6)
    small = msgspec.structs.replace(one.main.mean, value=0.1, low=0.0, high=0.2)
    changed = msgspec.structs.replace(found, plan=plan, deltas=rows, by_bits={bits: mean, other: small})
    (sentence,) = [line for line in outline.lead(changed) if line.startswith("The largest mean loss")]
    assert f"at {bits}, over 1 model and" in sentence
    assert words.mean_of(rows, bits) == f"mean of 1 {bits}"
    assert words.mean_of(rows, other) == f"mean of 2 {other}"
