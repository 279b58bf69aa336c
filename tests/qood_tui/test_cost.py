from __future__ import annotations

import msgspec

from engine.plan import preset
from engine.resources import Resources
from qood_tui.cost import estimate


def test_a_quantizer_that_searches_long_costs_more() -> None:
    plan = preset("demo")
    slow = msgspec.structs.replace(plan, quantizer="adalog")
    several = msgspec.structs.replace(plan, calibration_draws=2)
    usual = estimate(plan, Resources(), None)
    assert estimate(slow, Resources(), None).seconds > usual.seconds + 60
    assert estimate(several, Resources(), None).variants == usual.variants + 25
