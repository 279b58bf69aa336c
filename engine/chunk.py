"""The images of a sweep in their order, and one chunk of them with what every variant says of it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine import catalog
from engine.arrays import READABLE, layout
from engine.calibration import CalibrationImages, Ready
from engine.images import order
from engine.images.folder import FolderImages
from engine.images.source import Geometry, ImageSet, Pixels
from engine.models.features import outputs
from engine.models.loaded import normalise
from engine.plan import Plan
from engine.protocol import ImageUnreadable, SetReady, SetsPrepared
from engine.scores.logits import brier, negative_log_likelihood, rank_of_label
from engine.scores.outputs import Outputs

Indices = NDArray[np.int64]


class Images(NamedTuple):
    """All sets of a sweep and the order in which their images are shown."""

    sets: list[ImageSet]
    which: Indices
    places: Indices  # of each image in its set


def prepare_images(plan: Plan, folders: dict[str, str]) -> Images:
    """Load every set and draw the order of the sweep."""
    sets = [open_set(name, folders) for name in (plan.id_set, *plan.ood_sets)]
    sizes = [plan.id_images, *[plan.ood_images] * len(plan.ood_sets)]
    drawn = [
        order.draw(images.labels, min(size, len(images.labels)), plan.seed + i)
        for i, (images, size) in enumerate(zip(sets, sizes, strict=True))
    ]
    which, place = order.interleave([len(part) for part in drawn])
    places = np.array([drawn[s][p] for s, p in zip(which, place, strict=True)], np.int64)
    return Images(sets, which, places)


def open_set(name: str, folders: dict[str, str]) -> ImageSet:
    """Return the set `name`: one of the user's folders or one of the catalog."""
    if name in folders:
        return FolderImages(name, folders[name])
    opened: ImageSet = catalog.resolve(catalog.SETS[name].target)(name)
    return opened


def describe(
    plan: Plan, images: Images, calibration: CalibrationImages, fit: SetReady | None
) -> SetsPrepared:
    """Return the event that says which images take part, by the hash of their contents."""
    chosen = [images.places[images.which == i] for i in range(len(images.sets))]
    ready = tuple(_set_ready(s, part) for s, part in zip(images.sets, chosen, strict=True))
    return SetsPrepared(ready, len(images.which), calibration.describe(plan), fit)


def _set_ready(images: ImageSet, chosen: Indices) -> SetReady:
    return SetReady(images.name, images.role, images.label, len(chosen), images.digest(chosen))


class Chunk:
    """Some rows of a sweep: read once for every geometry, filled in column by column.

    `parts` has the rows of every array; the column of a variant that is not scored stays NaN.
    """

    def __init__(
        self, plan: Plan, images: Images, first: int, geometries: set[Geometry], device: torch.device
    ) -> None:
        self.plan, self.first = plan, first
        rows = slice(first, first + plan.chunk_images)
        which, places = images.which[rows], images.places[rows]
        labels = [images.sets[s].labels[i] for s, i in zip(which, places, strict=True)]
        self.parts: dict[str, NDArray[Any]] = {
            name: np.full((len(which), columns), np.nan if dtype.kind == "f" else -1, dtype)
            for name, (dtype, columns) in layout(plan).items()
        }
        self.parts["samples"][:] = np.stack([which, places, labels, np.ones(len(which))], 1)
        self.unreadable: list[ImageUnreadable] = []
        self._labels = torch.from_numpy(np.array(labels, np.int64)).to(device)
        self._pixels = {g: self._read(images, which, places, g, device) for g in sorted(geometries)}

    def __len__(self) -> int:
        return len(self.parts["samples"])

    def score(self, column: int, ready: Ready) -> None:
        """Fill in what one variant says of the images."""
        with torch.inference_mode():
            given = normalise(self._pixels[ready.source.geometry], ready.source)
            seen = outputs(ready.model, given) if ready.needs_features else Outputs(ready.model(given))
            logits = seen.logits
            found = {
                "nll": negative_log_likelihood(logits, self._labels),
                "brier": brier(logits, self._labels),
                "rank": rank_of_label(logits, self._labels),
            }
            found |= {name: score(seen) for name, score in ready.scorers.items()}
        for name, values in found.items():
            self.parts[name][:, column] = values.cpu().numpy()

    def _read(
        self, images: Images, which: Indices, places: Indices, geometry: Geometry, device: torch.device
    ) -> Tensor:
        pixels: Pixels = np.empty((len(which), 3, geometry.size, geometry.size), np.uint8)
        readable = self.parts["samples"][:, READABLE]
        for position, of_set in enumerate(images.sets):
            rows = np.flatnonzero(which == position)
            pixels[rows], failed = of_set.read(places[rows], geometry)
            for at, reason in failed.items():
                if readable[rows[at]]:
                    name = of_set.name_of(int(places[rows[at]]))
                    self.unreadable.append(ImageUnreadable(of_set.name, name, reason))
                readable[rows[at]] = 0
        return torch.from_numpy(pixels).to(device)
