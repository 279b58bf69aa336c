"""The user's configuration file: colours, keys, sessions folder; checked as a whole before use."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args

import msgspec
from platformdirs import user_config_path

from engine.errors import InputError, unknown_name
from engine.text import clean, counted, in_bytes
from qood_tui.settings.actions import GROUPS, SCREENS
from qood_tui.settings.key_names import normal
from qood_tui.settings.toml_lines import Lines, lines

LIMIT = 64 * 1024
WIDEST = 1000  # characters of a line: tomllib takes quadratic time in the length of a key
UNBOUND = "<ignore>"  # Textual ignores an empty entry of a keymap, and delivers no key of this name
_DEFAULTS = {
    action.id: tuple(key for key in action.keys.split(",") if key)
    for group in GROUPS.values()
    for action in group
}

Theme = Literal["auto", "dark", "light", "terminal"]


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the user has configured."""

    theme: Annotated[
        Theme, msgspec.Meta(description="Colours: dark, light, terminal (its own), or auto (detected).")
    ] = "auto"
    ascii: Annotated[bool, msgspec.Meta(description="Draw with ASCII only.")] = False
    session_dir: Annotated[
        str,
        msgspec.Meta(
            description="Sessions folder, absolute or starting with ~; empty for the user's data directory."
        ),
    ] = ""
    keys: Annotated[
        dict[str, str | list[str]],
        msgspec.Meta(description="A key or a list of keys for each action; [] for none."),
    ] = {}


def path() -> Path:
    """Return the path of the configuration file (`QOOD_CONFIG`)."""
    given = os.environ.get("QOOD_CONFIG")
    try:
        return Path(given).expanduser() if given else user_config_path("qood-tui") / "config.toml"
    except RuntimeError as error:
        raise InputError("QOOD_CONFIG", given, f"give the path of a file ({error})") from None


def read(file: Path | None = None) -> Config:
    """Return the configuration, the default if there is no file; raise the file's first problem."""
    config, problems = examine(file)
    if not problems:
        return config
    first, *others = problems
    if not others:
        raise first
    more = f"{first.right}; 'qood-tui config check' lists {counted(len(others), 'more problem')}"
    raise InputError(first.field, first.given, more)


def examine(file: Path | None = None) -> tuple[Config, list[InputError]]:
    """Return the configuration and its problems by line; the default configuration if there are any."""
    file = file or path()
    try:
        data, where = _parsed(file)
    except InputError as error:
        return Config(), [error]
    problems = sorted(_problems(data, where), key=lambda problem: problem.line)
    if problems:
        return Config(), [problem.error for problem in problems]
    return msgspec.convert(data, Config), []


def keymap(config: Config) -> dict[str, str]:
    """Return the keys of actions whose keys are not the default ones, for `App.set_keymap`."""
    keys = {
        action: tuple(dict.fromkeys(normal(f"keys.{action}", key) for key in _listed(given)))
        for action, given in config.keys.items()
    }
    return {action: ",".join(its) or UNBOUND for action, its in keys.items() if its != _DEFAULTS.get(action)}


class _Problem(NamedTuple):
    line: int
    error: InputError


class _Where(NamedTuple):
    """A file and the lines of its keys."""

    file: Path
    lines: Lines

    def field(self, *names: str) -> str:
        """Return file, line and full name of a key."""
        return clean(f"{self.file} line {self.lines[names]}, {'.'.join(names)[:80]}")

    def problem(self, *names: str, given: Any, right: str) -> _Problem:
        """Return a problem with the value of a key."""
        return _Problem(self.lines[names], InputError(self.field(*names), _short(given), right))

    def unknown(self, *names: str, known: tuple[str, ...], belongs: str | None) -> _Problem:
        """Return the problem of an unknown key, with where it belongs or what is similar."""
        given = names[-1][:60]
        near = unknown_name("", given, known).right
        if len(known) > 9 and not near.startswith("did"):
            near = "'qood-tui config show' lists all of them"
        return self.problem(*names, given=given, right=belongs or near)


def _parsed(file: Path) -> tuple[dict[str, Any], _Where]:
    """Read a TOML file; raise InputError naming the wrong line."""
    text = _text(file)
    rows = text.split("\n")
    for number, row in enumerate(rows, 1):
        if len(row) > WIDEST:
            raise _wrong_line(file, number, row, f"a line has at most {WIDEST} characters")
    try:
        return tomllib.loads(text), _Where(file, lines(text))
    except RecursionError:
        raise InputError("config", str(file), "its values are nested too deeply") from None
    except ValueError as error:
        at = re.search(r"\(at line (\d+), column \d+\)$", str(error))
        number = int(at.group(1)) if at else text.rstrip().count("\n") + 1
        raise _wrong_line(file, number, rows[number - 1], f"correct its TOML: {error}") from None


