"""A plan as a TOML file, with the folders and checkpoints that it names."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec

from engine import catalog
from engine.errors import InputError
from engine.plan.plan import Plan, from_mapping, to_mapping
from engine.plan.resources import HUB, Checkpoint, Resources, check_checkpoint, parse_named
from engine.text import decoded


def read_toml(path: Path) -> tuple[Plan, Resources]:
    """Read a plan and what it names: `[folders]`, `[id]`, `[train]` and `[checkpoints]`.

    Raises InputError naming the key. Sets that depend on what is available are still `auto`.
    """
    try:
        data = tomllib.loads(decoded(path.read_bytes()))
    except FileNotFoundError:
        raise InputError("plan", str(path), "there is no such file") from None
    except (OSError, ValueError, RecursionError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError("plan", str(path), f"a readable TOML file is needed ({why})") from None
    tables = {name: data.pop(name, {}) for name in ("folders", "id", "train")}
    for name, table in tables.items():
        if not isinstance(table, dict) or not all(isinstance(v, str) for v in table.values()):
            raise InputError(name, table, "give a table of NAME = 'FOLDER'")
    ood, own_id, train = (
        parse_named(name, tuple(f"{key}={_beside(path, value)}" for key, value in table.items()))
        for name, table in tables.items()
    )
    try:
        checkpoints = msgspec.convert(data.pop("checkpoints", {}), dict[str, Checkpoint])
    except msgspec.ValidationError as error:
        right = f"give NAME = {{ file = 'FILE', model = 'MODEL' }} ({error})"
        raise InputError("checkpoints", "this table", right) from None
    checkpoints = {
        name: check_checkpoint(name, msgspec.structs.replace(one, file=_beside(path, one.file)))
        for name, one in checkpoints.items()
    }
    try:
        plan = from_mapping(data)
    except InputError as error:
        raise InputError(f"{path.name}, {error.field}", error.given, error.right) from None
    return plan, Resources(ood=ood, id=own_id, train=train, checkpoints=checkpoints)


def _beside(plan: Path, path: str) -> str:
    """Resolve a path relative to the plan's folder; return the name of a repository unchanged."""
    if path.startswith(HUB):
        return path
    try:
        return str((plan.parent / Path(path).expanduser()).resolve())
    except (OSError, RuntimeError, ValueError):
        return path


def to_toml(plan: Plan, resources: Resources) -> str:
    """Return a plan, and the paths for the names in it, as TOML that `read_toml` can read.

    Default values are left out. If the sets are below a root folder, a comment says so.
    """
    import tomli_w

    made = catalog.is_made(plan.id_set)
    default = to_mapping(Plan(models=plan.models))
    needed = (
        "id_set",
        "ood_sets",
        "calibration_set",
        "fit_set",
        *(() if made else ("share", "id_images", "ood_images")),
    )
    data: dict[str, Any] = {
        field: value
        for field, value in to_mapping(plan).items()
        if value is not None and (field in ("models", *needed) or value != default.get(field))
    }
    if plan.share is not None:
        data.pop("id_images", None)
        data.pop("ood_images", None)
    used = {*plan.ood_sets, plan.id_set, plan.calibration_set, plan.fit_set}
    tables = {"folders": resources.ood, "id": resources.id, "train": resources.train}
    for name, table in tables.items():
        if kept := {key: path for key, path in table.items() if key in used}:
            data[name] = kept
    checkpoints = {
        name: {
            "file": one.file,
            **({"model": one.model} if one.model else {}),
            **({"ema": True} if one.ema or resources.ema else {}),
        }
        for name, one in resources.checkpoints.items()
        if name in plan.models
    }
    if checkpoints:
        data["checkpoints"] = checkpoints
    root = "" if made or not resources.data else "# run with --data ROOT: the sets are found below it\n"
    return root + tomli_w.dumps(data)
