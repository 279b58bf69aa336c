"""Sessions made without models: scores at random, measured and written by the code that a sweep uses."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from engine.images import order
from engine.plan.plan import Plan
from engine.protocol.events import (
    AnyEvent,
    CalibrationDraw,
    ChunkFinished,
    SetReady,
    SetsPrepared,
    VariantReady,
)
from engine.session import store
from engine.session.arrays import Arrays, ArrayWriter, layout
from engine.session.place import Folder
from engine.session.writer import Writer
from engine.sweep.progress import Progress

CLASSES = 10


@dataclasses.dataclass
class Made:
    """What a session is made of: how many images each set has, the ID set first, and what differs."""

    plan: Plan
    sizes: Mapping[str, int]
    seed: int = 0
    weights: Mapping[str, str] = dataclasses.field(default_factory=dict)  # digests other than the usual
    images: Mapping[str, str] = dataclasses.field(default_factory=dict)
    calibration: str = "c" * 64
    fit: str = ""

    def parts(self) -> dict[str, np.ndarray]:
        """Return the rows of every array; OOD images have larger scores, the more so the later the set."""
        random = np.random.default_rng(self.seed)
        which, place = order.interleave(list(self.sizes.values()))
        columns, rows = len(self.plan.variants()), len(which)
        labels = np.where(which == 0, place % CLASSES, -1)
        parts: dict[str, np.ndarray] = {"samples": np.stack([which, place, labels, np.ones(rows)], 1)}
        signal = np.repeat(0.4 * which[:, None], columns, 1) * np.linspace(1, 0.3, columns)
        noise = random.normal(size=(rows, 1)) + random.normal(size=(rows, columns)) / 2
        for name in layout(self.plan):
            if name == "rank":
                ranks = random.integers(0, 3, (rows, columns))
                parts[name] = np.where(labels[:, None] >= 0, ranks, -1)
            elif name != "samples":
                parts[name] = signal + noise
        parts["msp"] = -1 / (1 + np.exp(parts["msp"]))
        return parts

    def events(self) -> list[AnyEvent]:
        """Return what a journal says before the first chunk."""
        ready = tuple(
            SetReady(name, "ood" if at else "id", "", count, self.images.get(name, "a" * 64), count)
            for at, (name, count) in enumerate(self.sizes.items())
        )
        draws = tuple(
            CalibrationDraw(
                self.plan.calibration_set, self.plan.calibration_seed(draw), ("one",), self.calibration
            )
            for draw in range(self.plan.calibration_draws)
        )
        fit = SetReady(self.plan.fit_set, "fit", "", 9, self.fit) if self.fit else None
        variants = [
            VariantReady(v.key, self.weights.get(v.model, "b" * 64), 0.0, CLASSES)
            for v in self.plan.variants()
        ]
        return [SetsPrepared(ready, sum(self.sizes.values()), draws, fit), *variants]

    def written(self, root: Path) -> Path:
        """Write the session into a folder, as one that was swept to its end, and return its own."""
        made = store.create(self.plan, (), root, "made")
        writer, parts, rows = Writer(made), self.parts(), sum(self.sizes.values())
        for event in self.events():
            writer.append(event)
        digests = ArrayWriter(made, self.plan, rows, CLASSES).write(0, parts)
        writer.append(ChunkFinished(0, rows, 1.0, digests))
        progress = Progress(self.plan, writer.append)
        progress.classes = {variant.key: CLASSES for variant in self.plan.variants()}
        with ThreadPoolExecutor(2) as pool:
            progress.measure(Arrays(Folder(made), self.plan), rows, rows, pool, last=True)
        writer.close("finished")
        return made
