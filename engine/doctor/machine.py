"""The processors, memory and environment variables of this process."""

from __future__ import annotations

import os
import re
from pathlib import Path

import psutil

from engine.doctor.findings import Finding, content
from engine.errors import InputError
from engine.system import environment
from engine.text import in_bytes

LITTLE_MEMORY, NO_MEMORY = 4 * 2**30, 2**30  # bytes
OWN_GROUP = Path("/proc/self/cgroup")
GROUPS = Path("/sys/fs/cgroup")


def processors(groups: Path = GROUPS, own: Path = OWN_GROUP) -> list[Finding]:
    """Count the processors this process may use."""
    there = os.cpu_count() or 1
    mine = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(there))
    quotas = [line.split() for folder in _own_groups(groups, own) if (line := content(folder / "cpu.max"))]
    allowed = min((int(most) / int(period) for most, period in quotas if most != "max"), default=there)
    if allowed < len(mine):
        found = f"{len(mine)} of {there}, but the cgroup's quota is the time of {allowed:g}"
        few = ",".join(map(str, mine[: max(int(allowed), 1)]))
        do = f"start it on no more processors than that: taskset -c {few} qood-tui"
        return [Finding("warning", "processors", found, do)]
    return [Finding("good", "processors", f"{len(mine)} of {there} may be used")]


def memory(groups: Path = GROUPS, own: Path = OWN_GROUP) -> list[Finding]:
    """Measure the memory that is available within the cgroup's limit."""
    machine = psutil.virtual_memory()
    free, total, whose = machine.available, machine.total, ""
    for folder in _own_groups(groups, own):
        limit = content(folder / "memory.max")
        if limit.isdigit() and int(limit) < machine.total:
            cached = re.search(r"^inactive_file (\d+)", content(folder / "memory.stat"), re.MULTILINE)
            used = int(content(folder / "memory.current") or 0) - int(cached[1] if cached else 0)
            if int(limit) - used < free:
                free, total, whose = max(int(limit) - used, 0), int(limit), " (the cgroup's limit)"
    found = f"{in_bytes(free)} of {in_bytes(total)}{whose} available"
    if free < LITTLE_MEMORY:
        do = f"close other programs, or request more: {in_bytes(LITTLE_MEMORY)} is a good start"
        return [Finding("bad" if free < NO_MEMORY else "warning", "memory", found, do)]
    return [Finding("good", "memory", found)]


def variables() -> list[Finding]:
    """Check the environment variables that may change a number."""
    names = ", ".join(environment.arithmetic())
    try:
        environment.check_exact()
    except InputError as error:
        return [Finding("bad", "variables", str(error), f"unset {error.field}")]
    found = (
        f"{names}: they may change numbers and are journaled"
        if names
        else "none that changes a number is set"
    )
    return [Finding("good", "variables", found)]


def _own_groups(groups: Path, own: Path) -> list[Path]:
    """Return this process's folders of cgroup v2, innermost first: a limit holds for all within."""
    path = next((line[4:] for line in content(own).splitlines() if line.startswith("0::/")), "")
    folder = groups / path
    return [folder, *(p for p in folder.parents if p.is_relative_to(groups))]
