"""Forward passes: batches are full, shared by threads to the same bits, and smaller where memory runs out."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
import torch

from engine.images.image_set import Geometry
from engine.models.loaded import LoadedModel
from engine.models.zoo import load_model
from engine.plan.bits import Bits
from engine.plan.variants import Variant
from engine.protocol.events import AnyEvent, BatchSized
from engine.scores.outputs import Outputs
from engine.sweep import threads
from engine.sweep.batches import Attempt, Batches, Passes, submit
from engine.sweep.calibration import CalibratedVariant
from engine.sweep.devices.backend import backend
from engine.sweep.retry import Cancelled, RetryControl

OUT = RuntimeError("DefaultCPUAllocator: can't allocate memory")
CONTROL = RetryControl(lambda _: None, lambda: False)


def batches_of(size: int, events: list[AnyEvent] | None = None) -> Batches:
    return Batches(size, backend("cpu"), [].append if events is None else events.append)


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return load_model("vit-narrow")


@pytest.fixture(scope="module")
def variant(loaded: LoadedModel) -> CalibratedVariant:
    return CalibratedVariant(Variant("vit-narrow", Bits(), "none"), loaded.model, loaded, "")


@pytest.fixture(scope="module")
def pixels(loaded: LoadedModel) -> dict[Geometry, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    side = loaded.geometry.size
    images = torch.randint(0, 255, (23, 3, side, side), generator=random, dtype=torch.uint8)
    return {loaded.geometry: images}


def test_a_late_failure_of_one_thread_does_not_raise_what_another_has_lowered() -> None:
    events: list[AnyEvent] = []
    batches = batches_of(64, events)
    lowered, tried = threading.Event(), []

    def late(size: int) -> int:
        tried.append(size)
        if size == 64:
            lowered.wait(10)
            raise OUT
        return size

    def early(size: int) -> int:
        if size > 8:
            raise OUT
        lowered.set()
        return size

    with ThreadPoolExecutor(2) as pool:
        slow, quick = pool.submit(batches.fitting, late, 0), pool.submit(batches.fitting, early, 0)
        assert (quick.result(), slow.result()) == (8, 8)
    assert tried == [64, 8] and batches.size == 8
    assert [event.images for event in events if isinstance(event, BatchSized)] == [32, 16, 8]


def test_what_does_not_fit_as_one_image_and_other_errors_are_raised() -> None:
    def full(_size: int) -> None:
        raise OUT

    def wrong(_size: int) -> None:
        raise RuntimeError("shapes cannot be multiplied")

    batches = batches_of(4)
    with pytest.raises(RuntimeError, match="shapes"):
        batches.fitting(wrong, 0)
    assert batches.size == 4
    with pytest.raises(RuntimeError, match="allocate"):
        batches.fitting(full, 0)
    assert batches.size == 1


@pytest.mark.parametrize("features", [False, True])
def test_every_batch_is_full_and_their_order_moves_no_bit(
    variant: CalibratedVariant,
    pixels: dict[Geometry, torch.Tensor],
    features: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes: list[int] = []
    hook = variant.model.patch_embed.register_forward_hook(lambda _m, given, _o: sizes.append(len(given[0])))
    try:
        whole = Passes(variant, pixels, 8, features=features).run_all()
        backwards = Passes(variant, pixels, 8, features=features)
        assert [backwards.run(number) for number in (2, 1)] == [None, None]
        other = backwards.run(0)
    finally:
        hook.remove()
    assert sizes == [8] * 6
    assert other is not None and torch.equal(other.logits, whole.logits)
    assert whole.logits.shape == (23, variant.float_model.classes)
    assert (whole.features is not None) == features
    if features:
        assert torch.equal(other.features, whole.features)


def test_threads_that_share_the_batches_of_variants_give_the_bits_of_one(
    variant: CalibratedVariant, pixels: dict[Geometry, torch.Tensor]
) -> None:
    with threads.pool(1) as one, threads.pool(5) as five:
        alone, shared = (collect(pool, variant, pixels, batches_of(4)) for pool in (one, five))
    assert set(alone) == set(shared) == {0, 2}
    assert all(torch.equal(alone[column].logits, shared[column].logits) for column in alone)


def collect(
    pool: ThreadPoolExecutor,
    variant: CalibratedVariant,
    pixels: dict[Geometry, torch.Tensor],
    batches: Batches,
    control: RetryControl = CONTROL,
) -> dict[int, Outputs]:
    """Return what two columns give, each finished once."""
    outputs: dict[int, Outputs] = {}

    def finish(column: int, of_column: Outputs) -> None:
        assert column not in outputs
        outputs[column] = of_column

    def begin(size: int) -> list[Future[None]]:
        outputs.clear()
        passes = {column: Passes(variant, pixels, size, features=False) for column in (0, 2)}
        return submit(pool, passes, finish, batches, control)

    Attempt(batches, begin, 0).finish()
    return outputs


def test_a_cancelled_run_begins_no_further_batch(
    variant: CalibratedVariant, pixels: dict[Geometry, torch.Tensor]
) -> None:
    control = RetryControl(lambda _: None, lambda: True)
    with threads.pool(2) as pool, pytest.raises(Cancelled):
        collect(pool, variant, pixels, batches_of(4), control)


def test_work_that_has_begun_at_a_size_that_is_halved_meanwhile_is_done_again() -> None:
    events: list[AnyEvent] = []
    batches = batches_of(8, events)
    begun: list[tuple[str, int]] = []
    with threads.pool(2) as pool:

        def chunk(name: str, most: int) -> Callable[[int], list[Future[None]]]:
            def work(size: int) -> None:
                if size > most:
                    raise OUT

            def begin(size: int) -> list[Future[None]]:
                begun.append((name, size))
                return [pool.submit(work, size)]

            return begin

        first = Attempt(batches, chunk("first", 4), 0)
        second = Attempt(batches, chunk("second", 8), 30)
        assert (first.finish(), second.finish()) == (4, 4)
    assert begun == [("first", 8), ("second", 8), ("first", 4), ("second", 4)]
    assert [(event.first, event.images) for event in events if isinstance(event, BatchSized)] == [(0, 4)]


def test_a_batch_that_failed_for_memory_holds_none(
    variant: CalibratedVariant, pixels: dict[Geometry, torch.Tensor]
) -> None:
    held: list[Any] = []

    def fail(_module: Any, _given: Any, output: torch.Tensor) -> None:
        held.append(weakref.ref(output))
        raise torch.OutOfMemoryError("CUDA out of memory")

    hook = variant.model.patch_embed.register_forward_hook(fail)
    try:
        with threads.pool(1) as pool:
            passes = {0: Passes(variant, pixels, 23, features=False)}
            (future,) = submit(pool, passes, lambda *_: None, batches_of(23), CONTROL)
            assert isinstance(future.exception(), torch.OutOfMemoryError)
            gc.collect()
            assert len(held) == 1 and held[0]() is None
    finally:
        hook.remove()
