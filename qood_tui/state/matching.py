"""In what sessions differ: their plans, and what stands behind the same names in them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from engine.archive.pseudonyms import GONE
from engine.plan.plan import IDLE, to_mapping
from engine.report.words import listed
from qood_tui.state.state import State

MOST_SAID = 3  # of a list that differs
SHOWN = ("models", "bits", "ood_sets")  # fields whose difference the rows and columns show


def differing(states: Sequence[State]) -> dict[str, tuple[str, ...]]:
    """Return the fields of the plans that are not the same, with what each session has."""
    plans = [to_mapping(state.header.plan) for state in states]
    return {
        field.replace("_", " "): tuple(_said(plan.get(field)) for plan in plans)
        for field in dict.fromkeys(field for plan in plans for field in plan)  # some are there only if given
        if field not in (*SHOWN, *IDLE) and any(plan.get(field) != plans[0].get(field) for plan in plans)
    }


def notes_on(states: Sequence[State]) -> tuple[str, ...]:
    """Say whether sessions were swept over the same images, and what else is not the same in them."""
    first, others = states[0], states[1:]
    models = dict.fromkeys(variant.model for variant in first.header.plan.variants())
    weights = [name for name in models if any(same_weights(first, other, name) is False for other in others)]
    draws = range(first.header.plan.calibration_draws)
    lines = [
        images_in_words(states),
        f"different weights: {listed(weights)}" if weights else "",
        "calibrated on different images"
        if any(same_calibration(first, other, draw) is False for other in others for draw in draws)
        else "",
        "scores fitted on different images"
        if any(same_fit(first, other) is False for other in others)
        else "",
    ]
    return tuple(filter(None, lines))


def images_in_words(states: Sequence[State]) -> str:
    """Say whether the sessions were swept over the same images as the first."""
    first, *others = (_digests(state) for state in states)
    if not first or not all(others):
        return "unknown whether these are the same images"
    words = [f"different images: {', '.join(names)}"] if (names := other_images(states)) else []
    if apart := sum(first.keys().isdisjoint(other) for other in others):
        words.append("no set in common" if apart == len(others) else "some sessions share no set with A")
    words = words or ["same images"]
    if len({state.rows for state in states}) > 1:
        words.append("different numbers of images: unfinished sessions are compared so far")
    return "; ".join(words)


def other_images(states: Sequence[State]) -> tuple[str, ...]:
    """Return the sets of the first session that another has with other images."""
    first, *others = (_digests(state) for state in states)
    return tuple(
        name for name in first if any(other.get(name, first[name]) != first[name] for other in others)
    )


def same_images(one: State, other: State, names: Collection[str]) -> bool | None:
    """Return whether sets of these names hold the same images; None where that is not known."""
    return _all(_same(_digests(one).get(name), _digests(other).get(name)) for name in names)


def same_weights(one: State, other: State, model: str) -> bool | None:
    """Return whether a model has the same weights in floating point; None where that is not known."""
    digests = [ready.digest if (ready := s.ready.get(f"{model} FP32")) else None for s in (one, other)]
    return _same(*digests)


def same_calibration(one: State, other: State, draw: int) -> bool | None:
    """Return whether a draw of calibration images is the same; None where that is not known."""
    draws = [state.prepared.calibrations if state.prepared else () for state in (one, other)]
    return _same(*(found[draw].digest if draw < len(found) else None for found in draws))


def same_fit(one: State, other: State) -> bool | None:
    """Return whether scores were fitted on the same images; None where none were, or that is not known."""
    fits = [state.prepared.fit if state.prepared else None for state in (one, other)]
    return _same(*(fit.digest if fit else None for fit in fits))


def _digests(state: State) -> dict[str, str]:
    sets = state.prepared.sets if state.prepared else ()
    return {one.name: one.digest for one in sets if one.digest and one.digest != GONE}


def _same(one: str | None, other: str | None) -> bool | None:
    return None if not one or not other or GONE in (one, other) else one == other


def _all(answers: Iterable[bool | None]) -> bool | None:
    found = set(answers)
    return False if False in found else None if None in found else True


def _said(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, dict):
        return ", ".join(f"{key} {of_key}" for key, of_key in value.items()) or "none"
    if isinstance(value, list | tuple):
        more = f" and {len(value) - MOST_SAID} more" if len(value) > MOST_SAID else ""
        return ", ".join(map(str, value[:MOST_SAID])) + more
    return str(value)
