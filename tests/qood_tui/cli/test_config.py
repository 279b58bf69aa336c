from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from engine.errors import InputError
from qood_tui.cli.config import config
from qood_tui.settings.actions import GROUPS
from qood_tui.settings.config import Config, examine, keymap

ACTIONS = {action.id: action for group in GROUPS.values() for action in group}


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the configuration file of this test, which is not there yet."""
    file = tmp_path / "config.toml"
    monkeypatch.setenv("QOOD_CONFIG", str(file))
    return file


def call(*arguments: str) -> Result:
    return CliRunner().invoke(config, arguments)


def test_path_is_all_of_the_output_and_whether_it_is_there_is_told(file: Path) -> None:
    assert (found := call("path")).stdout == f"{file}\n" and "No such file" in found.stderr
    file.touch()
    assert (found := call("path")).stdout == f"{file}\n" and "The file exists" in found.stderr


def test_what_show_prints_is_complete_and_passes_check(file: Path) -> None:
    shown = call("show").stdout
    assert tomllib.loads(shown)["keys"].keys() == ACTIONS.keys()
    assert all(action.help in shown for action in ACTIONS.values())
    assert str(file) in shown
    file.write_text(shown)
    found, wrong = examine(file)
    assert not wrong and not keymap(found)
    assert call("check").exit_code == 0


def test_show_keeps_what_is_configured(file: Path, tmp_path: Path) -> None:
    file.write_text(
        'theme = "light"\nascii = true\nsession_dir = "~/\\"é"\n'
        '[keys]\nhelp = ["\\"", "é"]\nnext_model = "\\\\"\nmark = []'
    )
    copy = tmp_path / "copy.toml"
    copy.write_text(call("show").stdout)
    one, other = examine(file)[0], examine(copy)[0]
    assert one != Config() and keymap(one) == keymap(other)
    assert (one.theme, one.ascii, one.session_dir) == (other.theme, other.ascii, other.session_dir)
    assert call("show").stdout == copy.read_text()


def test_show_refuses_a_wrong_file(file: Path) -> None:
    file.write_text("theme = 1")
    assert isinstance(call("show").exception, InputError)


def test_check_prints_every_problem_on_its_line(tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text('theme = "drk"\nkeys.strt = "s"\nkeys."\\u001b[31m" = "x"\n')
    found = call("check", str(other))
    assert found.exit_code == 2 and not found.stdout
    lines = found.stderr.splitlines()
    assert [f"{other} line {n}, " in line for n, line in enumerate(lines, 1)] == [True] * 3
    assert "did you mean dark?" in lines[0] and "start" in lines[1]
    assert all(line.isprintable() for line in lines)


def test_check_counts_what_is_changed(file: Path) -> None:
    found = call("check")
    assert found.exit_code == 0 and "defaults apply" in found.stdout and str(file) in found.stdout
    file.write_text('theme = "dark"\nkeys = { start = "S", quit = "q" }')
    found = call("check")
    assert found.exit_code == 0 and not found.stderr
    assert "is valid" in found.stdout and "theme dark" in found.stdout and "1 action with" in found.stdout


def test_check_misses_a_file_that_was_named(tmp_path: Path) -> None:
    error = call("check", str(tmp_path / "none.toml")).exception
    assert isinstance(error, InputError) and "none.toml" in str(error)


def test_the_schema_allows_the_actions_and_nothing_else() -> None:
    schema = json.loads(call("schema").stdout)["$defs"]["Config"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["theme"]["enum"] == ["auto", "dark", "light", "terminal"]
    keys = schema["properties"]["keys"]
    assert keys["properties"].keys() == ACTIONS.keys() and keys["additionalProperties"] is False
    assert "(default: s, ctrl+g)" in keys["properties"]["start"]["description"]
    assert {kind["type"] for kind in keys["properties"]["start"]["anyOf"]} == {"string", "array"}


def test_the_command_is_light_until_it_runs() -> None:
    script = "import sys, qood_tui.cli.config; print(' '.join(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"textual", "msgspec", "numpy", "rich"} & set(ran.stdout.split())
    assert isinstance(config, click.Group) and set(config.commands) == {"path", "schema", "check", "show"}


def test_configuration_is_read_without_loading_the_terminal() -> None:
    script = "import sys, qood_tui.settings.config as c; c.examine(); print(' '.join(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"textual", "numpy", "rich", "torch"} & set(ran.stdout.split())
