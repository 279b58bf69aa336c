from __future__ import annotations

from pathlib import Path

import pytest

from engine import catalog
from engine.measure import deltas
from engine.protocol.events import DeltasMeasured
from engine.session import store
from engine.session.session import Session


def test_blocks_of_resamples_give_the_sample_itself_and_about_the_same_intervals(
    recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Session.at(recorded).finished
    whole = deltas.measure_deltas(rows, 600, 0)
    monkeypatch.setattr(deltas, "WEIGHTS_AT_ONCE", 40 * rows.count)
    blocks = deltas.measure_deltas(rows, 600, 0)
    for one, other in zip(whole.variants, blocks.variants, strict=True):
        assert one.main.mean.value == other.main.mean.value
        width = one.main.mean.high - one.main.mean.low
        assert other.main.mean.low == pytest.approx(one.main.mean.low, abs=width / 4)
        assert other.main.mean.high == pytest.approx(one.main.mean.high, abs=width / 4)


def test_an_interval_is_around_its_value_and_fp32_loses_nothing_against_itself(recorded: Path) -> None:
    session = Session.at(recorded)
    header, rows = session.header, session.finished
    found = deltas.measure_deltas(rows, 300, 1)
    assert [v.variant for v in found.variants] == [
        v.key for v in header.plan.variants() if not v.bits.is_float
    ]
    for variant in found.variants:
        assert variant.main.mean.low <= variant.main.mean.value <= variant.main.mean.high
        mean = sum(d.value for d in variant.main.sets.values()) / len(variant.main.sets)
        assert variant.main.mean.value == pytest.approx(mean, abs=1e-6)


def test_means_by_pretraining_and_of_twins_are_those_of_the_rows() -> None:
    demo = store.find("demo")
    session = Session.at(demo)
    header, rows = session.header, session.finished
    found = deltas.measure_deltas(rows, 300, 1)
    lost = {v.variant: v.main.mean.value for v in found.variants}
    narrow = [lost[f"{model} W4A4"] for model in header.plan.models if "narrow" in model]
    assert found.by_pretraining["narrow"]["W4A4"].value == pytest.approx(sum(narrow) / len(narrow), abs=1e-6)
    pairs = catalog.twins(header.plan.models)
    assert pairs and all(one.split("-")[0] == other.split("-")[0] for one, other in pairs)
    more = [lost[f"{larger} W4A4"] - lost[f"{smaller} W4A4"] for smaller, larger in pairs]
    twins = found.twins["W4A4"]
    assert twins.value == pytest.approx(sum(more) / len(more), abs=1e-6)
    assert twins.low <= twins.value <= twins.high


def holm_by_hand(p_values: list[float]) -> list[float]:
    """Adjust p-values as the definition says: the k-th smallest of n times n - k + 1, never falling."""
    order = sorted(range(len(p_values)), key=lambda at: p_values[at])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for k, at in enumerate(order):
        largest = max(largest, min(1.0, p_values[at] * (len(p_values) - k)))
        adjusted[at] = largest
    return adjusted


def test_tests_are_adjusted_within_the_families_that_the_definition_names() -> None:
    demo = store.find("demo")
    found = next(e.event for e in reversed(Session.at(demo).entries) if isinstance(e.event, DeltasMeasured))
    families = [
        [
            delta
            for variant in found.variants
            for delta in (*variant.by_set[name].sets.values(), variant.by_set[name].mean)
        ]
        for name in ("ap_out", "auroc", "ap_in", "fpr95_ood_positive")
    ]
    families += [[v.of_labels[name] for v in found.variants] for name in ("top1", "nll")]
    families += [list(found.by_bits.values()), list(found.twins.values())]
    families.append([delta for of_bits in found.by_pretraining.values() for delta in of_bits.values()])
    assert [len(family) for family in families] == [125, 125, 125, 125, 25, 25, 5, 5, 10]
    for family in families:
        adjusted = holm_by_hand([delta.p for delta in family])
        # p-values are written with three digits, of which up to 125 times the last differs.
        assert [delta.p_holm for delta in family] == pytest.approx(adjusted, rel=0.011, abs=1e-12)
