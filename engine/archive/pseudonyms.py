"""Stand-ins for the names in a session that may say who or what: sets, models, images, machines."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import msgspec

from engine import catalog
from engine.plan.variants import VariantId
from engine.protocol.events import AnyEvent, Header, ImageUnreadable, ModelLoaded, SetsPrepared, WorkerStarted

GONE = "redacted"
LONGEST_TEXT = 2000  # characters; what the engine says is shorter
PUBLISHED = ("demo zoo", "Hugging Face ", "torch cache ")  # how the origin of weights begins that all can get
# In words, whatever looks like a path, a file or a session's folder is taken for a name.
_NAMES = re.compile(
    r"(?<![\w.])(?:~|/)[^\s'\"()]{0,500}/[^\s'\"()]*"
    r"|\([^()]{0,500}/[^()]{0,500}\)"
    r"|(?<![^\s'\"()])[^\s'\"()]{0,500}\.(?:jpe?g|png|webp|bmp|gif|tiff?|npy|npz|pth?|ckpt|safetensors|txt|csv|json|toml|log)\b"
    r"|\d{8}-\d{6}-[\w-]+",
    re.IGNORECASE,
)
_LEFT_OUT = re.compile(r"^(fit set: ).+( left out: )", re.DOTALL)


class Names(NamedTuple):
    """What stands for what: sets and models by name, images by set and name, and other words in texts."""

    sets: dict[str, str]
    models: dict[str, str]
    images: dict[tuple[str, str], str]
    own_weights: frozenset[str]  # models whose weights are the user's
    texts: dict[str, str]
    of_own: frozenset[str]  # sets whose images are the user's

    def set(self, name: str) -> str:
        """Return what stands for a set."""
        return self.sets.get(name, name)

    def variant(self, key: str) -> str:
        """Return the key of a variant with what stands for its model."""
        identity = VariantId.parse(key)
        stand_in = self.models.get(identity.model, identity.model)
        return msgspec.structs.replace(identity, model=stand_in).key

    def text(self, words: str) -> str:
        """Return words for people without names."""
        if len(words) > LONGEST_TEXT:
            return GONE
        words = _LEFT_OUT.sub(r"\1an image\2", words)
        if self.texts:
            here = tuple(name for name in self.texts if name in words)
            words = _pattern(here).sub(lambda found: self.texts[found[1]], words) if here else words
        return _NAMES.sub("(a name)", words)


def names_of(session: Path, header: Header, events: Iterable[AnyEvent]) -> Names:
    """Find every name in a session that is not one that everybody knows."""
    events = list(events)
    plan = header.plan
    known = {*catalog.SETS, catalog.HELD_OUT}
    sets = _numbered("set", [name for name in _sets(header, events) if name not in known])
    own = frozenset(
        event.model
        for event in events
        if isinstance(event, ModelLoaded) and not event.origin.startswith(PUBLISHED)
    )
    loaded = {event.model for event in events if isinstance(event, ModelLoaded)}
    published = {name for name in plan.models if name in catalog.MODELS} | (loaded - own)
    models = _numbered("model", [name for name in plan.models if name not in published])
    images = dict.fromkeys((*_drawn(events), *_unreadable(events)))
    stand_ins = {key: f"image-{number}" for number, key in enumerate(images, 1)}
    texts = _machine(events) | _said_of_own(events, sets) | {header.id: GONE, session.resolve().name: GONE}
    for (_, name), stand_in in stand_ins.items():
        texts[name] = stand_in
        texts.setdefault(name.rpartition("/")[2], stand_in)
    texts |= {**sets, **models}
    of_own = frozenset({*sets, *([catalog.HELD_OUT] if plan.id_set in sets else [])})
    return Names(sets, models, stand_ins, own, {name: word for name, word in texts.items() if name}, of_own)


def _sets(header: Header, events: list[AnyEvent]) -> Iterable[str]:
    plan = header.plan
    yield from (plan.id_set, *plan.ood_sets, plan.calibration_set, plan.fit_set, *header.folders)
    for event in events:
        if isinstance(event, SetsPrepared):
            yield from (one.name for one in event.sets)
            yield from (draw.set for draw in event.calibrations)
            yield from (one.name for one in (event.fit,) if one is not None)
        elif isinstance(event, ImageUnreadable):
            yield event.set


def _drawn(events: list[AnyEvent]) -> Iterable[tuple[str, str]]:
    prepared = (event for event in events if isinstance(event, SetsPrepared))
    return ((draw.set, name) for event in prepared for draw in event.calibrations for name in draw.images)


def _unreadable(events: list[AnyEvent]) -> Iterable[tuple[str, str]]:
    return ((event.set, event.name) for event in events if isinstance(event, ImageUnreadable))


def _machine(events: list[AnyEvent]) -> dict[str, str]:
    """Return what stands for processors and GPUs in texts."""
    workers = [event for event in events if isinstance(event, WorkerStarted)]
    found = {worker.versions.get("processor", ""): "processor" for worker in workers}
    for worker in workers:
        for number, (identity, name) in enumerate(worker.accelerators.items(), 1):
            found |= {identity: f"gpu-{number}", name: "GPU"}
    return found


def _said_of_own(events: list[AnyEvent], sets: dict[str, str]) -> dict[str, str]:
    """Return what stands for labels and notes of the user's own sets, which say what is in them."""
    prepared = [event for event in events if isinstance(event, SetsPrepared)]
    ready = [one for event in prepared for one in (*event.sets, *((event.fit,) if event.fit else ()))]
    said = {text for one in ready if one.name in sets for text in (one.label, *one.notes)}
    origins = {event.origin for event in events if isinstance(event, ModelLoaded)}
    return dict.fromkeys((*said, *(one for one in origins if not one.startswith(PUBLISHED))), GONE)


def _numbered(kind: str, names: Iterable[str]) -> dict[str, str]:
    return {name: f"{kind}-{number}" for number, name in enumerate(dict.fromkeys(names), 1)}


@cache
def _pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    """Return what finds names as whole words, the longest first, with the folders before them."""
    longest = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    return re.compile(rf"(?<![A-Za-z0-9_])(?:[^\s'\"()/]{{0,255}}/){{0,40}}({longest})(?![A-Za-z0-9_])")
