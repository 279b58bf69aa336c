from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from engine import journal
from engine.plan import preset
from engine.protocol import BitsTabled
from engine.resources import Resources
from qood_tui.cost import START_SECONDS, estimate, measured_pace


def test_a_quantizer_that_searches_long_costs_more() -> None:
    plan = preset("demo")
    slow = msgspec.structs.replace(plan, quantizer="adalog")
    several = msgspec.structs.replace(plan, calibration_draws=2)
    usual = estimate(plan, Resources(), None)
    assert estimate(slow, Resources(), None).seconds > usual.seconds + 60
    assert estimate(several, Resources(), None).variants == usual.variants + 25


def test_a_pace_measured_here_tells_what_the_same_sweep_takes(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(recorded, tmp_path / recorded.name)
    monkeypatch.setenv("QOOD_SESSIONS", str(tmp_path))
    header, entries, _ = journal.read(recorded)
    pace = measured_pace()
    assert pace is not None and pace.is_measured
    cost = estimate(header.plan, Resources(), pace)
    assert (cost.variants, cost.images) == (6, 390)
    took = entries[-1].t
    assert took / 4 < cost.seconds < 4 * took + 2 * START_SECONDS
    packed = [e.event.packed_bytes for e in entries if isinstance(e.event, BitsTabled)]
    kept = sum(f.stat().st_size for f in (recorded / "arrays").iterdir()) + sum(packed)
    assert cost.disk == pytest.approx(kept, rel=0.3)
