from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.doctor import machine
from engine.doctor.findings import Finding
from engine.system import environment
from tests.engine.doctor.surroundings import GIB, file


@pytest.fixture
def group(tmp_path: Path) -> dict[str, Any]:
    return {"groups": tmp_path / "fs", "own": file(tmp_path / "cgroup", "1:cpu:/x\n0::/outer/inner\n")}


def test_a_quota_of_an_outer_cgroup_below_the_affinity_is_a_warning(group: dict[str, Any]) -> None:
    file(group["groups"] / "outer" / "inner" / "cpu.max", "max 100000\n")
    assert machine.processors(**group)[0].level == "good"
    file(group["groups"] / "outer" / "cpu.max", "50000 100000\n")
    [found] = machine.processors(**group)
    assert found.level == "warning" and "0.5" in found.found and "taskset -c " in found.do


def test_memory_is_what_the_cgroup_leaves_without_its_file_cache(
    group: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = SimpleNamespace(available=8 * GIB, total=16 * GIB)
    monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: there)
    inner = group["groups"] / "outer" / "inner"
    file(inner / "memory.max", "max\n")
    assert machine.memory(**group) == [Finding("good", "memory", "8.0 GiB of 16.0 GiB available")]
    file(inner / "memory.max", f"{3 * GIB}\n")
    file(inner / "memory.current", f"{3 * GIB - 100 * 2**20}\n")
    [found] = machine.memory(**group)
    assert found.level == "bad" and "100.0 MiB of 3.0 GiB (the cgroup's limit)" in found.found
    file(inner / "memory.stat", f"anon 5\ninactive_file {2 * GIB}\n")
    [found] = machine.memory(**group)
    assert found.level == "warning" and "2.1 GiB of 3.0 GiB" in found.found


def test_variables_that_make_float32_inexact_are_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in environment.arithmetic():
        monkeypatch.delenv(name)
    assert "none" in machine.variables()[0].found
    monkeypatch.setenv("MKL_CBWR", "AVX2")
    [found] = machine.variables()
    assert found.level == "good" and "MKL_CBWR" in found.found
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "1")
    [found] = machine.variables()
    assert found.level == "bad" and found.do == "unset NVIDIA_TF32_OVERRIDE"
