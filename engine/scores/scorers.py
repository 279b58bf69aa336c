"""Scores by name: `msp`, or with parameters `knn:k=10,...`, ready to be computed."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

import torch
from torch import Tensor

from engine import catalog
from engine.errors import InputError, ScoreError, unknown_name
from engine.scores.outputs import FitSet, Outputs, Scorer


def scorer(name: str, fit: FitSet | None = None, parameters: dict[str, Any] | None = None) -> Scorer:
    """Return the score `name`, fitted where it learns from a fit set.

    Raises ScoreError, naming the score, if it cannot be fitted.
    """
    entry = catalog.SCORES[name]
    check(name, parameters or {})
    function = partial(catalog.resolve(entry.target), **(parameters or {}))
    if not entry.fitted:
        return lambda outputs: function(outputs.logits)
    if fit is None:
        raise ScoreError(f"{name}: a fit set is needed")
    try:
        fitted: Scorer = function(fit)
    except ScoreError as error:
        raise ScoreError(f"{name}: {error}") from None
    return fitted


def check(name: str, parameters: dict[str, Any]) -> None:
    """Raise ScoreError if a score has no such parameter, or not of this type."""
    known = defaults(name)
    for parameter, value in parameters.items():
        if parameter not in known:
            there = ", ".join(known) or "it has none"
            raise ScoreError(f"{name}: there is no parameter {parameter!r}; choose from: {there}")
        wanted = _type_of(known[parameter])
        fits = isinstance(value, wanted) or (wanted is float and isinstance(value, int))
        if not fits or isinstance(value, bool):
            raise ScoreError(f"{name}: {parameter} = {value!r} cannot be used; a {wanted.__name__} is needed")


def parse(text: str) -> tuple[str, dict[str, Any]]:
    """Read `knn:k=10` into a name and parameters; raise InputError naming what is unknown or wrong."""
    name, _, rest = text.strip().partition(":")
    if name not in catalog.SCORES:
        raise unknown_name("score", name, catalog.SCORES)
    known, given = defaults(name), {}
    for part in filter(None, rest.split(":")):
        parameter, _, value = part.partition("=")
        if parameter not in known:
            raise unknown_name(f"parameter of {name}", parameter, known or ["none, it has no parameters"])
        given[parameter] = _converted(name, parameter, value, known[parameter])
    return name, given


def defaults(name: str) -> dict[str, Any]:
    """Return the parameters of a score with their default values."""
    signature = inspect.signature(catalog.resolve(catalog.SCORES[name].target))
    return {p.name: p.default for p in list(signature.parameters.values())[1:]}


def warnings(name: str, outputs: Outputs) -> list[str]:
    """List what speaks against a score on these outputs."""
    entry, features = catalog.SCORES[name], outputs.features
    if entry.note and features is not None and bool((features < 0).any()):
        share = float((features < 0).double().mean())
        return [f"{name}: {entry.note}, and {share:.0%} of these are negative"]
    return []


def share_of_distinct(scores: Tensor) -> float:
    """Return the number of distinct values over that of all, 0 for none."""
    return len(torch.unique(scores)) / max(len(scores), 1)


def _converted(name: str, parameter: str, value: str, default: Any) -> Any:
    wanted = _type_of(default)
    try:
        return wanted(value)
    except ValueError:
        raise InputError(f"{name}:{parameter}", value, f"a {wanted.__name__} is needed") from None


def _type_of(default: Any) -> type:
    return int if default is None else type(default)
