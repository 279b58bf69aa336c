"""View options: everything the user has chosen on the session screen, as one value."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import TypeVar

import msgspec

from engine.measure.measure import Measure
from engine.measure.measures import AP_OUT
from engine.plan.plan import Plan
from engine.plan.variants import Variant
from qood_tui.plot.kinds import ROC, CurveKind

T = TypeVar("T")


class Unit(Enum):
    """What a number of the table is."""

    POINTS = "points lost"
    RELATIVE = "% of FP32 lost"
    VALUE = "values"


class RowOrder(Enum):
    """The order of the table's rows; all but the first put the largest loss on top."""

    PLAN = "as planned"
    MEAN = "by mean"
    SET = "by OOD set"
    TOP1 = "by top-1"


class CurvesOf(Enum):
    """Whose curves are drawn together."""

    MODEL = "model"
    BITS = "bit setting"
    MARKED = "marked"


class ViewOptions(msgspec.Struct, frozen=True):
    """What is selected and how it is shown."""

    pointed: Variant
    ood_set: str
    score: str
    measure: Measure = AP_OUT
    unit: Unit = Unit.POINTS
    order: RowOrder = RowOrder.PLAN
    words: str = ""
    only_changes: bool = False
    curve_kind: CurveKind = ROC
    curves_of: CurvesOf = CurvesOf.MODEL
    marked: tuple[str, ...] = ()

    @classmethod
    def at(cls, plan: Plan) -> ViewOptions:
        """Return the initial options for a plan."""
        return cls(plan.variants()[0], plan.ood_sets[0], plan.headline)

    def shown(self, plan: Plan) -> list[Variant]:
        """Return the variants whose curves are drawn together."""
        pointed, every = self.pointed, plan.variants()
        if self.curves_of is CurvesOf.MARKED and self.marked:
            return [variant for variant in every if variant.key in self.marked]
        if self.curves_of is CurvesOf.BITS:
            return [v for v in every if v.bits == pointed.bits and v.draw in (0, pointed.draw)]
        of_model = [variant for variant in every if variant.model == pointed.model]
        return [v for v in of_model if v.bits.is_float or v.draw == pointed.draw]


def cycle(current: T, values: Sequence[T], steps: int = 1) -> T:
    """Return the value `steps` after the current one, wrapping around."""
    return values[(values.index(current) + steps) % len(values)]
