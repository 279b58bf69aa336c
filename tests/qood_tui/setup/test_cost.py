from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from engine.plan.plan import preset
from engine.plan.resources import Checkpoint, Resources
from engine.protocol.events import BitsTabled, OutputsKept, ScoresAdded
from engine.session.outputs import bytes_of
from engine.session.session import Session
from engine.session.writer import Writer
from qood_tui.setup.cost import START_SECONDS, estimate, in_words, measured_pace, outputs_size
from tests.running import small_plan, sweep


def test_a_method_that_searches_long_costs_more() -> None:
    plan = preset("demo")
    slow = msgspec.structs.replace(plan, method="adalog")
    several = msgspec.structs.replace(plan, calibration_draws=2)
    usual = estimate(plan, Resources(), None)
    assert estimate(slow, Resources(), None).seconds > usual.seconds + 60
    assert estimate(several, Resources(), None).variants == usual.variants + 25


def test_a_pace_measured_here_tells_what_the_same_sweep_takes(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(recorded, tmp_path / recorded.name)
    monkeypatch.setenv("QOOD_SESSIONS", str(tmp_path))
    read = Session.at(recorded)
    header, entries = read.header, read.entries
    pace = measured_pace()
    assert pace is not None and pace.is_measured
    cost = estimate(header.plan, Resources(), pace)
    assert (cost.variants, cost.images) == (6, 390)
    took = entries[-1].t
    assert took / 4 < cost.seconds < 4 * took + 2 * START_SECONDS
    packed = [e.event.packed_bytes for e in entries if isinstance(e.event, BitsTabled)]
    kept = sum(f.stat().st_size for f in (recorded / "arrays").iterdir()) + sum(packed)
    assert cost.disk == pytest.approx(kept, rel=0.3)


def test_kept_outputs_cost_the_disk_that_they_take() -> None:
    plan = small_plan(keep_outputs=True, fit_images=70)
    session = sweep(plan)
    told = [e.event for e in Session.at(session).entries if isinstance(e.event, OutputsKept)][-1]
    size, is_exact = outputs_size(plan, Resources())
    assert size == told.bytes == sum(f.stat().st_size for f in (session / "outputs").iterdir()) and is_exact
    cost, without = (
        estimate(msgspec.structs.replace(plan, keep_outputs=keeps), Resources(), None)
        for keeps in (True, False)
    )
    assert (cost.kept, without.kept, cost.disk - without.disk) == (size, 0, size)


def test_outputs_of_models_that_are_not_known_are_told_as_a_guess() -> None:
    plan = msgspec.structs.replace(preset("kuang-wong-2026"), id_set="mine", ood_sets=("theirs",))
    there = Resources(counts={"mine": 1000, "theirs": 500}, id={"mine": "/x"}, ood={"theirs": "/y"})
    each = 4 * ((1500 + plan.fit_images) * 1384 + 1000 * 385) + 8 * plan.fit_images + 7 * 128
    assert outputs_size(plan, there) == (30 * each, True)
    other = msgspec.structs.replace(plan, models=("vit_large_patch16_224", "own"), bits=("FP32",))
    own = msgspec.structs.replace(there, checkpoints={"own": Checkpoint("own.pth", "vit_tiny_patch16_224")})
    size, is_exact = outputs_size(other, own)
    assert not is_exact and in_words((size, is_exact)).startswith("about ")
    assert size == sum(bytes_of(1000, width, 1500, plan.fit_images) for width in (1024, 192))


def test_scores_added_later_do_not_count_as_time_of_the_sweep(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Path(shutil.copytree(recorded, tmp_path / recorded.name))
    monkeypatch.setenv("QOOD_SESSIONS", str(tmp_path))
    before = measured_pace()
    writer = Writer(copy)
    monkeypatch.setattr(writer, "_monotonic", writer._monotonic - 1e6)
    writer.append(ScoresAdded((), {}, "energy", {}, {}))
    writer.close("finished")
    assert Session.at(copy).entries[-1].t > 1e6
    assert before is not None and measured_pace() == before
