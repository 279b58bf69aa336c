"""`python -m engine data check ROOT`: which image sets a folder holds, and whether they can be read."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

from engine import catalog
from engine.datasets.discover import discover
from engine.datasets.disk_set import DiskSet
from engine.datasets.sources.base import TransientError, source_of
from engine.datasets.walk import images_below, passed_over
from engine.errors import FINISHED, WITH_FAILURES, InputError
from engine.images.decoders import Decoders, Wanted
from engine.system.machine import usable_cores
from engine.text import clean, path_as_text

AT_ONCE = 256
SHOWN = 5  # unreadable images that are shown per set; JSON has them all


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    commands = parser.add_subparsers(dest="action", required=True)
    check = commands.add_parser("check", help="list every image set below a folder and read all images")
    check.add_argument("root", type=Path)
    check.add_argument("--json", action="store_true", help="print one JSON document")
    check.add_argument(
        "--largest-image",
        type=int,
        default=catalog.LARGEST_IMAGE,
        metavar="PIXELS",
        help="treat a larger image as unreadable (default: %(default)s, as in Pillow and timm)",
    )
    check.add_argument("--quick", action="store_true", help="count images without opening any")


def run(options: argparse.Namespace) -> int:
    """Run the command; the status says whether everything that was read is readable."""
    sets = discover(options.root)
    decoders = Decoders(usable_cores(), options.largest_image)
    try:
        unreadable = {name: _unreadable(one, decoders, options.quick) for name, one in sets.items()}
    except TransientError as error:
        raise InputError("data", str(options.root), f"the disk does not answer ({error.strerror})") from None
    finally:
        decoders.close()
    if options.json:
        described = [_described(one, unreadable[name]) for name, one in sets.items()]
        sys.stdout.write(json.dumps({"sets": described}, indent=2, ensure_ascii=True) + "\n")
    else:
        sys.stdout.write("\n".join(_lines(options.root, sets, unreadable, options.quick)) + "\n")
    return WITH_FAILURES if any(unreadable.values()) else FINISHED


def _unreadable(one: DiskSet, decoders: Decoders, quick: bool) -> dict[str, str]:
    """Return by name why images cannot be used; training images are read only when drawn."""
    problems = dict(one.problems)
    if quick or one.name == "imagenet-train":
        return problems
    source = source_of(one)
    for start in range(0, len(one.members), AT_ONCE):
        part = one.members[start : start + AT_ONCE]
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{clean(one.name)}: {start:,} of {len(one.members):,} images read")
            sys.stderr.flush()
        read = decoders.read(source, [Wanted(member) for member in part], [])
        problems |= {part[at]: reason for at, reason in read.unreadable.items()}
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
    return problems


def _described(one: DiskSet, unreadable: dict[str, str]) -> dict[str, Any]:
    return {
        "name": one.name,
        "role": one.role,
        "label": one.label,
        "kind": one.kind,
        "path": _text(str(one.root)),
        "count": len(one.members),
        "expected": one.expected,
        "labelled": sum(label >= 0 for label in one.labels),
        "unreadable": [_text(path) for path in unreadable],
        "reasons": {_text(path): _text(reason) for path, reason in unreadable.items()},
        "notes": one.notes,
    }


def _lines(
    root: Path, sets: dict[str, DiskSet], unreadable: dict[str, dict[str, str]], quick: bool
) -> list[str]:
    if not sets:
        empty = f"{clean(str(root))} holds no image set: neither a known layout nor a folder of images."
        walked = images_below(str(root.expanduser()))
        return [empty, *(clean(text) for text in passed_over(walked.passed))]
    lines = []
    for name, one in sets.items():
        count = f"{len(one.members):,}" + (f" of {one.expected:,}" if one.expected else "")
        state = "not read" if quick or name == "imagenet-train" else f"{len(unreadable[name])} unreadable"
        lines.append(f"{clean(name):<18} {one.role:<6} {count:>22}  {state:<14} {clean(one.label)}")
        lines.append(f"    {one.kind}, {clean(str(one.root))}")
        for path, reason in list(unreadable[name].items())[:SHOWN]:
            lines.append(f"  ! {_text(path)}: {_text(reason)}")
        if (more := len(unreadable[name]) - SHOWN) > 0:
            lines.append(f"  ! and {more:,} more; --json lists all")
        lines += [f"    {clean(note)}" for note in one.notes]
    study = catalog.PRESETS["kuang-wong-2026"].plan["ood_sets"]
    if missing := [name for name in study if name not in sets and "imagenet" in sets]:
        lines.append(f"Missing from the study's sets: {', '.join(missing)}")
    return [*lines, "", *_next(root, sets)]


def _next(root: Path, sets: dict[str, DiskSet]) -> list[str]:
    """Return which command to use the sets with."""
    ood = [name for name, one in sets.items() if one.role == "ood"]
    where = f"--data {shlex.quote(clean(str(root)))}"
    if "imagenet" in sets and ood:
        return [f"Start the study with: qood-tui run --preset kuang-wong-2026 {where}"]
    if "imagenet" in sets:
        return [f"Add OOD sets with: {where} --ood NAME=FOLDER"]
    own = [one for one in sets.values() if one.role != "ood"]
    if own:
        options = (f"--{one.role} " + shlex.quote(f"{clean(one.name)}={clean(str(one.root))}") for one in own)
        return [f"Use them with: {' '.join(options)}"]
    return [f"Only OOD sets: give the ID set too, with --id NAME=FOLDER, in addition to {where}"]


def _text(path: str) -> str:
    return clean(path_as_text(path))
