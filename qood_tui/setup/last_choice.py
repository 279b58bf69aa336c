"""Plans saved as TOML: the last choice of each kind on this machine, and files named by the user."""

from __future__ import annotations

from pathlib import Path

from engine import catalog
from engine.errors import InputError, QoodError
from engine.plan.plan import Plan
from engine.plan.resources import Resources
from engine.plan.toml import read_toml, to_toml
from engine.plan.validation import validated
from engine.system import paths


def _kind(*, is_real: bool) -> str:
    return "real" if is_real else "demo"


def remember(plan: Plan, resources: Resources) -> None:
    """Keep a choice for next time; failing to is not an error."""
    path = paths.choice_file(_kind(is_real=not catalog.is_made(plan.id_set)))
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_text(to_toml(plan, resources), "utf-8")
    except OSError:
        return


def recall(*, is_real: bool) -> tuple[Plan, Resources] | None:
    """Return the last choice, None if there is none that is still valid."""
    try:
        plan, resources = read_toml(paths.choice_file(_kind(is_real=is_real)))
        return validated(plan, resources), resources
    except QoodError:
        return None


def save(plan: Plan, resources: Resources, name: str) -> Path:
    """Write a plan to a new file; raise InputError if it exists or cannot be written."""
    try:
        path = Path(name).expanduser().resolve()
        with path.open("x", encoding="utf-8") as file:
            file.write(to_toml(plan, resources))
    except FileExistsError:
        raise InputError("plan", name, "this file already exists; give another name") from None
    except (OSError, RuntimeError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError("plan", name, f"it cannot be written ({why})") from None
    return path
