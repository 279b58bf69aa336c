"""`python -m engine metrics`: OOD measures of scores of one's own."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.errors import FINISHED, InputError
from engine.measure import detection
from engine.measure.delong import auroc_interval
from engine.measure.detection import Floats

LEAST_DISTINCT = 0.01


class SetMeasures(msgspec.Struct, frozen=True):
    """One OOD set against the ID set, as fractions; `auroc_ci` is DeLong's 95 % interval."""

    name: str
    n_id: int
    n_ood: int
    chance_aupr_out: float
    auroc: float
    ap_out: float
    ap_in: float
    aupr_out_trapezoid: float
    aupr_in_trapezoid: float
    fpr95_ood_positive: float
    fpr95_id_positive: float
    detection_error: float
    partial_auroc: float
    unique_share: float
    auroc_ci: tuple[float, float]
    warnings: tuple[str, ...]


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


def measure(name: str, id_scores: Floats, ood_scores: Floats) -> SetMeasures:
    """Measure one OOD set; larger scores look more out-of-distribution."""
    found = detection.detection(id_scores, ood_scores)
    interval = auroc_interval(id_scores, ood_scores)
    together = np.concatenate([id_scores, ood_scores])
    share = len(np.unique(together)) / len(together)
    return SetMeasures(
        name,
        chance_aupr_out=found.n_ood / (found.n_id + found.n_ood),
        unique_share=share,
        auroc_ci=(interval.low, interval.high),
        warnings=tuple(_warnings(share, together, found)),
        **found._asdict(),
    )


def read(path: Path, name: str) -> Floats:
    """Read scores; raise InputError naming the set, and of NaN the count and the first index."""
    try:
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(name, str(path), "there is no such file") from None
    except (OSError, ValueError, EOFError) as error:
        raise InputError(name, str(path), f"a .npy array is needed ({error})") from None
    if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype.kind not in "fiu":
        is_now = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else "several arrays"
        raise InputError(name, f"{path}: {is_now}", "one dimension of numbers is needed")
    if not len(array):
        raise InputError(name, str(path), "the set is empty (0 scores); at least one is needed")
    missing = np.flatnonzero(np.isnan(array))
    if len(missing):
        count = f"{len(missing)} of {len(array)} scores are NaN, the first at index {missing[0]}"
        raise InputError(name, str(path), count)
    return array.astype(np.float64)


def text_table(found: list[SetMeasures]) -> str:
    """Return the measures as lines of text."""
    columns = (
        "set                    n ID   n OOD  chance   AUROC      95 % interval  AUPR-out AUPR-in "
        "FPR95(OOD+) FPR95(ID+)"
    )
    lines = [columns]
    for row in found:
        low, high = row.auroc_ci
        lines.append(
            f"{row.name:<18} {row.n_id:>8} {row.n_ood:>7} {row.chance_aupr_out:>7.4f} {row.auroc:>7.4f}   "
            f"{low:.4f} to {high:.4f}    {row.ap_out:.4f}  {row.ap_in:.4f}      {row.fpr95_ood_positive:.4f}"
            f"     {row.fpr95_id_positive:.4f}"
        )
        lines += [f"  warning: {warning}" for warning in row.warnings]
    lines.append("AUPR is average precision; OOD is the positive class; DeLong interval of AUROC.")
    return "\n".join(lines) + "\n"


def _warnings(share: float, together: Floats, found: detection.Detection) -> list[str]:
    warnings = []
    if together.min() == together.max():
        warnings.append("all scores are equal: AUROC is 0.5 and says nothing")
    elif share < LEAST_DISTINCT:
        warnings.append(
            f"only {share:.2%} of the scores are distinct: ties decide, trapezoid AUPR is too large"
        )
    if infinite := int(np.isinf(together).sum()):
        warnings.append(f"{infinite} scores are infinite; they are ranked like any other")
    if min(found.n_id, found.n_ood) < 2:
        warnings.append("a set has a single image: the interval says nothing")
    return warnings


def _named(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not equals or not name or not path:
        raise InputError("ood", text, "give NAME=FILE.npy")
    return name, Path(path)


def _json(found: list[SetMeasures]) -> str:
    return msgspec.json.format(msgspec.json.encode({"sets": found}), indent=2).decode() + "\n"
