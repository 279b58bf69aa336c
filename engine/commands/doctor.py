"""`python -m engine doctor`: run every check and print a line per finding."""

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
    parser.add_argument("--data", type=Path, metavar="ROOT", help="also check the folder of your image sets")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(options: argparse.Namespace) -> int:
    """Run the command; return 0 if nothing is bad, else 3."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a path may have characters that the locale lacks
    checks = CHECKS
    if options.data:
        checks = (*CHECKS, ("data", partial(data_root, options.data)))
    with contextlib.redirect_stdout(sys.stderr):  # what a library prints on import is not a finding
        findings = run_checks(checks)
    sys.stdout.write(document(findings) if options.json else "\n".join(lines(findings)) + "\n")
    return status(findings)


def run_checks(checks: Checks) -> list[Finding]:
    """Run all checks; one that fails itself is a bad finding."""
    findings: list[Finding] = []
    for name, check in checks:
        try:
            findings += check()
        except Exception as error:
            found = f"this check failed: {type(error).__name__}: {first_line(error)}"
            findings.append(Finding("bad", name, found, "fix what it names; the other findings still hold"))
    return [Finding(f.level, f.name, clean(f.found), clean(f.do)) for f in findings]
