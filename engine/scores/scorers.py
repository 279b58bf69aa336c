"""Scores by name: `msp`, or with parameters `knn:k=10,...`, ready to be computed."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from engine import catalog
from engine.errors import InputError, ScoreError, unknown_name
from engine.scores.outputs import FitSet, Outputs, Scorer
from engine.text import split_parameters

LEAST = {"temperature": 0, "gamma": 0, "top": 0, "k": 0}  # parameters must be above these


def scorer(name: str, fit: FitSet | None = None, parameters: dict[str, Any] | None = None) -> Scorer:
    """Return the score `name`, fitted where it learns from a fit set.

    Raises ScoreError, naming the score, if it cannot be fitted; so does what it returns if it cannot score.
    """
    entry = catalog.SCORES[name]
    check(name, parameters or {})
    function = partial(_function(name), **(parameters or {}))
    if not entry.fitted:
        return _named(name, lambda outputs: function(outputs.logits))
    if fit is None:
        raise ScoreError(f"{name}: a fit set is needed")
    if not all(bool(torch.isfinite(x).all()) for x in fit.outputs if x is not None):
        raise ScoreError(f"{name}: the fit set has logits or features that are NaN or infinite")
    fitted: Scorer = _named(name, function)(fit)
    return _named(name, fitted)


def _named(name: str, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a function that raises only ScoreErrors naming the score, whatever another package raises."""

    def call(argument: Any) -> Any:
        try:
            return function(argument)
        except torch.OutOfMemoryError:
            raise
        except ScoreError as error:
            raise ScoreError(f"{name}: {error}") from None
        except Exception as error:
            raise ScoreError(f"{name}: it failed ({type(error).__name__}: {error})") from error

    return call


def _function(name: str) -> Callable[..., Any]:
    try:
        function: Callable[..., Any] = catalog.resolve(catalog.SCORES[name].target)
    except Exception as error:
        raise ScoreError(f"{name}: it cannot be loaded ({type(error).__name__}: {error})") from None
    return function


def check(name: str, parameters: dict[str, Any]) -> None:
    """Raise ScoreError if a score has no such parameter, or not of this type."""
    accepted = defaults(name)
    for parameter, value in parameters.items():
        if parameter not in accepted:
            right = f"choose from: {', '.join(accepted)}" if accepted else "it has none"
            raise ScoreError(f"{name}: there is no parameter {parameter!r}; {right}")
        wanted = _type_of(accepted[parameter])
        fits = isinstance(value, wanted) or (wanted is float and isinstance(value, int))
        least = LEAST.get(parameter)
        if not fits or isinstance(value, bool):
            raise ScoreError(f"{name}: {parameter} = {value!r} cannot be used; a {wanted.__name__} is needed")
        if isinstance(value, int | float) and not math.isfinite(value):
            raise ScoreError(f"{name}: {parameter} = {value!r} cannot be used; a finite number is needed")
        if least is not None and not value > least:
            raise ScoreError(f"{name}: {parameter} = {value!r} cannot be used; it must be above {least}")


def parse(text: str) -> tuple[str, dict[str, Any]]:
    """Read `knn:k=10` into a name and parameters; raise InputError naming what is unknown or wrong."""
    name, pairs = split_parameters(text)
    if name not in catalog.SCORES:
        raise unknown_name("score", name, catalog.SCORES)
    accepted, parameters = defaults(name), {}
    for parameter, value in pairs:
        if parameter not in accepted:
            raise unknown_name(f"parameter of {name}", parameter, accepted or ["none, it has no parameters"])
        parameters[parameter] = _converted(name, parameter, value, accepted[parameter])
    return name, parameters


def defaults(name: str) -> dict[str, Any]:
    """Return the parameters of a score with their default values."""
    signature = inspect.signature(_function(name))
    return {p.name: p.default for p in list(signature.parameters.values())[1:]}


def warnings(name: str, outputs: Outputs, fit: FitSet | None = None, k: int | None = None) -> list[str]:
    """List warnings about a score on these outputs, or with `k` neighbours from this fit set."""
    entry, features = catalog.SCORES[name], outputs.features
    lines = []
    if entry.note and features is not None and bool((features < 0).any()):
        share = float((features < 0).double().mean())
        lines.append(f"{name}: {entry.note}, and {share:.0%} of these are negative")
    neighbours = defaults(name).get("k") if k is None else k
    if neighbours and fit is not None and fit.labels is not None:
        each = len(fit.labels) / max(len(torch.unique(fit.labels)), 1)
        if neighbours > each:
            lines.append(
                f"{name}: its {neighbours} neighbours reach beyond the {each:.0f} fit images per class"
            )
    return lines


def _converted(name: str, parameter: str, value: str, default: Any) -> Any:
    wanted = _type_of(default)
    try:
        return wanted(value)
    except ValueError:
        raise InputError(f"{name}:{parameter}", value, f"a {wanted.__name__} is needed") from None


def _type_of(default: Any) -> type:
    return int if default is None else type(default)
