"""Pseudonyms for the names in a session that may identify somebody: sets, models, images, machines."""

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
LONGEST_TEXT = 2000  # characters; the engine writes shorter ones
PUBLISHED = ("demo zoo", "Hugging Face ", "torch cache ")  # how the origin of public weights begins
# Whatever looks like a path, a file or a session's folder in a text is treated as a name.
_NAMES = re.compile(
    r"(?<![\w.])(?:~|/)[^\s'\"()]{0,500}/[^\s'\"()]*"
    r"|\([^()]{0,500}/[^()]{0,500}\)"
    r"|(?<![^\s'\"()])[^\s'\"()]{0,500}\.(?:jpe?g|png|webp|bmp|gif|tiff?|npy|npz|pth?|ckpt|safetensors|txt|csv|json|toml|log)\b"
    r"|\d{8}-\d{6}-[\w-]+",
    re.IGNORECASE,
)
_LEFT_OUT = re.compile(r"^(fit set: ).+( left out: )", re.DOTALL)


class Names(NamedTuple):
    """The pseudonyms: of sets and models by name, of images by set and name, and of other words in texts."""

    sets: dict[str, str]
    models: dict[str, str]
    images: dict[tuple[str, str], str]
    own_weights: frozenset[str]  # models whose weights are the user's
    texts: dict[str, str]
    of_own: frozenset[str]  # sets whose images are the user's

    def set(self, name: str) -> str:
        """Return the pseudonym of a set, or its own name if that is public."""
        return self.sets.get(name, name)

    def variant(self, key: str) -> str:
        """Return the key of a variant with the pseudonym of its model."""
        identity = VariantId.parse(key)
        return msgspec.structs.replace(identity, model=self.models.get(identity.model, identity.model)).key

    def text(self, words: str) -> str:
        """Return a text without names."""
        if len(words) > LONGEST_TEXT:
            return GONE
        words = _LEFT_OUT.sub(r"\1an image\2", words)
        if self.texts:
            there = tuple(name for name in self.texts if name in words)
            words = _pattern(there).sub(lambda match: self.texts[match[1]], words) if there else words
        return _NAMES.sub("(a name)", words)


def names_of(session: Path, header: Header, events: Iterable[AnyEvent]) -> Names:
    """Return pseudonyms for every name in a session that is not public."""
    events = list(events)
    plan = header.plan
    public = {*catalog.SETS, catalog.HELD_OUT}
    sets = _numbered("set", [name for name in _sets(header, events) if name not in public])
    own = frozenset(
        event.model
        for event in events
        if isinstance(event, ModelLoaded) and not event.origin.startswith(PUBLISHED)
    )
    loaded = {event.model for event in events if isinstance(event, ModelLoaded)}
    published = {name for name in plan.models if name in catalog.MODELS} | (loaded - own)
    models = _numbered("model", [name for name in plan.models if name not in published])
    images = dict.fromkeys((*_drawn(events), *_unreadable(events)))
    pseudonyms = {key: f"image-{number}" for number, key in enumerate(images, 1)}
    texts = _machine(events) | _texts_of_own(events, sets) | {header.id: GONE, session.resolve().name: GONE}
    for (_, name), pseudonym in pseudonyms.items():
        texts[name] = pseudonym
        texts.setdefault(name.rpartition("/")[2], pseudonym)
    texts |= {**sets, **models}
    of_own = frozenset({*sets, *([catalog.HELD_OUT] if plan.id_set in sets else [])})
    return Names(sets, models, pseudonyms, own, {name: word for name, word in texts.items() if name}, of_own)


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
    """Return pseudonyms for processors and GPUs in texts."""
    workers = [event for event in events if isinstance(event, WorkerStarted)]
    names = {worker.versions.get("processor", ""): "processor" for worker in workers}
    for worker in workers:
        for number, (identity, name) in enumerate(worker.accelerators.items(), 1):
            names |= {identity: f"gpu-{number}", name: "GPU"}
    return names


def _texts_of_own(events: list[AnyEvent], sets: dict[str, str]) -> dict[str, str]:
    """Return replacements for the labels and notes of the user's own sets, which reveal what is in them."""
    prepared = [event for event in events if isinstance(event, SetsPrepared)]
    sets_ready = [one for event in prepared for one in (*event.sets, *((event.fit,) if event.fit else ()))]
    labels = {text for one in sets_ready if one.name in sets for text in (one.label, *one.notes)}
    origins = {event.origin for event in events if isinstance(event, ModelLoaded)}
    return dict.fromkeys((*labels, *(one for one in origins if not one.startswith(PUBLISHED))), GONE)


def _numbered(kind: str, names: Iterable[str]) -> dict[str, str]:
    return {name: f"{kind}-{number}" for number, name in enumerate(dict.fromkeys(names), 1)}


@cache
def _pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    """Return a pattern that finds names as whole words, the longest first, with the folders before them."""
    longest = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    return re.compile(rf"(?<![A-Za-z0-9_])(?:[^\s'\"()/]{{0,255}}/){{0,40}}({longest})(?![A-Za-z0-9_])")
