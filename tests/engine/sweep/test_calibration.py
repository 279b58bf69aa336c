"""Variants are quantized once, loaded wherever they are needed, and never silently others than before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.errors import EngineError, QuantizeError
from engine.images.image_set import Images
from engine.protocol.events import AttentionCompared, BitsTabled, VariantFailed, VariantReady
from engine.sweep.calibration import Calibration, load_calibrated
from engine.sweep.resume import PriorVariants
from tests.engine.sweep.setups import Here, set_up_here, tiny_plan

FP32, W4A4 = tiny_plan().variants()


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    with set_up_here(tmp_path, tiny_plan()) as here:
        yield here


def calibration_of(here: Here, **prior: Any) -> Calibration:
    return Calibration(here.setup._replace(prior=PriorVariants(**prior)), here.control.emit)


def saved_file(here: Here) -> Path:
    return here.setup.session / "quantized" / f"{W4A4.stem}.safetensors"


def states_equal(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def fail(*_: object, **__: object) -> None:
    raise QuantizeError("no scale fits")


def test_a_variant_is_saved_tabled_and_loaded_by_others_to_the_same_bits(here: Here) -> None:
    calibration = calibration_of(here)
    reference, variant = calibration.calibrate(FP32), calibration.calibrate(W4A4)
    assert reference is not None and variant is not None
    assert [event.variant for event in here.of(VariantReady)] == [FP32.key, W4A4.key]
    assert [event.variant for event in here.of(BitsTabled)] == [W4A4.key]
    (compared,) = here.of(AttentionCompared)
    assert compared.images == 4 and compared.largest < 1e-3
    assert reference.model is reference.float_model.model is here.setup.models.by_name["vit-narrow"].model
    assert saved_file(here).is_file()
    for one in (reference, variant):
        loaded = load_calibrated(here.setup, one.variant, one.digest)
        assert states_equal(loaded.model, one.model) and loaded.digest == one.digest


def test_what_an_earlier_attempt_calibrated_is_loaded_with_its_table(here: Here) -> None:
    first = calibration_of(here).calibrate(W4A4)
    assert first is not None
    (table,) = here.of(BitsTabled)
    written = saved_file(here).stat().st_mtime_ns
    here.events.clear()
    digests = {W4A4.key: first.digest}
    again = calibration_of(here, digests=digests, tables={W4A4.key: table}).calibrate(W4A4)
    assert again is not None and states_equal(again.model, first.model)
    assert saved_file(here).stat().st_mtime_ns == written
    assert here.of(BitsTabled) == [table]
    calibration_of(here, digests=digests).calibrate(W4A4)  # its table is missing
    assert saved_file(here).stat().st_mtime_ns > written
    here.events.clear()
    binding = calibration_of(here, digests=digests, tables={W4A4.key: table}, is_binding=True)
    assert binding.calibrate(W4A4) is not None
    assert not here.of(BitsTabled)  # the journal has it


def test_a_variant_that_cannot_be_quantized_is_reported_and_stays_so(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = {W4A4.key: "it was odd"}
    assert calibration_of(here, failed=failed, is_binding=True).calibrate(W4A4) is None
    monkeypatch.setattr("engine.quantize.methods.repq.RepQ.quantize", fail)
    assert calibration_of(here).calibrate(W4A4) is None
    assert here.of(VariantFailed) == [
        VariantFailed(W4A4.key, "it was odd"),
        VariantFailed(W4A4.key, "no scale fits"),
    ]
    with pytest.raises(EngineError, match="before the interruption"):
        calibration_of(here, digests={W4A4.key: "d" * 64}, is_binding=True).calibrate(W4A4)


def test_finished_rows_are_continued_only_by_the_same_quantizers(here: Here) -> None:
    other = calibration_of(here, digests={W4A4.key: "d" * 64}, is_binding=True)
    with pytest.raises(EngineError, match=f"{W4A4.key}: recalibrated"):
        other.calibrate(W4A4)


def test_a_saved_variant_that_is_damaged_is_not_used(here: Here) -> None:
    variant = calibration_of(here).calibrate(W4A4)
    assert variant is not None
    saved_file(here).write_bytes(saved_file(here).read_bytes()[:-100])
    with pytest.raises(EngineError, match=f"{W4A4.key}: its quantized state"):
        load_calibrated(here.setup, W4A4, variant.digest)


def test_a_calibration_image_that_has_changed_since_it_was_drawn_stops_the_run(here: Here) -> None:
    images = here.setup.sets.calibrations[0].images
    read = images.read

    def torn(*arguments: Any) -> Images:
        return read(*arguments)._replace(unreadable={2: "torn"})

    images.read = torn  # type: ignore[method-assign]
    try:
        with pytest.raises(EngineError, match="can no longer be used: torn"):
            calibration_of(here)
    finally:
        images.read = read  # type: ignore[method-assign]
