"""A sweep in this process: every image is decoded once, batches are halved where memory runs out."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.datasets.sources.base import Source
from engine.images.decoders import Decoders, Wanted
from engine.images.image_set import Geometry, Images
from engine.plan.plan import Plan
from engine.plan.resources import Checkpoint, Resources
from engine.protocol.events import AnyEvent, BatchSized, ChunkFinished
from engine.protocol.messages import Job
from engine.service.request import settle
from engine.session import store
from engine.session.session import Session
from engine.session.writer import Writer
from engine.sweep import batches
from engine.sweep.retry import Cancelled
from tests.real import SMALL, STUDY, openood_root, random_model
from tests.sweeping import sweep_here


class CountingDecoders(Decoders):
    """Count how often each file is decoded."""

    def __init__(self) -> None:
        super().__init__(2)
        self.seen: Counter[str] = Counter()

    def read(self, source: Source, wanted: list[Wanted], geometries: list[Geometry]) -> Images:
        self.seen.update(one.member for one in wanted)
        return super().read(source, wanted, geometries)


@pytest.fixture
def decoders() -> Iterator[CountingDecoders]:
    decoders = CountingDecoders()
    yield decoders
    decoders.close()


@pytest.fixture
def resources(tmp_path: Path) -> Resources:
    root = openood_root(tmp_path / "data")
    checkpoints = {}
    for name, size in (("small", 160), ("smaller", 96)):
        file = tmp_path / f"{name}.pth"
        torch.save(random_model(SMALL, num_classes=1000, img_size=size).state_dict(), file)
        checkpoints[name] = Checkpoint(str(file), SMALL)
    return Resources(data=str(root), devices="cpu", any_accuracy=True, checkpoints=checkpoints)


def plan_of(**changes: object) -> Plan:
    given = {
        "models": ("small", "smaller"),
        "bits": ("FP32", "W8A8", "W4A4"),
        **STUDY,
        **changes,
    }
    return Plan(**given)  # type: ignore[arg-type]


def run(
    plan: Plan,
    resources: Resources,
    decoders: Decoders,
    session: Path | None = None,
    first_row: int = 0,
    stop_after: int = 10**9,
) -> tuple[Path, list[AnyEvent]]:
    """Sweep in this process; stop as if by the user after so many chunks."""
    settled, resources, _ = settle(plan, resources)
    session = session or store.create(settled, resources.names(), title="here")
    events: list[AnyEvent] = []

    def is_cancelled() -> bool:
        return sum(isinstance(event, ChunkFinished) for event in events) >= stop_after

    job = Job(str(session), settled, resources, first_row)
    with contextlib.suppress(Cancelled):
        sweep_here(job, decoders, events.append, is_cancelled)
    return session, events


def arrays_of(session: Path) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    return {file.stem: np.load(file) for file in sorted((session / "arrays").glob("*.npy"))}


def test_two_models_of_different_geometry_decode_every_image_once(
    resources: Resources, decoders: CountingDecoders
) -> None:
    session, events = run(
        plan_of(scores=("msp", "knn"), score_parameters={"knn": {"k": 2}}), resources, decoders
    )
    listed = Path(resources.data, "benchmark_imglist", "imagenet")
    evaluated = [
        line.split()[0]
        for name in ("imagenet", "openimage_o", "textures")
        for line in (listed / f"test_{name}.txt").open()
    ]
    assert len(evaluated) == 88 and {decoders.seen[file] for file in evaluated} == {1}
    arrays = arrays_of(session)
    assert np.isfinite(arrays["msp"]).all() and arrays["msp"].shape == (88, 6)
    assert all(isinstance(e.batch, int) and e.batch > 0 for e in events if isinstance(e, ChunkFinished))


class Memory:
    """Let a forward pass of more than `most` images run out of memory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.most = 10**9
        self._normalise = batches.normalise
        monkeypatch.setattr(batches, "normalise", self.normalise)

    def normalise(self, pixels: torch.Tensor, source: object) -> torch.Tensor:
        if len(pixels) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self._normalise(pixels, source)  # type: ignore[arg-type]


def test_batches_are_halved_where_memory_runs_out_and_no_image_is_lost(
    resources: Resources, decoders: CountingDecoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(models=("small",))
    whole, _ = run(plan, resources, decoders)
    memory = Memory(monkeypatch)
    memory.most = 6
    halved, events = run(plan, resources, decoders)
    sizes = [(e.first, e.images) for e in events if isinstance(e, BatchSized)]
    assert sizes == [(0, 20), (0, 10), (0, 5)]
    assert {e.batch for e in events if isinstance(e, ChunkFinished)} == {5}
    first, second = arrays_of(whole), arrays_of(halved)
    assert all(np.isfinite(second[name]).all() for name in ("msp", "energy"))
    np.testing.assert_allclose(second["energy"], first["energy"], rtol=1e-4)
    np.testing.assert_array_equal(second["samples"], first["samples"])


def test_a_sweep_that_was_halved_goes_on_halved_to_the_same_bits(
    resources: Resources, decoders: CountingDecoders, monkeypatch: pytest.MonkeyPatch
) -> None:

    plan = plan_of(models=("small",))
    memory = Memory(monkeypatch)

    def swept(stop_after: int) -> tuple[Path, list[AnyEvent]]:
        """Memory runs out at the third chunk."""
        memory.most = 10**9
        session = store.create(settle(plan, resources)[0], (), title="here")
        _, events = run(plan, resources, decoders, session, stop_after=2)
        write(session, events)
        memory.most = 12
        rows = Session.at(session).rows
        _, more = run(plan, resources, decoders, session, rows, stop_after)
        write(session, more)
        memory.most = 10**9
        rows = Session.at(session).rows
        _, last = run(plan, resources, decoders, session, rows)
        return session, [*events, *more, *last]

    def write(session: Path, events: list[AnyEvent]) -> None:
        writer = Writer(session)
        for event in events:
            writer.append(event)
        writer.abandon()

    at_once, _ = swept(10**9)
    in_parts, events = swept(1)
    assert [e.batch for e in events if isinstance(e, ChunkFinished)] == [20, 20, 10, 10, 10]
    first, second = arrays_of(at_once), arrays_of(in_parts)
    for name in first:
        np.testing.assert_array_equal(second[name], first[name], name)
