"""`python -m engine metrics`: OOD measures of your own scores."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.errors import FINISHED, InputError
from engine.measure.detection import Floats
from engine.measure.measures import BY_SET
from engine.measure.pair import PairMeasures, measure, plain
from engine.report.words import NO_VALUE, fraction
from engine.system.npy import read_named

FORMS = ".npy (n,), or an .npz of scores by name as 'qood-tui scores' or OpenOOD writes it"
CONFIDENCE = "conf"  # in OpenOOD's files, beside predictions and labels: larger means in-distribution
BESIDE = {"pred", "label"}
UNNAMED = {"", "arr_0", "scores"}


class Scores(NamedTuple):
    """The arrays of a file by the name of their score; one without a name is under the empty one."""

    path: Path
    of: str  # the set
    arrays: dict[str, NDArray[Any]]
    is_openood: bool


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--id", type=Path, required=True, help=f"scores of ID images: {FORMS}")
    parser.add_argument(
        "--ood", action="append", default=[], required=True, metavar="NAME=FILE", help="scores of an OOD set"
    )
    parser.add_argument(
        "--score",
        action="append",
        default=[],
        metavar="A,B",
        help="scores to take from .npz files (default: all)",
    )
    parser.add_argument("--confidence", action="store_true", help="larger means more in-distribution")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(options: argparse.Namespace) -> int:
    """Run the command; raise InputError."""
    asked = [name.strip() for text in options.score for name in text.split(",") if name.strip()]
    named = [_named(text) for text in options.ood]
    if len({name for name, _ in named}) < len(named):
        raise InputError("ood", [name for name, _ in named], "name each set only once")
    id_scores = read(options.id, "ID")
    of_sets = [read(path, name) for name, path in named]
    names = chosen([id_scores, *of_sets], asked)
    pairs = []
    for name in names:
        reference = floats(id_scores, name, options.confidence)
        for of_set in of_sets:
            scores = floats(of_set, name, options.confidence)
            pairs.append(measure(of_set.of, reference, scores, name if name in id_scores.arrays else ""))
    for file in (id_scores, *of_sets):
        if file.is_openood:
            sys.stderr.write(f"{file.path}: OpenOOD's {CONFIDENCE}, larger for in-distribution, is negated\n")
    sys.stdout.write(_json(pairs) if options.json else text_table(pairs))
    return FINISHED


def read(path: Path, of: str) -> Scores:
    """Read the scores in a file; raise InputError naming the set."""
    arrays = read_named(path, of)
    is_openood = CONFIDENCE in arrays and bool(BESIDE & arrays.keys())
    if is_openood:
        arrays = {CONFIDENCE: arrays[CONFIDENCE]}
    if not arrays:
        raise InputError(of, str(path), "it holds no array")
    return Scores(path, of, arrays, is_openood)


def chosen(files: list[Scores], asked: list[str]) -> list[str]:
    """Return the scores that are measured: those asked for, else all that every file has.

    A single array without a name is taken as the requested score, or as the only one of the other files.
    Raises InputError if a file does not have a score, or does not say which one it has.
    """
    named = [file for file in files if not _is_unnamed(file)]
    names = asked or list(named[0].arrays if named else files[0].arrays)
    shared = [name for name in names if all(name in file.arrays for file in named)]
    for file in named:
        if lacking := [name for name in names if name not in file.arrays]:
            if not asked and shared:
                continue
            there = f"{file.path.name} has {', '.join(file.arrays)}"
            raise InputError("score", lacking[0], f"every file must have it; {there}")
    unnamed = next((file for file in files if _is_unnamed(file)), None)
    if unnamed is not None and len(shared) > 1:
        right = f"say which one it has: --score {shared[0]}, or another of {', '.join(shared)}"
        raise InputError(unnamed.of, f"{unnamed.path.name} without the name of its score", right)
    return list(dict.fromkeys(shared))


def _is_unnamed(file: Scores) -> bool:
    return len(file.arrays) == 1 and next(iter(file.arrays)) in UNNAMED


def floats(file: Scores, name: str, is_confidence: bool) -> Floats:
    """Return a score so that larger means out-of-distribution.

    Raises InputError naming the set, and of NaN the count and the first index.
    """
    array = file.arrays[name] if name in file.arrays else next(iter(file.arrays.values()))
    array = array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array
    where = f"{file.path}: {name}" if len(file.arrays) > 1 else str(file.path)
    if array.ndim != 1 or array.dtype.kind not in "fiu":
        shape = f"{where}: {array.dtype} {array.shape}"
        raise InputError(file.of, shape, "one dimension of numbers is needed")
    if not len(array):
        raise InputError(file.of, where, "the set is empty (0 scores); at least one is needed")
    missing = np.flatnonzero(np.isnan(array))
    if len(missing):
        count = f"{len(missing)} of {len(array)} scores are NaN, the first at index {missing[0]}"
        raise InputError(file.of, where, count)
    scores: Floats = array.astype(np.float64)
    return -scores if is_confidence or file.is_openood else scores


def text_table(pairs: list[PairMeasures]) -> str:
    """Return the measures as lines of text, one column per set and score."""
    names = [f"{row.name} {row.score}".strip() for row in pairs]
    rows = [
        ("", names),
        ("n ID", [f"{row.n_id:,}" for row in pairs]),
        ("n OOD", [f"{row.n_ood:,}" for row in pairs]),
        ("chance of AUPR-out", [fraction(row.chance_aupr_out) for row in pairs]),
    ]
    for one in BY_SET:
        rows.append((one.label, [fraction(row.value(one.id)) for row in pairs]))
        if one.id == "auroc":
            rows.append(("  95 % interval", [_between(row.auroc_ci) for row in pairs]))
    first = max(len(title) for title, _ in rows)
    widths = [max(len(cells[at]) for _, cells in rows) for at in range(len(pairs))]
    lines = []
    for title, cells in rows:
        padded = (f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        lines.append("  ".join((f"{title:<{first}}", *padded)))
    lines += [
        f"{name}: warning: {text}" for name, row in zip(names, pairs, strict=True) for text in row.warnings
    ]
    smaller = ", ".join(one.label for one in BY_SET if not one.larger_is_better)
    lines.append(f"Smaller is better for {smaller}.")
    lines.append("AUPR is average precision. OOD is the positive class. The AUROC interval is DeLong's.")
    return "\n".join(lines) + "\n"


def _between(ends: tuple[float, float] | None) -> str:
    return NO_VALUE if ends is None else f"{ends[0]:.4f} to {ends[1]:.4f}"


def _named(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not equals or not name or not path:
        raise InputError("ood", text, "give NAME=FILE.npy or NAME=FILE.npz")
    return name, Path(path)


def _json(pairs: list[PairMeasures]) -> str:
    return (
        msgspec.json.format(msgspec.json.encode({"sets": list(map(plain, pairs))}), indent=2).decode() + "\n"
    )
