"""ARCHITECTURE.md is true: what its tables name is there, and every room stands in them."""

import re
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from qood_tui.cli.main import main

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "ARCHITECTURE.md").read_text()
PACKAGES = ("engine", "qood_tui", "tests")
# In code type in a table, yet no name in the code: commands, options, what lies on a disk of the user's.
OTHER = re.compile(
    r"module:name|action_NAME|W4A8|vit-wide W4A4( #2)?|\.qood|--[a-z-]+|python -m [a-z_.]+|qood-tui( [a-z]+)*"
    r"|make [a-z]+|files\.sqlite|demo/|quantized/|/tmp|KillUserProcesses"
)
DEFINED = {
    name
    for package in ("engine", "qood_tui")
    for path in (ROOT / package).rglob("*.py")
    for name in re.findall(r"^\s*(?:class|def) (\w+)", path.read_text(), re.MULTILINE)
} | set(main.commands)


def named() -> Iterator[tuple[str, str]]:
    """Yield everything in code type in a table, with the line that it stands in."""
    for line in TEXT.splitlines():
        if line.startswith("|"):
            yield from ((name, line) for name in re.findall(r"`([^`]+)`", line))


def is_there(name: str) -> bool:
    """Return whether a path or a dotted name exists; `NAME` stands for a file to be written."""
    if OTHER.fullmatch(name):
        return True
    if "/" in name or name.endswith((".py", ".md", ".toml")):
        path = ROOT / name
        return (path.parent if "NAME" in path.name else path).exists()
    if name.split(".")[0] not in PACKAGES:
        return name in DEFINED
    if name in ENTRY_POINTS:
        return True
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            if not hasattr(found, part) and part not in getattr(found, "__annotations__", ()):
                return False
            found = getattr(found, part, None)
        return True
    return False


def entry_points() -> set[str]:
    """Return the groups of entry points that the catalog looks for."""
    sources = (path.read_text() for path in (ROOT / "engine" / "catalog").glob("*.py"))
    return set(re.findall(r'"(qood_tui\.[a-z_]+)"', "".join(sources)))


ENTRY_POINTS = entry_points()


def test_every_name_in_a_table_exists() -> None:
    missing = [f"{name}: {line}" for name, line in named() if not is_there(name)]
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize(
    "name", ["engine.measure.deltas.NOTHING", "engine/nowhere/NAME.py", "engine.nowhere", "Quark"]
)
def test_a_name_that_is_not_there_would_be_noticed(name: str) -> None:
    assert not is_there(name)


@pytest.mark.parametrize("package", ["engine", "qood_tui"])
def test_every_room_is_in_the_table_and_in_a_contract(package: str) -> None:
    rooms = {path.name for path in (ROOT / package).iterdir() if (path / "__init__.py").exists()}
    assert all(f"| `{package}/{room}/` |" in TEXT for room in rooms)
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(c["layers"] for c in contracts if c.get("containers") == [package])
    assert rooms <= {room for layer in layers for room in re.split(r"\s*[|:]\s*", layer)}


@pytest.mark.parametrize("package", ["engine", "qood_tui"])
def test_the_top_of_a_package_fits_on_a_screen(package: str) -> None:
    assert len([path for path in (ROOT / package).iterdir() if path.name != "__pycache__"]) <= 23
