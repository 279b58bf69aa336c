from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from engine.errors import InputError
from engine.session import store as engine_sessions
from engine.session.layout import JOURNAL
from qood_tui.cli import completion as made

SHIPPED = [folder.name for folder in engine_sessions.folders(Path("/dev/null"))]


@click.group()
def main() -> None:
    """Stand for the program."""


main.add_command(made.completion)


@main.command()
@click.argument("session", shell_complete=made.sessions)
@click.option("--preset", shell_complete=made.presets)
@click.option("--score", shell_complete=made.scores)
@click.option("--data", shell_complete=made.folders)
@click.option("--plan", shell_complete=made.files)
def replay(**given: object) -> None:
    """Stand for a command."""


@main.command()
@click.argument("session", shell_complete=made.readable_sessions)
def report(session: str) -> None:
    """Stand for a command that reads."""


def completed(*arguments: str) -> list[str]:
    """Return what the last argument is completed to."""
    found = ShellComplete(main, {}, made.PROGRAM, made.VARIABLE).get_completions(
        [*arguments[:-1]], arguments[-1]
    )
    return [item.value for item in found if item.type == "plain"]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder of sessions."""
    monkeypatch.setenv("QOOD_SESSIONS", str(tmp_path / "sessions"))
    (tmp_path / "sessions").mkdir()
    return tmp_path / "sessions"


def add(folder: Path, name: str) -> None:
    (folder / name).mkdir()
    (folder / name / JOURNAL).write_bytes(b"\xff broken")


def test_names_are_completed(own: Path) -> None:
    add(own, "20260101-120000-sweep-ab12")
    (own / "no-session").mkdir()
    assert completed("replay", "") == ["20260101-120000-sweep-ab12", *SHIPPED]
    assert completed("replay", "de") == ["demo"]
    assert completed("replay", "--preset", "q") == ["quick"]
    assert {"msp", "maxlogit"} <= set(completed("replay", "--score", "m"))
    assert completed("completion", "") == ["bash", "zsh", "fish"]


def test_a_session_can_be_a_path_too(own: Path) -> None:
    item = made.sessions(click.Context(replay), replay.params[0], "./some")[0]
    assert (item.type, item.value) == ("dir", "./some")


def test_files_of_sessions_are_completed_where_they_can_be_read(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("one.qood", "$(touch x).qood", "other.txt"):
        (tmp_path / name).touch()
    assert completed("report", "") == [*SHIPPED, "one.qood"]
    assert completed("report", "on") == ["one.qood"]
    assert completed("replay", "on") == []
    item = made.readable_sessions(click.Context(report), report.params[0], "./some")[0]
    assert (item.type, item.value) == ("file", "./some")


def test_names_that_a_shell_could_run_are_left_out(own: Path) -> None:
    for name in ("$(touch x)", "a b", "a;b", "-x", "*", "\x1b[31m", "a\nplain,b"):
        add(own, name)
    assert completed("replay", "") == SHIPPED


def test_nothing_breaks_completion(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (own / "loop").symlink_to(own / "loop")
    (own / "nothing").symlink_to(own / "gone")
    assert completed("replay", "") == SHIPPED

    def broken(*_: object) -> list[Path]:
        raise PermissionError("no entry")

    monkeypatch.setattr(engine_sessions, "folders", broken)
    assert completed("replay", "") == ["demo"]
    monkeypatch.setattr("engine.catalog.PRESETS", None)
    assert completed("replay", "--preset", "") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_says_how_to_install_it(shell: str) -> None:
    ran = CliRunner().invoke(main, ["completion", shell])
    first, second = ran.stdout.splitlines()[:2]
    comment = second if shell == "zsh" else first
    assert comment.startswith("# ") and f"qood-tui completion {shell}" in comment
    assert (first == "#compdef qood-tui") == (shell == "zsh")
    assert f"{made.VARIABLE}={shell}_complete" in ran.stdout


def test_another_shell_is_refused_with_the_nearest() -> None:
    error = CliRunner().invoke(main, ["completion", "zhs"]).exception
    assert isinstance(error, InputError) and "'zhs'" in str(error) and "zsh" in error.right


def test_the_command_is_light_until_it_runs() -> None:
    script = "import sys, qood_tui.cli.completion; print(' '.join(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"textual", "msgspec", "numpy", "rich", "engine.catalog"} & set(ran.stdout.split())


def program(folder: Path) -> Path:
    """Put a `qood-tui` into a folder, whose commands are those above."""
    file = folder / "qood-tui"
    code = "from tests.qood_tui.cli.test_completion import main; main(prog_name='qood-tui')"
    root = Path(__file__).parents[3]
    file.write_text(f'#!/bin/sh\nPYTHONPATH="{root}" exec "{sys.executable}" -c "{code}" "$@"\n')
    file.chmod(0o755)
    return file


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not there")
@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("repl",), ["replay"]),
        (("replay", "2026"), ["20260101-120000-sweep-ab12"]),
        (("replay", "d"), ["demo"]),
        (("replay", "--preset", "kuang"), ["kuang-wong-2026"]),
        (("completion", "f"), ["fish"]),
    ],
)
def test_bash_completes(words: tuple[str, ...], wanted: list[str], own: Path, tmp_path: Path) -> None:
    add(own, "20260101-120000-sweep-ab12")
    add(own, "$(touch injected)")
    script = (
        f'PATH="{program(tmp_path).parent}:$PATH"\ncd "{tmp_path}"\n'
        "source <(qood-tui completion bash)\ncomplete -p qood-tui >&2\n"
        f'COMP_WORDS=(qood-tui "$@")\nCOMP_CWORD={len(words)}\n'
        '_qood_tui_completion qood-tui\nprintf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    ran = subprocess.run(
        ["bash", "--norc", "-c", script, "bash", *words], capture_output=True, text=True, timeout=60
    )
    assert ran.stdout.splitlines() == wanted, ran.stderr
    assert "-F _qood_tui_completion" in ran.stderr
    assert not (tmp_path / "injected").exists()


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_scripts_are_what_their_shells_can_read(shell: str, tmp_path: Path) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not there")
    file = tmp_path / "script"
    file.write_text(CliRunner().invoke(main, ["completion", shell]).stdout)
    assert subprocess.run([shell, "-n", str(file)], timeout=60).returncode == 0
