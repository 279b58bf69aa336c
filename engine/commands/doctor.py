"""`python -m engine doctor`: make every check and print a line for every finding."""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from engine.doctor.accelerators import cuda
from engine.doctor.findings import Finding, document, first_line, lines, status
from engine.doctor.logout import logout
from engine.doctor.machine import memory, processors, variables
from engine.doctor.places import data_root, folders, weights
from engine.doctor.software import packages, python, torch_computes
from engine.text import clean

Checks = tuple[tuple[str, Callable[[], list[Finding]]], ...]

CHECKS: Checks = (
    ("Python", python),
    ("packages", packages),
    ("torch", torch_computes),
    ("CUDA", cuda),
    ("processors", processors),
    ("memory", memory),
    ("variables", variables),
    ("folders", folders),
    ("weights", weights),
    ("logout", logout),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--data", type=Path, metavar="ROOT", help="look at the folder of your image sets too")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(given: argparse.Namespace) -> int:
    """Carry the command out: 0 where nothing is bad, else 3."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a path may have letters that the locale lacks
    checks = CHECKS
    if given.data:
        checks = (*CHECKS, ("data", partial(data_root, given.data)))
    with contextlib.redirect_stdout(sys.stderr):  # what a library prints when imported is no finding
        findings = look(checks)
    sys.stdout.write(document(findings) if given.json else "\n".join(lines(findings)) + "\n")
    return status(findings)


def look(checks: Checks) -> list[Finding]:
    """Make all checks; one that fails itself is a bad finding."""
    findings: list[Finding] = []
    for name, check in checks:
        try:
            findings += check()
        except Exception as error:
            found = f"this check failed: {type(error).__name__}: {first_line(error)}"
            findings.append(Finding("bad", name, found, "see to what it names; the other lines still hold"))
    return [Finding(f.level, f.name, clean(f.found), clean(f.do)) for f in findings]