def _text(file: Path) -> str:
    """Return the contents of a file, nothing if there is none; raise InputError if it cannot be read."""
    try:
        mode = file.stat().st_mode
        if not stat.S_ISREG(mode) and file != Path(os.devnull):
            kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
            raise InputError("config", str(file), f"it is {kind}; give a TOML file")
        with file.open("rb") as opened:
            content = opened.read(LIMIT + 1)
        if len(content) > LIMIT:
            right = f"it is too large for a configuration; the limit is {in_bytes(LIMIT)}"
            raise InputError("config", str(file), right)
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        row = content.split(b"\n")[number - 1].decode(errors="replace")
        raise _wrong_line(file, number, row, "it must be UTF-8 text") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError("config", str(file), f"it cannot be read ({reason})") from None


def _wrong_line(file: Path, number: int, row: str, right: str) -> InputError:
    return InputError(clean(f"{file} line {number}"), row.strip()[:60], clean(right))


def _problems(data: dict[str, Any], where: _Where) -> Iterator[_Problem]:
    themes = get_args(Theme)
    for name, value in data.items():
        match name:
            case "theme" if not isinstance(value, str):
                yield where.problem(name, given=value, right=f"give one of {', '.join(map(repr, themes))}")
            case "theme" if value not in themes:
                right = unknown_name("theme", value[:60], themes).right
                yield where.problem(name, given=value, right=right)
            case "ascii" if not isinstance(value, bool):
                yield where.problem(name, given=value, right="give true or false, without quotes")
            case "session_dir" if not isinstance(value, str):
                yield where.problem(name, given=value, right="give the path of a folder, in quotes")
            case "session_dir" if value and not _is_absolute(value):
                right = "give an absolute path, or one that begins with ~/"
                yield where.problem(name, given=value, right=right)
            case "keys" if not isinstance(value, dict):
                yield where.problem(name, given=value, right="give a table, [keys] with ACTION = 'KEY'")
            case "keys":
                yield from _key_problems(value, where)
            case _ if name not in Config.__struct_fields__:
                belongs = "put it under [keys]" if name in _DEFAULTS else None
                yield where.unknown(name, known=Config.__struct_fields__, belongs=belongs)
            case _:
                try:
                    msgspec.convert({name: value}, Config)
                except msgspec.ValidationError as error:
                    right = f"{error}".split(" - at ")[0]
                    yield where.problem(name, given=value, right=right[0].lower() + right[1:])


def _is_absolute(given: str) -> bool:
    try:
        return Path(given).expanduser().is_absolute() and "\0" not in given
    except RuntimeError:  # ~nobody
        return False


def _key_problems(table: dict[str, Any], where: _Where) -> Iterator[_Problem]:
    """Yield problems of the keys, of single actions and between actions."""
    usable: dict[str, dict[str, str]] = {}  # by action: Textual's name and what the user wrote
    for action, given in table.items():
        names = ("keys", action)
        if action not in _DEFAULTS:
            belongs = "put it above [keys]" if action in Config.__struct_fields__ else None
            yield where.unknown(*names, known=tuple(_DEFAULTS), belongs=belongs)
            continue
        listed = _listed(given)
        if not isinstance(listed, list) or not all(isinstance(key, str) for key in listed):
            yield where.problem(*names, given=given, right="give a key such as 'm', a list of keys, or []")
            continue
        usable[action] = {}
        for key in listed:
            try:
                usable[action][_checked(where.field(*names), action, key)] = key
            except InputError as error:
                yield _Problem(where.lines[names], error)
    for *pair, key in _clashes(usable):
        first, last = sorted(pair, key=lambda action: where.lines.get(("keys", action), 0))
        right = f"{first} has the same key on the same screen; change one of them"
        yield where.problem("keys", last, given=usable[last][key], right=right)


def _checked(field: str, action: str, key: str) -> str:
    """Return Textual's name of a key that the action can have; raise InputError."""
    name = normal(field, key)
    if name == "ctrl+q" and action != "quit":
        raise InputError(field, key, "it always quits qood-tui; choose another")
    return name


def _clashes(given: Mapping[str, Collection[str]]) -> list[tuple[str, str, str]]:
    """Return pairs of actions and the key that both have on a screen, if the user set one of them."""
    found: dict[tuple[str, str, str], None] = {}
    for screen in SCREENS:
        taken: dict[str, str] = {}
        for action in (action.id for group in screen for action in GROUPS[group]):
            for key in given.get(action, _DEFAULTS[action]):
                other = taken.setdefault(key, action)
                if other != action and (action in given or other in given):
                    found[other, action, key] = None
    return list(found)


def _listed(given: Any) -> Any:
    return [given] if isinstance(given, str) else given


def _short(given: Any) -> object:
    """Return a value that fits into an error message."""
    match given:
        case str():
            return given[:60]
        case bool() | float():
            return given
        case int() if given.bit_length() <= 64:
            return given
        case int():
            return "a large number"
        case list() | dict():
            return f"a {'list' if isinstance(given, list) else 'table'}"
    return str(given)
