from __future__ import annotations

import argparse
import json
from pathlib import Path

from engine import catalog
from engine.commands import doctor
from engine.doctor.findings import Finding, status
from tests.engine.doctor.surroundings import NO_TORCH, broken, make_weights, python


def named(findings: list[dict[str, str]], name: str) -> dict[str, str]:
    return next(f for f in findings if f["name"] == name)


def test_in_a_fresh_process_it_prints_every_finding_and_exits_by_the_worst(tmp_path: Path) -> None:
    make_weights(tmp_path / "hf", catalog.STUDY_MODELS[0])
    ran = python(
        *("-m", "engine", "doctor", "--json", "--data", str(tmp_path / "missing")),
        QOOD_SESSIONS="/dev/null/sessions",
        HF_HOME=str(tmp_path / "hf"),
    )
    assert ran.returncode == 3, ran.stderr
    findings = json.loads(ran.stdout)["findings"]
    assert all(set(f) == {"level", "name", "found", "do"} for f in findings)
    assert all(f["do"] for f in findings if f["level"] != "good")
    names = {f["name"] for f in findings}
    assert names >= {"Python", "packages", "torch", "CUDA", "processors", "memory", "cache", "logout"}
    assert named(findings, "torch")["level"] == named(findings, "packages")["level"] == "good"
    assert "torch 2." in named(findings, "packages")["found"]
    sessions = named(findings, "sessions")
    assert sessions["level"] == "bad" and "/dev/null/sessions" in sessions["found"]
    assert "QOOD_SESSIONS" in sessions["do"]
    data = named(findings, "data")
    assert data["level"] == "bad" and str(tmp_path / "missing") in data["found"]
    weights = named(findings, "weights")
    assert weights["level"] == "warning" and "1 of the study's 5" in weights["found"]
    missing = weights["found"].partition("missing:")[2]
    assert [tag in missing for tag in catalog.STUDY_MODELS] == [False, True, True, True, True]


def test_lines_are_aligned_and_a_torch_that_does_not_import_is_a_finding(tmp_path: Path) -> None:
    ran = python("-m", "engine", "doctor", PYTHONPATH=broken(tmp_path, "torch", NO_TORCH))
    assert ran.returncode == 3 and "Traceback" not in ran.stdout + ran.stderr
    lines = ran.stdout.splitlines()
    torch = next(line for line in lines if line.startswith("bad      torch "))
    assert "libcudart.so.99" in torch
    assert lines[lines.index(torch) + 1].strip().startswith("-> reinstall torch and torchvision")
    python_line = next(line for line in lines if line.startswith("good     Python "))
    assert torch.index("torch does not") == python_line.index("3.")
    assert lines[-1].startswith("Not ready: ")


def test_what_libraries_print_does_not_get_into_the_document(tmp_path: Path) -> None:
    path = broken(tmp_path, "torch", "print('hello')\n" + NO_TORCH)
    ran = python("-m", "engine", "doctor", "--json", PYTHONPATH=path)
    assert json.loads(ran.stdout) and "hello" in ran.stderr


def test_a_check_that_fails_is_a_bad_finding_and_the_others_are_made() -> None:
    def fails() -> list[Finding]:
        raise ZeroDivisionError("division of \x1b[31m things")

    found = doctor.run_checks((("first", fails), ("second", lambda: [Finding("good", "second", "fine")])))
    assert [f.level for f in found] == ["bad", "good"] and status(found) == 3
    assert found[0].name == "first" and "ZeroDivisionError: division of" in found[0].found
    assert "\x1b" not in found[0].found and status(found[1:]) == 0


def test_run_writes_names_that_the_locale_cannot_write(tmp_path: Path) -> None:
    ran = python(
        *("-m", "engine", "doctor", "--data", str(tmp_path / "ä☃")),
        PYTHONPATH=broken(tmp_path, "torch", NO_TORCH),
        PYTHONIOENCODING="latin-1",
    )
    assert ran.returncode == 3 and "Traceback" not in ran.stderr


def test_the_command_has_its_arguments() -> None:
    parser = argparse.ArgumentParser()
    doctor.arguments(parser)
    given = parser.parse_args(["--data", "/x", "--json"])
    assert (given.data, given.json) == (Path("/x"), True)
