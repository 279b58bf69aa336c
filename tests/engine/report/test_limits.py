"""What the numbers cannot tell depends on how the session went."""

from __future__ import annotations

import msgspec

from engine.report.contents import Document
from engine.report.sections.limits import limits


def test_a_small_demo_is_said_to_be_one(found: Document) -> None:
    told = "\n".join(limits(found))
    for words in (
        "miniature",
        "4 of 4 OOD sets have fewer than 1,000 images (unseen-fractals: 60)",
        "one image of unseen-fractals is 1.7 points",
        "Chance for AUPR-out is 0.286 here",
        "fractals 150 of 2,000",
        "one draw of 32 images",
        "Quantization (repq) is simulated",
        "(narrow 1, wide 1)",
        "The other 2 scores have no intervals",
    ):
        assert words in told
    errors = [1 - (row.value("top1") or 0) for row in found.variants if row.bits == "FP32"]
    assert f"misclassify {min(errors):.1%} to {max(errors):.1%} of the ID images" in told
    unclear = sum(not row.main.mean.is_change for row in found.deltas)
    assert f"{unclear} of 4 mean losses are not significant" in told
    for words in ("interrupted", "unreadable", "no table for this number", "taken from the journal"):
        assert words not in told.lower()


def test_other_circumstances_are_told_of(found: Document) -> None:
    other = msgspec.structs.replace(
        found,
        note="",
        state="cancelled",
        unreadable={"noise": 2},
        interruptions=("the worker ended unexpectedly: killed",),
        calibrations=found.calibrations * 3,
        variants=found.variants[:5],
        intervals="journal",
        plan=msgspec.structs.replace(found.plan, scores=("msp",)),
    )
    told = "\n".join(limits(other))
    for words in (
        "The session is cancelled",
        "(2 of noise)",
        "killed",
        "on 3 draws",
        "No results for deit3-wide W4A4",
        "taken from the journal",
    ):
        assert words in told
    for words in ("miniature", "other 2 scores", "one draw"):
        assert words not in told
