from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.session import store
from engine.session.layout import JOURNAL
from engine.session.session import Session
from engine.text import in_bytes
from tests.commands import terminal

RUN = [sys.executable, "-m", "qood_tui"]


def call(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RUN, *arguments], capture_output=True, text=True, timeout=180, **options)  # type: ignore[call-overload,no-any-return]


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    file = tmp_path / "plan.toml"
    file.write_text(
        'models = ["vit-narrow"]\nbits = ["FP32", "W4A4"]\n'
        "id_images = 100\nood_images = 40\nchunk_images = 25\n"
    )
    return file


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("run", "--preset", "demoo"), ("preset", "demoo", "demo")),
        (("run",), ("plan", "--demo")),
        (("run", "--demo", "--devices", "tpu"), ("devices", "tpu", "cpu")),
        (("run", "--demo", "--ood", "x=/nowhere"), ("ood x", "/nowhere")),
        (("run", "--demo", "--seed", "-1"), ("seed", "-1")),
        (("run", "nothing.toml"), ("plan", "nothing.toml")),
        (("report", "nothing"), ("session", "nothing")),
        (("report", "demo", "--format", "jsn"), ("format", "jsn", "json")),
        (("replay", "demo", "--speed", "3"), ("speed", "3", "4")),
        (("replay", "demoo", "--plain"), ("session", "demoo", "demo")),
        (("replay", "demo", "--plain", "--at", "nan"), ("at", "nan")),
        (("--devices", "cpu", "run", "--demo"), ("--devices", "after the command", "run")),
        (("--session-dir", "/tmp/x", "run", "--demo"), ("--session-dir", "/tmp/x", "run")),
        (("--ood", "x=/tmp", "run", "--demo"), ("--ood", "run")),
        (("replay", "~nobody-of-that-name/x", "--plain"), ("session",)),
        (("run", "--demo", "--ood", "x=~nobody-of-that-name/x"), ("ood x",)),
        ((), ("terminal",)),
    ],
)
def test_bad_input_exits_2_and_names_field_given_and_right(
    arguments: tuple[str, ...], names: tuple[str, ...], home: Path
) -> None:
    before = len(store.folders())
    ran = terminal(*arguments)
    assert ran.returncode == 2
    assert all(name in ran.stderr for name in names), ran.stderr
    assert "Traceback" not in ran.stderr and not ran.stdout
    assert len(store.folders()) == before


def test_run_keeps_outputs_where_asked_to_and_says_their_size(plan: Path, tmp_path: Path) -> None:
    ran = call("run", str(plan), "--keep-outputs", "--plain", "--session-dir", str(tmp_path / "mine"))
    assert ran.returncode == 0, ran.stderr
    (session,) = (tmp_path / "mine").iterdir()
    header = Session.at(session).header
    size = in_bytes(sum(file.stat().st_size for file in (session / "outputs").iterdir()))
    assert header.plan.keep_outputs
    assert f"to add scores later: {size}\n" in ran.stderr
    assert f"keeping logits and features: {size}\n" in ran.stderr


def test_run_prints_json_and_report_prints_the_same_later(plan: Path, tmp_path: Path) -> None:
    ran = call("run", str(plan), "--json", "--session-dir", str(tmp_path / "mine"))
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    session = Path(found["session"])
    assert session.parent == tmp_path / "mine"
    assert [(v["model"], v["bits"]) for v in found["variants"]] == [
        ("vit-narrow", "FP32"),
        ("vit-narrow", "W4A4"),
    ]
    again = call("report", str(session), "--format", "json")
    told = json.loads(again.stdout)
    assert (found.pop("intervals"), told.pop("intervals")) == ("journal", "arrays")
    assert (found.pop("session"), told.pop("session")) == (str(session), session.name)
    assert found.pop("checked")["mismatches"] == told.pop("checked")["mismatches"] == []
    assert told == found
    assert "worker on cpu" in ran.stderr


def test_run_prints_the_table_and_where_the_session_lies(plan: Path) -> None:
    ran = call("run", str(plan), "--plain")
    assert ran.returncode == 0, ran.stderr
    assert "vit-narrow W4A4" in ran.stdout and "95 % interval" in ran.stdout and "Session: /" in ran.stdout
    assert "not ImageNet" in ran.stdout


def test_ctrl_c_stops_the_sweep_keeps_what_is_finished_and_exits_130(tmp_path: Path) -> None:
    command = [*RUN, "run", "--demo", "--plain", "--session-dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 90
        session = None
        while time.monotonic() < deadline:
            session = next(iter(tmp_path.iterdir()), None)
            if session and Session.at(session).rows:
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert session is not None and "Session:" in out
    assert Session.at(session).state == "cancelled"


def test_a_finished_session_is_not_resumed(recorded: Path) -> None:
    ran = call("run", "--resume", str(recorded))
    assert ran.returncode == 2 and "finished" in ran.stderr


def test_replay_prints_a_moment_without_a_terminal(recorded: Path) -> None:
    ran = call("replay", str(recorded), "--plain")
    assert ran.returncode == 0
    assert "vit-narrow W4A4" in ran.stdout and "mean of 2 W4A4" in ran.stdout
    assert "0/" in call("replay", str(recorded), "--plain", "--at", "0").stdout.splitlines()[0]


def test_sessions_lists_them(recorded: Path) -> None:
    ran = call("sessions")
    assert recorded.name in ran.stdout and "finished" in ran.stdout


def test_a_defect_is_kept_in_a_log_and_not_thrown_at_the_user(home: Path) -> None:
    script = (
        "import sys, qood_tui.cli.main as cli\n"
        "@cli.main.command()\n"
        "def broken(): raise ZeroDivisionError('secret detail')\n"
        "cli.main(['broken'])"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr and "secret detail" not in ran.stderr
    log = home / "logs" / "terminal.log"
    assert str(log) in ran.stderr and "secret detail" in log.read_text()


def test_a_defect_whose_log_cannot_be_written_is_still_told_in_words() -> None:
    script = (
        "import qood_tui.cli.main as cli\n"
        "@cli.main.command()\n"
        "def broken(): raise ZeroDivisionError\n"
        "cli.main(['broken'])"
    )
    environment = {**os.environ, "QOOD_LOGS": "/dev/null/x"}
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert ran.returncode == 1 and "Traceback" not in ran.stderr and "QOOD_LOGS" in ran.stderr


def test_an_interrupted_session_is_resumed_from_the_command_line(plan: Path, tmp_path: Path) -> None:
    import shutil

    whole = json.loads(call("run", str(plan), "--json").stdout)
    cut = tmp_path / "cut"
    shutil.copytree(whole["session"], cut)
    lines = (cut / JOURNAL).read_bytes().splitlines(keepends=True)
    second = [i for i, line in enumerate(lines) if b"chunk.finished" in line][1]
    (cut / JOURNAL).write_bytes(b"".join(lines[: second + 1]))
    ran = call("run", "--resume", str(cut), "--json")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["variants"] == whole["variants"]
    assert "resumed after 50 images" in ran.stderr
