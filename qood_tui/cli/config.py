"""`qood-tui config`: the path, contents and problems of the configuration file."""

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
    """Show and check the configuration file."""


@config.command()
def path() -> None:
    """Print the path of the configuration file."""
    from qood_tui.settings import config as settings

    file = settings.path()
    _print(file)
    try:
        status = "The file exists." if file.exists() else "No such file; 'qood-tui config show' prints one."
    except OSError as error:
        status = f"It cannot be read: {error.strerror}."
    click.echo(status, err=True)


@config.command()
def schema() -> None:
    """Print the JSON Schema of the configuration file, for editors."""
    click.echo(json.dumps(_schema(), indent=2, ensure_ascii=False))


@config.command()
@click.argument("file", required=False, type=Path, shell_complete=files)
def check(file: Path | None) -> None:
    """List all problems in FILE, by default the configuration file.

    Exit status: 0 no problems, 2 problems.
    """
    from engine.errors import InputError
    from engine.text import counted
    from qood_tui.settings import config as settings

    is_default, file = file is None, file or settings.path()
    config, problems = settings.examine(file)
    for problem in problems:
        _print(problem, err=True)
    if problems:
        raise SystemExit(BAD_INPUT)
    if not file.exists():
        if not is_default:
            raise InputError("config", str(file), "there is no such file")
        _print(f"No {file}: the defaults apply.")
        return
    keys = counted(len(settings.keymap(config)), "action")
    _print(f"{file} is valid: theme {config.theme}, {keys} with changed keys.")


@config.command()
def show() -> None:
    """Print the current configuration as a file to copy and edit."""
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
    """Yield a configuration as TOML, including the keys of every action."""
    from qood_tui.settings.actions import GROUPS

    words = _schema()["$defs"]["Config"]["properties"]
    yield f"# Configuration of qood-tui, read from {file}."
    for name in (name for name in current.__struct_fields__ if name != "keys"):
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
