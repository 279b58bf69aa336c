"""`python -m engine scores`: compute OOD scores of your own arrays."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine import catalog
from engine.errors import BAD_INPUT, FINISHED, WITH_FAILURES, InputError, ScoreError
from engine.measure.pair import LEAST_DISTINCT, share_of_distinct
from engine.scores import scorers
from engine.scores.outputs import FitSet, Head, Outputs
from engine.scores.subspace import DEFAULT_DIMENSIONS
from engine.system.files import whole
from engine.system.npy import read_arrays

Arrays = dict[str, Tensor]
DIMENSIONS = {
    "logits": 2,
    "features": 2,
    "weight": 2,
    "bias": 1,
    "fit_features": 2,
    "fit_labels": 1,
    "fit_logits": 2,
}

EQUAL = (  # an array, its axis, another array, its axis
    ("features", 0, "logits", 0),
    ("weight", 0, "logits", 1),
    ("weight", 1, "features", 1),
    ("bias", 0, "weight", 0),
    ("fit_features", 1, "features", 1),
    ("weight", 1, "fit_features", 1),
    ("fit_logits", 1, "logits", 1),
    ("fit_logits", 0, "fit_features", 0),
    ("fit_labels", 0, "fit_features", 0),
    ("fit_labels", 0, "fit_logits", 0),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("inputs", nargs="?", type=Path, help=f".npz with {', '.join(DIMENSIONS)}")
    parser.add_argument("-o", "--output", type=Path, help="write one float64 array per score to this .npz")
    parser.add_argument(
        "--score",
        action="append",
        default=[],
        metavar="A,B",
        help="scores, such as msp,knn:k=10 (default: all)",
    )
    parser.add_argument("--list", action="store_true", help="print every score with its default parameters")


def run(options: argparse.Namespace) -> int:
    """Run the command; raise InputError."""
    if options.list:
        sys.stdout.write(listing())
        return FINISHED
    for field in ("inputs", "output"):
        if getattr(options, field) is None:
            raise InputError(field, None, "give INPUT.npz and -o OUTPUT.npz, or --list")
    asked = [scorers.parse(text) for part in options.score for text in part.split(",") if text.strip()]
    if len({name for name, _ in asked}) < len(asked):
        raise InputError("score", [name for name, _ in asked], "name each score only once")
    arrays = read(options.inputs)
    if not asked:
        asked = [(name, {}) for name, score in catalog.SCORES.items() if not missing(score, arrays)]
        left = [name for name, score in catalog.SCORES.items() if missing(score, arrays)]
        if left:
            sys.stderr.write(f"left out, because arrays are missing: {', '.join(left)}\n")
    computed, failed = compute(arrays, asked)
    if not computed:
        sys.stderr.write("nothing could be computed, so nothing is written\n")
        return BAD_INPUT
    write(options.output, computed)
    sys.stderr.write(f"wrote {options.output}: {', '.join(computed)}\n")
    return WITH_FAILURES if failed else FINISHED


def write(path: Path, computed: dict[str, NDArray[Any]]) -> None:
    """Write an .npz file whole or not at all; raise InputError if that is not possible."""
    try:
        with whole(path) as file:
            np.savez(file, **computed)  # type: ignore[arg-type]
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError("output", str(path), f"it cannot be written ({reason})") from None


def compute(arrays: Arrays, asked: list[tuple[str, dict[str, Any]]]) -> tuple[dict[str, NDArray[Any]], bool]:
    """Return the scores by name, and whether one could not be computed; problems go to standard error."""
    outputs = Outputs(arrays["logits"], arrays.get("features"))
    fit = fit_set(arrays)
    computed: dict[str, NDArray[Any]] = {}
    failed = False
    for name, parameters in asked:
        if lacking := missing(catalog.SCORES[name], arrays):
            raise InputError("score", name, f"it also needs {', '.join(lacking)}")
        try:
            scores = scorers.scorer(name, fit, parameters)(outputs)
        except ScoreError as error:
            sys.stderr.write(f"{error}\n")
            failed = True
            continue
        if lost := int((~torch.isfinite(scores)).sum()):
            sys.stderr.write(f"{name}: {lost} of {len(scores)} scores are NaN or infinite\n")
            failed = True
        for line in scorers.warnings(name, outputs, fit, parameters.get("k")):
            sys.stderr.write(f"warning: {line}\n")
        computed[name] = scores.double().numpy()
        if (share := share_of_distinct(computed[name])) < LEAST_DISTINCT:
            sys.stderr.write(f"warning: {name}: only {share:.2%} of its values are distinct\n")
    return computed, failed


def fit_set(arrays: Arrays) -> FitSet | None:
    """Return what scores are fitted on, as far as the arrays allow."""
    head = None
    if "weight" in arrays and "bias" in arrays:
        head = Head(arrays["weight"], arrays["bias"])
    logits, features = arrays.get("fit_logits"), arrays.get("fit_features")
    if logits is None:
        if features is None:
            return None
        logits = head.logits(features) if head is not None else features.new_empty(len(features), 0)
    return FitSet(Outputs(logits, features), arrays.get("fit_labels"), head)


def missing(score: catalog.Score, arrays: Arrays) -> list[str]:
    """List the arrays that a score needs but that are missing; fit logits follow from features and head."""
    there = set(arrays)
    if {"fit_features", "weight", "bias"} <= there:
        there.add("fit_logits")
    return [name for name in score.needs if name not in there]


def read(path: Path) -> Arrays:
    """Read and check the arrays; raise InputError naming the array, what it is and what is needed."""
    raw = read_arrays(path, "inputs", tuple(DIMENSIONS))
    if "logits" not in raw:
        raise InputError("inputs", str(path), "an array 'logits' (n, classes) is needed")
    for name, array in raw.items():
        _check(name, array)
    arrays = {name: _tensor(name, array) for name, array in raw.items()}
    _check_fit(arrays)
    return arrays


def _check(name: str, array: NDArray[Any]) -> None:
    wanted = "whole numbers" if name == "fit_labels" else "floating-point numbers"
    kinds = "iu" if name == "fit_labels" else "f"
    if array.ndim != DIMENSIONS[name] or array.dtype.kind not in kinds or not array.size:
        shape = f"{array.dtype} {array.shape}"
        raise InputError(name, shape, f"{DIMENSIONS[name]} dimensions of {wanted} are needed")
    if name == "logits" and array.shape[1] < 2:
        raise InputError(name, f"{array.shape}", "two classes or more are needed")
    bad = ~np.isfinite(array)
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        count = f"{int(bad.sum())} values that are NaN or infinite"
        raise InputError(name, count, f"there may be none; the first is at {first}")


def _tensor(name: str, array: NDArray[Any]) -> Tensor:
    """Return an array as a tensor: labels as int64, others in their own precision, at most float64."""
    if name == "fit_labels":
        return torch.from_numpy(array.astype(np.int64))
    native = array.dtype.newbyteorder("=")
    wanted = native if native in (np.float16, np.float32, np.float64) else np.float64
    return torch.from_numpy(np.ascontiguousarray(array, wanted))


def _check_fit(arrays: Arrays) -> None:
    """Check that arrays agree in samples, widths and classes, and that labels are classes."""
    for name, own, other, their in EQUAL:
        if name in arrays and other in arrays and arrays[name].shape[own] != arrays[other].shape[their]:
            shapes = f"{tuple(arrays[name].shape)} beside {other} {tuple(arrays[other].shape)}"
            raise InputError(name, shapes, f"size {own} of it and size {their} of {other} must be equal")
    if "fit_labels" in arrays:
        labels, classes = arrays["fit_labels"], arrays["logits"].shape[1]
        if int(labels.min()) < 0 or int(labels.max()) >= classes:
            wrong = f"{int(labels.min())} to {int(labels.max())}"
            raise InputError("fit_labels", wrong, f"labels from 0 to {classes - 1} are needed")


def listing() -> str:
    """Return a line per score: name, label, default parameters, arrays it needs."""
    lines = []
    for name, score in catalog.SCORES.items():
        parameters = ", ".join(
            f"{p} = {DEFAULT_DIMENSIONS if value is None else value}"
            for p, value in scorers.defaults(name).items()
        )
        needs = ", ".join(("logits", *score.needs))
        lines.append(f"{name:<21} {score.label:<21} {parameters or '-':<34} needs {needs}\n")
    return "".join(lines)
