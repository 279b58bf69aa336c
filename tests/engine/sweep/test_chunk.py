"""A chunk: its images, read once for all models, and what variants say of them."""

from __future__ import annotations

import errno
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from engine.datasets.sources.base import TransientError
from engine.images.array_images import ArrayImages
from engine.images.image_set import Geometry, Images, Indices
from engine.images.sets import Sets
from engine.models.zoo import load_model
from engine.plan.plan import Plan
from engine.protocol.events import AnyEvent, ImageUnreadable, PhaseChanged
from engine.scores import scorers
from engine.session.arrays import READABLE
from engine.session.outputs import OutputWriter, digest_of, joined
from engine.sweep import retry
from engine.sweep.calibration import CalibratedVariant
from engine.sweep.chunk import Chunk, ReadAhead, ScoredChunk
from engine.sweep.retry import RetryControl
from tests.engine.sweep.setups import tiny_plan

CPU = torch.device("cpu")
PLAN = tiny_plan(bits=("FP32", "W4A4", "W8A8"), ood_sets=("noise",), scores=("msp", "energy"), chunk_images=6)
OTHER = Geometry(32, 0.5)


class TornImages(ArrayImages):
    """Images of which one cannot be read."""

    def read(self, indices: Indices, geometries: list[Geometry]) -> Images:
        images = super().read(indices, geometries)
        return images._replace(unreadable={at: "torn" for at, i in enumerate(indices) if i == 1})


