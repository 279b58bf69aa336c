from __future__ import annotations

from pathlib import Path

import pytest

from engine.doctor import software
from tests.engine.doctor.surroundings import broken, python


def test_a_torchvision_that_does_not_match_is_named(tmp_path: Path) -> None:
    code = "raise RuntimeError('operator torchvision::nms does not exist')"
    script = "from engine.doctor import software; print(*software.torch_computes())"
    ran = python("-c", script, PYTHONPATH=broken(tmp_path, "torchvision", code))
    assert "level='bad'" in ran.stdout and "torchvision::nms" in ran.stdout, ran.stderr


def test_an_older_python_is_bad() -> None:
    assert software.python((3, 10, 4))[0].level == "bad"
    assert software.python()[0].level == "good"


@pytest.mark.parametrize(
    ("requirement", "level"),
    [
        ("nothing-of-that-name>=1", "bad"),
        ("torch>=99", "warning"),
        ("torch>=2", "good"),
        ('nothing-of-that-name; extra == "dev"', "good"),
    ],
)
def test_packages_are_held_against_what_the_program_needs(
    requirement: str, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(software, "requires", lambda _name: [requirement, *software.SHOWN_PACKAGES])
    [found] = software.packages()
    assert found.level == level
    assert level == "good" or requirement.partition(">")[0] in found.found


def test_a_device_that_torch_does_not_have_is_a_fault_in_words() -> None:
    assert software.fault("cpu") == ""
    assert software.fault("cuda:99")
