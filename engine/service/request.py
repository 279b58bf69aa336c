"""What a command line asks for: a new sweep, or one that is resumed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from engine import catalog
from engine.datasets.discover import discover, id_set, is_found, ood_set, read_classes
from engine.datasets.disk_set import DiskSet
from engine.errors import InputError
from engine.plan.plan import Plan, preset
from engine.plan.resources import Resources, check_devices, merge, recall
from engine.plan.toml import read_toml
from engine.plan.validation import validated
from engine.session import lease, store
from engine.session.place import Folder
from engine.session.session import Session
from engine.system import environment


class Request(msgspec.Struct, frozen=True):
    """A session whose journal has been made, and what this machine brings to it."""

    session: Path
    resources: Resources
    beyond: int = 0  # the last entry of the journal before it is resumed
    missing: tuple[str, ...] = ()  # sets of a preset that are missing
    take_over: bool = False  # from another machine that was writing the session


def prepare(
    plan_file: str | None = None,
    preset_name: str | None = None,
    resume: str | None = None,
    *,
    resources: Resources,
    root: Path | None = None,
    changes: Mapping[str, Any] | None = None,
    take_over: bool = False,
) -> Request:
    """Check everything on a command line and make the session; raise InputError and make nothing.

    `changes` override fields of the plan; `take_over` says that another machine that was
    writing the session has stopped.
    """
    check_devices(resources.devices)
    if sum(given is not None for given in (plan_file, preset_name, resume)) != 1:
        if plan_file is preset_name is resume is None:
            right = "give a plan (PLAN.toml), --demo, --preset NAME or --resume SESSION"
            raise InputError("plan", None, right)
        right = "give only one of PLAN.toml, --demo, --preset NAME and --resume SESSION"
        raise InputError("plan", plan_file or preset_name, right)
    if resume is not None:
        if changes:
            field, value = next(iter(changes.items()))
            raise InputError(field, value, "a session is resumed as it began; start a new one to change it")
        session = store.find(resume).resolve()
        resources, beyond = resumable(session, resources, take_over=take_over)
        return Request(session, resources, beyond, take_over=take_over)
    if take_over:
        raise InputError("take-over", None, "give the session to take over: --resume SESSION --take-over")
    plan, own = (
        read_toml(Path(plan_file)) if plan_file is not None else (preset(preset_name or ""), Resources())
    )
    resources = merge(own, resources)
    plan = msgspec.structs.replace(plan, **(changes or {}))
    if preset_name is not None:
        plan = with_checkpoints(plan, resources)
    _check_checkpoints(plan, resources)
    settled, resources, missing = settle(plan, resources, may_miss=preset_name is not None)
    environment.check_exact(tf32=settled.tf32)
    title = re.sub(r"[^a-z0-9]+", "-", (preset_name or Path(plan_file or "").stem).lower()).strip("-")
    session = store.create(settled, resources.names(), root, title or "sweep").resolve()
    return Request(session, resources, missing=missing)


def with_checkpoints(plan: Plan, resources: Resources) -> Plan:
    """Return a preset's plan with the user's own models in place of its models, if there are any."""
    own = tuple(name for name in resources.checkpoints if name not in plan.models)
    return msgspec.structs.replace(plan, models=own) if own else plan


def _check_checkpoints(plan: Plan, resources: Resources) -> None:
    """Raise InputError for a checkpoint that no model of a plan uses, or --ema without a checkpoint."""
    if unused := [name for name in resources.checkpoints if name not in plan.models]:
        right = f"the plan has no model of this name, only {', '.join(plan.models)}; name it in models"
        raise InputError("checkpoint", unused[0], right)
    if resources.ema and not resources.checkpoints:
        raise InputError("ema", "--ema", "it applies to checkpoints, and none is given")


def settle(
    plan: Plan, resources: Resources, *, may_miss: bool = False, found: Mapping[str, DiskSet] | None = None
) -> tuple[Plan, Resources, tuple[str, ...]]:
    """Return a validated plan that names every set, its resources, and the sets that are left out.

    The user's own OOD sets join the plan. Sets that the plan wants and the root does not hold raise
    InputError, or are left out where they may be missing, as long as one stays. `found` is what discovery
    found below the root, if it has run already: it may take long.
    """
    if not found:
        found = discover(Path(resources.data)) if resources.data else {}
    own = {name: str(one.root) for name, one in found.items() if name not in catalog.SETS}
    wanted = [name for name in plan.ood_sets if name in own and name not in resources.ood]
    ood = {**{name: own[name] for name in wanted}, **resources.ood}
    resources = msgspec.structs.replace(resources, ood=ood)
    if len(resources.id) == 1 and (may_miss or catalog.is_made(plan.id_set)):
        plan = msgspec.structs.replace(plan, id_set=next(iter(resources.id)))
    if not plan.ood_sets and not resources.ood:
        known = [name for name, one in found.items() if name in catalog.SETS and one.role == "ood"]
        plan = msgspec.structs.replace(plan, ood_sets=tuple(known))
    missing = tuple(
        name
        for name in plan.ood_sets
        if name in catalog.SETS and not catalog.is_made(name) and name not in found
    )
    there = tuple(name for name in plan.ood_sets if name not in missing or not may_miss)
    plan = msgspec.structs.replace(
        plan,
        ood_sets=tuple(dict.fromkeys((*there, *resources.ood))),
        calibration_set=_held_out_set(plan.calibration_set, plan, resources, found),
        fit_set=_held_out_set(plan.fit_set, plan, resources, found),
    )
    for field in ("id_set", "ood_sets", "calibration_set", "fit_set"):
        given = getattr(plan, field)
        for name in (given,) if isinstance(given, str) else given or missing:
            _check_there(field, name, resources, found)
    plan = validated(plan, resources)
    counts = {name: len(one.members) for name, one in found.items()}
    counts |= {
        name: len((found[name] if is_found(name, resources, found) else ood_set(name, folder)).members)
        for name, folder in resources.ood.items()
    }
    classes = read_classes(resources.classes) if resources.classes else ()
    root = Path(resources.data) if resources.data else None
    for name, path in {**resources.id, **resources.train}.items():
        counts[name] = len(id_set(name, path, root, classes).members)
    resources = msgspec.structs.replace(resources, counts=counts)
    return plan, resources, missing if may_miss else ()


def _held_out_set(given: str, plan: Plan, resources: Resources, found: Mapping[str, DiskSet]) -> str:
    """Choose the set that calibration or fitting takes its images from, if that is left open."""
    if given != catalog.AUTO:
        return given
    if len(resources.train) == 1:
        return next(iter(resources.train))
    if plan.id_set == "imagenet":
        known = ("imagenet-train", "imagenet-held-out")
        return next((name for name in known if name in found), catalog.HELD_OUT)
    return catalog.HELD_OUT


def _check_there(field: str, name: str, resources: Resources, found: Mapping[str, DiskSet]) -> None:
    known = catalog.SETS.get(name)
    if known is None or known.made or name in found:
        return
    if not resources.data:
        raise InputError(field, name, f"say where {known.label} is: --data ROOT")
    seen = ", ".join(found) or "no image set"
    right = f"it is not in {resources.data}, where 'qood-tui data check' finds {seen}"
    raise InputError(field, name, right)


def resumable(folder: Path, overrides: Resources, *, take_over: bool = False) -> tuple[Resources, int]:
    """Return the resources that a session is resumed with, and its last entry's number.

    Raises InputError if it is finished, running, if another machine was writing it and `take_over` is not
    given, if environment variables would move its numbers, or if it is unknown where its sets lie.
    """
    session = Session.at(folder)
    _check_free(folder, session, take_over)
    header = session.header
    environment.check_exact(tf32=header.plan.tf32)
    environment.check_same(session.worker.arithmetic if session.worker else None)
    resources = merge(recall(header.id), overrides)
    if missing := [name for name in header.folders if name not in resources.names()]:
        raise InputError("session", str(folder), f"say again where its sets are: --ood {missing[0]}=FOLDER")
    plan = header.plan
    sets = [
        name for name in (plan.id_set, *plan.ood_sets) if name in catalog.SETS and not catalog.is_made(name)
    ]
    if sets and not resources.data:
        raise InputError("session", str(folder), f"say again where {sets[0]} is: --data ROOT")
    return resources, session.last


def _check_free(folder: Path, session: Session, take_over: bool) -> None:
    """Raise InputError if a session is finished or being written."""
    if session.is_closed and session.closed is not None and session.closed.outcome == "finished":
        raise InputError("session", str(folder), "it is finished; there is nothing to resume")
    try:
        lease.check_free(folder, take_over=take_over)
        is_running = Folder(folder).is_locked()
    except BlockingIOError:
        is_running = True
    except lease.LeaseHeld as error:
        raise InputError("session", str(folder), error.right) from None
    except OSError as error:
        right = f"its lease cannot be read ({error.strerror})"
        raise InputError("session", str(folder), right) from None
    if is_running:
        raise InputError("session", str(folder), "it is running; there is nothing to resume")