@pytest.fixture(scope="module")
def sets() -> Sets:
    """Return an ID set of five images and an OOD set of four, in turn."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 255, (9, 32, 32, 3), np.uint8)
    of_id = ArrayImages("mine", "", "id", pixels[:5], np.array([3, 1, 4, 1, 5]))
    of_ood = TornImages("noise", "", "ood", pixels[5:], np.full(4, -1))
    which = np.array([0, 1, 0, 1, 0, 1, 0, 1, 0])
    return Sets([of_id, of_ood], which, np.array([4, 0, 2, 1, 0, 3, 1, 2, 3]), [5, 4], [], None)


@pytest.fixture(scope="module")
def variants() -> dict[int, CalibratedVariant]:
    """Return the first and the last variant, as if the second could not be calibrated."""
    loaded = load_model("vit-narrow")
    of_plan = PLAN.variants()
    functions = {name: scorers.scorer(name) for name in ("msp", "energy")}
    return {
        column: CalibratedVariant(of_plan[column], loaded.model, loaded, "", functions) for column in (0, 2)
    }


def chunk_of(sets: Sets, first: int = 0, outputs: OutputWriter | None = None, plan: Plan = PLAN) -> Chunk:
    chunk = Chunk(plan, sets, first, [Geometry(32), OTHER], CPU, outputs)
    chunk.load()
    return chunk


def test_rows_are_the_sweeps_own_and_an_unreadable_image_is_named(sets: Sets) -> None:
    chunk = chunk_of(sets)
    assert_array_equal(chunk.parts["samples"][:, 0], sets.which[:6])
    assert_array_equal(chunk.parts["samples"][:, 1], sets.places[:6])
    assert_array_equal(chunk.parts["samples"][:, 2], [5, -1, 4, -1, 3, -1])
    assert_array_equal(chunk.parts["samples"][:, READABLE], [1, 1, 1, 0, 1, 1])
    assert chunk.unreadable == [ImageUnreadable("noise", "noise[1]", "torn")]
    assert len(chunk_of(sets, 6)) == 3


def test_each_variant_fills_its_own_column_and_one_that_is_lost_stays_empty(
    sets: Sets, variants: dict[int, CalibratedVariant]
) -> None:
    chunk = chunk_of(sets)
    for column, variant in variants.items():
        chunk.score(column, variant, 4)
    for name in ("msp", "energy", "brier"):
        values = chunk.parts[name]
        assert np.isnan(values[:, 1]).all(), name
        assert_array_equal(values[:, 0], values[:, 2], name)
    labelled = sets.which[:6] == 0
    assert_array_equal(np.isfinite(chunk.parts["nll"][:, 0]), labelled)
    assert_array_equal(chunk.parts["rank"][:, 1], np.full(6, -1))
    assert_array_equal(chunk.parts["rank"][:, 0] >= 0, labelled)
    scored = ScoredChunk.of(chunk, 4, 1.23456, 0.5)
    assert (scored.first, scored.batch, scored.seconds, scored.waited) == (0, 4, 1.235, 0.5)
    right = scored.predicted[labelled] == chunk.labels[labelled]
    assert_array_equal(chunk.parts["rank"][labelled, 0] == 0, right)


def test_rows_do_not_depend_on_the_chunk_that_they_are_in(
    sets: Sets, variants: dict[int, CalibratedVariant]
) -> None:
    chunks = [chunk_of(sets, first) for first in (0, 6)]
    whole = Chunk(tiny_plan(**{**_changes(), "chunk_images": 9}), sets, 0, [Geometry(32)], CPU)
    for chunk in (*chunks, whole):
        chunk.score(0, variants[0], 3)
    for name in ("msp", "energy", "rank"):
        parts = np.concatenate([chunk.parts[name][:, 0] for chunk in chunks])
        assert_array_equal(parts, whole.parts[name][:, 0], name)


def _changes() -> dict[str, object]:
    return {name: getattr(PLAN, name) for name in ("bits", "ood_sets", "scores")}


def test_outputs_are_on_the_disk_once_a_chunk_is_scored(
    sets: Sets, variants: dict[int, CalibratedVariant], tmp_path: Path
) -> None:
    plan = tiny_plan(**_changes(), chunk_images=6, keep_outputs=True)
    writer = OutputWriter(tmp_path, plan, {"vit-narrow": (50, 64)})
    writer.make(9)
    chunk = chunk_of(sets, 0, writer, plan)
    for column, variant in variants.items():
        chunk.score(column, variant, 6)
    name = plan.variants()[2].stem
    arrays = [np.load(tmp_path / "outputs" / f"{name}.{part}.npy")[:6] for part in ("logits", "features")]
    assert chunk.kept[2] == digest_of(*arrays) and np.isfinite(arrays[0]).all()
    assert ScoredChunk.of(chunk, 6, 0, 0).kept == joined(chunk.kept)
    assert ScoredChunk.of(chunk_of(sets), 6, 0, 0).kept == ""


def test_chunks_are_read_ahead_in_the_order_in_which_they_are_asked_for(sets: Sets) -> None:
    may_read, read = threading.Event(), []

    def read_chunk(first: int) -> Chunk:
        may_read.wait(10)
        read.append(first)
        return chunk_of(sets, first)

    ahead = ReadAhead(read_chunk, RetryControl(lambda _: None, lambda: False), CPU)
    try:
        assert ahead.reading is None
        ahead.ask(6)
        ahead.ask(0)
        assert len(ahead) == 2 and ahead.reading is not None and not ahead.reading.done()
        may_read.set()
        assert [ahead.take()[0].first for _ in range(2)] == [6, 0] == read
    finally:
        ahead.close()


def test_a_disk_that_fails_while_reading_ahead_pauses_the_sweep(
    sets: Sets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "RETRY_SECONDS", 0.0)
    events: list[AnyEvent] = []
    failures = [TransientError(errno.EIO, "Input/output error")] * 2

    def read_chunk(first: int) -> Chunk:
        if failures:
            raise failures.pop()
        return chunk_of(sets, first)

    ahead = ReadAhead(read_chunk, RetryControl(events.append, lambda: False), CPU)
    try:
        ahead.ask(0)
        assert ahead.take()[0].first == 0
    finally:
        ahead.close()
    assert [event.phase for event in events if isinstance(event, PhaseChanged)] == ["paused", "starting"]
