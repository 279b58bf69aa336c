"""`qood-tui config`: where the configuration file is, what it can hold and whether it is valid."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.errors import BAD_INPUT
from qood_tui.cli.completion import files

if TYPE_CHECKING:
    from qood_tui.settings.config import Config


@click.group()
def config() -> None:
    """Show and check the configuration file: colours, keys and the folder of sessions."""


@config.command()
def path() -> None:
    """Print where the configuration file is expected."""
    from qood_tui.settings import config as settings

    file = settings.path()
    _print(file)
    try:
        there = "It exists." if file.exists() else "It does not exist; 'qood-tui config show' prints one."
    except OSError as error:
        there = f"It cannot be read: {error.strerror}."
    click.echo(there, err=True)


@config.command()
def schema() -> None:
    """Print the JSON Schema of the configuration file, for editors."""
    click.echo(json.dumps(_schema(), indent=2, ensure_ascii=False))


@config.command()
@click.argument("file", required=False, type=Path, shell_complete=files)
def check(file: Path | None) -> None:
    """Report every problem of FILE, or of the configuration file.

    Exit status: 0 no problem, 2 otherwise.
    """
    from engine.errors import InputError
    from engine.text import counted
    from qood_tui.settings import config as settings

    given, file = file, file or settings.path()
    found, wrong = settings.examine(file)
    for error in wrong:
        _print(error, err=True)
    if wrong:
        raise SystemExit(BAD_INPUT)
    if not file.exists():
        if given:
            raise InputError("config", str(file), "there is no such file")
        _print(f"{file} does not exist: the defaults hold.")
        return
    keys = len(settings.keymap(found))
    _print(f"{file} is valid: theme {found.theme}, {counted(keys, 'action')} with keys of your own.")


@config.command()
def show() -> None:
    """Print the present configuration, as a file to copy and edit."""
    from qood_tui.settings import config as settings

    for line in _shown(settings.read(), settings.path()):
        _print(line)


def _schema() -> dict[str, Any]:
    import msgspec

    from qood_tui.settings.actions import GROUPS
    from qood_tui.settings.config import Config

    made: dict[str, Any] = msgspec.json.schema(Config)
    keys = made["$defs"]["Config"]["properties"]["keys"]
    allowed = keys["additionalProperties"]
    keys["properties"] = {
        action.id: {"description": f"{action.help} (default: {action.keys.replace(',', ', ')})", **allowed}
        for group in GROUPS.values()
        for action in group
    }
    keys["additionalProperties"] = False
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "qood-tui", **made}


def _shown(current: Config, file: Path) -> Iterator[str]:
    """Yield a configuration as lines of TOML, with the keys of every action."""
    from qood_tui.settings.actions import GROUPS

    words = _schema()["$defs"]["Config"]["properties"]
    yield f"# The configuration of qood-tui, expected in {file}."
    for name in ("theme", "ascii", "session_dir"):
        yield f"\n# {words[name]['description']}"
        yield f"{name} = {json.dumps(getattr(current, name), ensure_ascii=False)}"
    yield f"\n# {words['keys']['description']}"
    yield "[keys]"
    for title, group in GROUPS.items():
        yield f"\n# {title}"
        for action in group:
            default = [key for key in action.keys.split(",") if key]
            keys = current.keys.get(action.id, default[0] if len(default) == 1 else default)
            yield f"{action.id} = {json.dumps(keys, ensure_ascii=False)}  # {action.help}"


def _print(text: object, *, err: bool = False) -> None:
    from engine.text import clean

    click.echo("\n".join(map(clean, str(text).split("\n"))), err=err)
