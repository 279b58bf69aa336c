"""All image sets of a sweep: opened, drawn in order, and kept disjoint by content."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from engine import catalog
from engine.datasets.discover import below_root, id_set, is_found, ood_set, read_classes, with_names
from engine.datasets.disk_set import DiskSet
from engine.errors import InputError
from engine.images import demo, order
from engine.images.crops import KeptImages
from engine.images.decoders import Decoders
from engine.images.digests import NO_CONTENT
from engine.images.disk_images import DiskImages
from engine.images.image_set import ImageSet, Indices, digest_of
from engine.plan.plan import Plan
from engine.plan.resources import Resources
from engine.protocol.events import CalibrationDraw, SetReady, SetsPrepared
from engine.text import counted


class HeldOutPool(NamedTuple):
    """Images to calibrate or fit on, never evaluated: the first `wanted` of a pool in its drawn order.

    Of a pool of `available` images, `copies` were skipped because they are also evaluated, and
    `unreadable` because they cannot be decoded.
    """

    images: ImageSet
    pool: Indices
    wanted: int
    available: int
    copies: int = 0
    unreadable: int = 0

    @property
    def chosen(self) -> Indices:
        """Return the images that are used."""
        return self.pool[: self.wanted]


class Sets(NamedTuple):
    """The evaluated sets, the ID set first, the order of their images, and what is held out of them."""

    sets: list[ImageSet]
    which: Indices
    places: Indices  # of each image in its set
    available: list[int]
    calibrations: list[HeldOutPool]  # one per draw
    fit: HeldOutPool | None

    @property
    def rows(self) -> int:
        """Return how many images are evaluated."""
        return len(self.which)

    def chosen(self, position: int) -> Indices:
        """Return the evaluated images of one set, in their order."""
        chosen: Indices = self.places[self.which == position]
        return chosen


def open_sets(
    plan: Plan, resources: Resources, decoders: Decoders, class_names: tuple[str, ...] = ()
) -> Sets:
    """Open every set of a plan and draw its images; raise InputError for one that is not there.

    `class_names` are the classes that the models' own files name, in the order of their outputs.
    """
    opener = _Opener(plan, resources, decoders, class_names)
    evaluated = [opener.open(name) for name in (plan.id_set, *plan.ood_sets)]
    pools = [np.arange(len(images.labels)) for images in evaluated]
    tenth = pools[0][:0]
    if catalog.HELD_OUT in (plan.calibration_set, plan.fit_set):
        pools[0], tenth = order.hold_out(evaluated[0].labels)
    drawn = [
        pool[order.draw(images.labels[pool], plan.size_of("ood" if at else "id", len(pool)), plan.seed + at)]
        for at, (images, pool) in enumerate(zip(evaluated, pools, strict=True))
    ]
    which, place = order.interleave([len(part) for part in drawn])
    starts = np.cumsum([0, *(len(part) for part in drawn)])
    places = np.concatenate(drawn)[starts[which] + place]

    def held_out(name: str, wanted: int, seed: int) -> HeldOutPool:
        images = evaluated[0] if name == catalog.HELD_OUT else opener.open(name)
        pool = tenth if name == catalog.HELD_OUT else np.arange(len(images.labels))
        drawn = pool[order.draw(images.labels[pool], len(pool), seed)]
        return HeldOutPool(images, drawn, wanted, len(pool))

    seeds = [plan.calibration_seed(draw) for draw in range(plan.calibration_draws)]
    calibrations = [held_out(plan.calibration_set, plan.calibration_images, seed) for seed in seeds]
    fit = held_out(plan.fit_set, plan.fit_images, plan.seed) if plan.needs_fit_set else None
    return Sets(evaluated, which, places, [len(pool) for pool in pools], calibrations, fit)


def without_copies(sets: Sets, plan: Plan) -> tuple[Sets, SetsPrepared]:
    """Replace held-out images whose content is also evaluated; return the sets and a description of them.

    Reads every image once. Raises InputError if too few are left to calibrate or fit on.
    """
    digests = [images.digests(sets.chosen(at)) for at, images in enumerate(sets.sets)]
    for images, of_set in zip(sets.sets, digests, strict=True):
        if of_set.count(NO_CONTENT) == len(of_set):
            right = f"none of its {len(of_set)} images can be read; 'qood-tui data check' says why"
            raise InputError("sets", images.name, right)
    evaluated = frozenset(digest for of_set in digests for digest in of_set) - {NO_CONTENT}
    calibrations = [
        _disjoint(pool, evaluated, "calibration_images", decoded=True) for pool in sets.calibrations
    ]
    # The fit set is large: an image of it that cannot be decoded is left out when its turn comes.
    fit = _disjoint(sets.fit, evaluated, "fit_images", decoded=False) if sets.fit else None
    described = tuple(
        _described(images, images.role, sets.chosen(at), digests[at], available, _overlaps(at, digests))
        for at, (images, available) in enumerate(zip(sets.sets, sets.available, strict=True))
    )
    draws = tuple(
        CalibrationDraw(
            plan.calibration_set,
            plan.calibration_seed(draw),
            tuple(one.images.name_of(int(i)) for i in one.chosen),
            digest_of(one.images.digests(one.chosen), one.images.labels[one.chosen]),
            one.copies,
            one.unreadable,
            one.available,
        )
        for draw, one in enumerate(calibrations)
    )
    fitted = None
    if fit is not None:
        fitted = _described(fit.images, "fit", fit.chosen, fit.images.digests(fit.chosen), fit.available)
        fitted = msgspec.structs.replace(fitted, name=plan.fit_set, copies=fit.copies)
    return sets._replace(calibrations=calibrations, fit=fit), SetsPrepared(
        described, sets.rows, draws, fitted
    )


def _disjoint(pool: HeldOutPool, evaluated: AbstractSet[str], field: str, *, decoded: bool) -> HeldOutPool:
    """Return a pool without images whose content is in `evaluated`, or that cannot be `decoded`."""
    kept: list[int] = []
    at = copies = unreadable = 0
    while len(kept) < pool.wanted and at < len(pool.pool):
        some = pool.pool[at : at + pool.wanted - len(kept)]
        new = [digest not in evaluated for digest in pool.images.digests(some)]
        lost = pool.images.read(some, []).unreadable if decoded else {}
        kept += [int(i) for place, i in enumerate(some) if new[place] and place not in lost]
        copies += new.count(False)
        unreadable += sum(new[place] for place in lost)
        at += len(some)
    if len(kept) < pool.wanted:
        left = f"{pool.images.name} has {len(kept)} images that are not evaluated"
        raise InputError(field, pool.wanted, f"{left}; ask for fewer, or name another set")
    return pool._replace(pool=np.asarray(kept, np.int64), copies=copies, unreadable=unreadable)


def _overlaps(position: int, digests: list[list[str]]) -> tuple[str, ...]:
    """Return notes on how many images of a set are in it more than once, or also in the ID set."""
    own = [digest for digest in digests[position] if digest != NO_CONTENT]
    notes = []
    if twice := len(own) - len(set(own)):
        notes.append(f"duplicates within the set: {counted(twice, 'image')}")
    if position and (shared := len(set(own) & set(digests[0]))):
        notes.append(f"also in the ID set: {counted(shared, 'image')}")
    return tuple(notes)


def _described(
    images: ImageSet,
    role: str,
    chosen: Indices,
    digests: list[str],
    available: int,
    overlaps: tuple[str, ...] = (),
) -> SetReady:
    digest = digest_of(digests, images.labels[chosen])
    expected, notes = images.expected, (*images.notes, *overlaps)
    return SetReady(images.name, role, images.label, len(chosen), digest, available, expected, 0, notes)


class _Opener:
    """Sets by name, each looked for and opened once."""

    def __init__(
        self, plan: Plan, resources: Resources, decoders: Decoders, class_names: tuple[str, ...] = ()
    ) -> None:
        self.resources, self.decoders, self.order = resources, decoders, plan.class_order or ""
        self.classes = read_classes(resources.classes) if resources.classes else ()
        self.class_names = () if self.classes or plan.class_order else class_names
        names = (plan.id_set, *plan.ood_sets, plan.calibration_set, plan.fit_set)
        self.found = below_root(resources, names)
        self.opened: dict[str, ImageSet] = {}

    def open(self, name: str) -> ImageSet:
        if name not in self.opened:
            self.opened[name] = demo.load_set(name) if catalog.is_made(name) else self._open(name)
        return self.opened[name]

    def _open(self, name: str) -> ImageSet:
        images = DiskImages(with_names(self._find(name), self.class_names), self.decoders)
        return KeptImages(images, Path(self.resources.crops)) if self.resources.crops else images

    def _find(self, name: str) -> DiskSet:
        resources = self.resources
        if is_found(name, resources, self.found):
            return self.found[name]
        if name in resources.ood:
            return ood_set(name, resources.ood[name])
        if name in resources.id or name in resources.train:
            path = resources.id.get(name) or resources.train[name]
            return id_set(
                name, path, Path(resources.data) if resources.data else None, self.classes, self.order
            )
        raise InputError(
            "data", resources.data or None, f"a folder that holds {name} is needed (--data ROOT)"
        )
