"""`python -m engine metrics`: OOD measures of scores of one's own."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec
import numpy as np

from engine.errors import FINISHED, InputError
from engine.measure.detection import Floats
from engine.measure.pair import PairMeasures, measure
from engine.npy import read_array


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--id", type=Path, required=True, help="scores of ID images, .npy (n,)")
    parser.add_argument(
        "--ood", action="append", default=[], required=True, metavar="NAME=FILE", help="scores of an OOD set"
    )
    parser.add_argument("--confidence", action="store_true", help="larger means more in-distribution")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(given: argparse.Namespace) -> int:
    """Carry the command out; raise InputError in words."""
    sign = -1.0 if given.confidence else 1.0
    id_scores = read(given.id, "ID") * sign
    named = [_named(text) for text in given.ood]
    if len({name for name, _ in named}) < len(named):
        raise InputError("ood", [name for name, _ in named], "name each set only once")
    found = [measure(name, id_scores, read(path, name) * sign) for name, path in named]
    sys.stdout.write(_json(found) if given.json else text_table(found))
    return FINISHED


def read(path: Path, name: str) -> Floats:
    """Read scores; raise InputError naming the set, and of NaN the count and the first index."""
    array = read_array(path, name)
    if array.ndim != 1 or array.dtype.kind not in "fiu":
        raise InputError(name, f"{path}: {array.dtype} {array.shape}", "one dimension of numbers is needed")
    if not len(array):
        raise InputError(name, str(path), "the set is empty (0 scores); at least one is needed")
    missing = np.flatnonzero(np.isnan(array))
    if len(missing):
        count = f"{len(missing)} of {len(array)} scores are NaN, the first at index {missing[0]}"
        raise InputError(name, str(path), count)
    return array.astype(np.float64)


def text_table(found: list[PairMeasures]) -> str:
    """Return the measures as lines of text."""
    columns = (
        "set                    n ID   n OOD  chance   AUROC      95 % interval  AUPR-out AUPR-in "
        "FPR95(OOD+) FPR95(ID+)"
    )
    lines = [columns]
    for row in found:
        low, high = row.auroc_ci or (0.0, 1.0)
        lines.append(
            f"{row.name:<18} {row.n_id:>8} {row.n_ood:>7} {row.chance_aupr_out:>7.4f} {row.auroc:>7.4f}   "
            f"{low:.4f} to {high:.4f}    {row.ap_out:.4f}  {row.ap_in:.4f}      {row.fpr95_ood_positive:.4f}"
            f"     {row.fpr95_id_positive:.4f}"
        )
        lines += [f"  warning: {warning}" for warning in row.warnings]
    lines.append("AUPR is average precision; OOD is the positive class; DeLong interval of AUROC.")
    return "\n".join(lines) + "\n"


def _named(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not equals or not name or not path:
        raise InputError("ood", text, "give NAME=FILE.npy")
    return name, Path(path)


def _json(found: list[PairMeasures]) -> str:
    return msgspec.json.format(msgspec.json.encode({"sets": found}), indent=2).decode() + "\n"
