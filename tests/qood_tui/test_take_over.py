"""`qood-tui run --resume` of a session that another machine was writing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.session import store
from engine.session.layout import LEASE
from engine.session.lease import Lease
from engine.session.session import Session
from tests.benchmarks.terminal import Terminal
from tests.running import small_plan

STALE = 2 * 3600


@pytest.fixture
def abandoned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a session whose lease another machine has left two hours ago."""
    plan = small_plan(models=("vit-narrow",), bits=("FP32",), id_images=100, ood_images=40)
    session = store.create(plan, (), tmp_path, "abandoned")
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("QOOD_RUNTIME", str(tmp_path / "elsewhere"))
        Lease(session)
    then = time.time() - STALE
    os.utime(session / LEASE, (then, then))
    return session


def resume(session: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "qood_tui", "run", "--resume", str(session), "--plain", *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, stdin=subprocess.DEVNULL)


def state_of(session: Path) -> str:
    return Session.at(session).state


def test_without_a_terminal_it_is_refused_until_it_is_confirmed(abandoned: Path) -> None:
    refused = resume(abandoned)
    assert refused.returncode == 2 and "Traceback" not in refused.stderr
    assert "last 2 h ago" in refused.stderr and "--take-over" in refused.stderr
    assert (abandoned / LEASE).exists() and state_of(abandoned) == "interrupted"
    done = resume(abandoned, "--take-over")
    assert done.returncode == 0, done.stderr
    assert state_of(abandoned) == "finished" and not (abandoned / LEASE).exists()


def test_a_fresh_lease_is_refused_whatever_is_said(abandoned: Path) -> None:
    os.utime(abandoned / LEASE)
    assert state_of(abandoned) == "running"
    refused = resume(abandoned, "--take-over")
    assert refused.returncode == 2 and "is being written on another machine" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(("answer", "status"), [("n", 2), ("", 2), ("y", 0)])
def test_where_somebody_can_answer_it_is_asked(abandoned: Path, answer: str, status: int) -> None:
    terminal = Terminal("run", "--resume", str(abandoned), "--plain", columns=200)
    try:
        terminal.wait_for(r"last 2 h ago\. Has that ended for good\? \[y/N\]", 30)
        terminal.press(answer + "\r")
        assert terminal.wait(120) == status
    finally:
        terminal.close()
    assert state_of(abandoned) == ("finished" if status == 0 else "interrupted")


def test_what_is_not_resumed_is_not_taken_over() -> None:
    command = [sys.executable, "-m", "qood_tui", "run", "--demo", "--take-over"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert ran.returncode == 2 and "--resume SESSION --take-over" in ran.stderr
