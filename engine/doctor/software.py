"""Whether Python, the packages and torch meet the requirements."""

from __future__ import annotations

import sys
import time
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version

from engine.doctor.findings import Finding, Level, first_line

LEAST_PYTHON = (3, 11)
SHOWN_PACKAGES = ("torch", "torchvision", "timm", "numpy")
MATCHING = "in versions that match each other (https://pytorch.org/get-started/locally)"


def python(running: tuple[int, ...] = sys.version_info[:3]) -> list[Finding]:
    """Check the Python version."""
    found = ".".join(map(str, running))
    if running < LEAST_PYTHON:
        return [Finding("bad", "Python", found, "install qood-tui with Python 3.11 or newer")]
    return [Finding("good", "Python", found)]


def packages() -> list[Finding]:
    """Check the versions of the dependencies."""
    from packaging.requirements import Requirement

    needed = [r for r in map(Requirement, requires("qood-tui") or ()) if "extra" not in str(r.marker)]
    there = {r.name: _version(r.name) for r in needed}
    wrong = [
        f"{r.name} {there[r.name] or 'is missing'} ({r.specifier} is needed)"
        for r in needed
        if not (have := there[r.name]) or not r.specifier.contains(have, prereleases=True)
    ]
    if wrong:
        level: Level = "warning" if all(there.values()) else "bad"
        return [Finding(level, "packages", ", ".join(wrong), "reinstall qood-tui with its dependencies")]
    return [Finding("good", "packages", ", ".join(f"{name} {there[name]}" for name in SHOWN_PACKAGES))]


def torch_computes() -> list[Finding]:
    """Import torch and its companions and multiply two matrices."""
    started = time.monotonic()
    for name in ("torch", "torchvision", "timm"):
        try:
            import_module(name)
        except Exception as error:  # a mismatched pair raises RuntimeError, a lost library OSError
            found = f"{name} does not import: {type(error).__name__}: {first_line(error)}"
            do = f"reinstall torch and torchvision {MATCHING}"
            return [Finding("bad", "torch", found, do)]
    if wrong := fault("cpu"):
        return [Finding("bad", "torch", f"it cannot compute: {wrong}", "install torch for this processor")]
    taken = time.monotonic() - started
    return [Finding("good", "torch", f"imports, with torchvision and timm, and computes ({taken:.0f} s)")]


def fault(device: str) -> str:
    """Return why torch cannot multiply matrices on a device, empty if it can."""
    import torch

    try:
        ones = torch.ones(8, 8, device=device)
        total = float((ones @ ones).sum())
    except Exception as error:
        return first_line(error)
    return "" if total == 512 else f"a matrix product that sums to 512 came out as {total:g}"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
