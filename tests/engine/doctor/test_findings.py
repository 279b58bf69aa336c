from __future__ import annotations

from engine.doctor import findings
from engine.doctor.findings import Finding


def test_lines_wrap_without_breaking_what_is_copied() -> None:
    path = "/a-very/long-path/" + "x" * 60
    told = findings.lines([Finding("warning", "CUDA", f"some words {path} more words", "do this now")], 40)
    assert any(line.strip() == path for line in told)
    assert all(len(line) <= 40 for line in told if path not in line)
    assert told[-1] == "Ready: nothing is bad, 1 warning."
