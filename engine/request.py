"""What a command line asks for: a new sweep, or an old one that goes on."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from engine import journal, sessions
from engine.errors import InputError
from engine.folders import parse_folders
from engine.plan import Plan, preset, read_toml, validated

_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")


class Request(msgspec.Struct, frozen=True):
    """A session whose journal has been made, the folders behind its sets, and where to run it."""

    session: Path
    folders: dict[str, str]
    device: str
    beyond: int = 0  # the last entry of the journal before the engine went on with it


def prepare(
    plan_file: str | None = None,
    preset_name: str | None = None,
    resume: str | None = None,
    *,
    data: Path | None = None,
    ood: tuple[str, ...] = (),
    device: str = "auto",
    root: Path | None = None,
    seed: int | None = None,
) -> Request:
    """Check everything a command line gave and make the session; raise InputError and make nothing."""
    check_device(device)
    if sum(given is not None for given in (plan_file, preset_name, resume)) != 1:
        right = "give one of PLAN.toml, --demo, --preset NAME or --resume SESSION"
        raise InputError("plan", plan_file or "", right)
    folders = parse_folders(ood)
    if resume is not None:
        session = sessions.find(resume).resolve()
        return Request(session, folders, device, check_resumable(session, folders))
    plan, folders = resolve(plan_file, preset_name, data, folders, seed)
    title = re.sub(r"[^a-z0-9]+", "-", (preset_name or Path(plan_file or "").stem).lower()).strip("-")
    session = sessions.create(plan, folders, root, title or "sweep").resolve()
    return Request(session, folders, device)


def resolve(
    plan_file: str | None, name: str | None, data: Path | None, folders: dict[str, str], seed: int | None
) -> tuple[Plan, dict[str, str]]:
    """Return the plan that was asked for and the folders behind its sets; raise InputError."""
    if plan_file is not None:
        plan, own = read_toml(Path(plan_file), data)
        folders = {**parse_folders(tuple(f"{n}={f}" for n, f in own.items())), **folders}
    else:
        plan = preset(name or "demo")
    joined = tuple(dict.fromkeys((*plan.ood_sets, *folders)))
    plan = msgspec.structs.replace(plan, ood_sets=joined)
    if seed is not None:
        plan = msgspec.structs.replace(plan, seed=seed)
    return validated(plan, folders), folders


def check_resumable(session: Path, folders: dict[str, str]) -> int:
    """Return the last entry's number; raise InputError if a session is done, at work, or misses folders."""
    header, entries, _ = journal.read(session)
    state = sessions.state_of(session, entries)
    if state in ("finished", "running"):
        raise InputError("session", str(session), f"it is {state}, there is nothing to resume")
    if missing := [name for name in header.folders if name not in folders]:
        raise InputError("session", str(session), f"give its folders again: --ood {missing[0]}=FOLDER")
    return entries[-1].seq if entries else 0


def check_device(given: str) -> None:
    """Raise InputError if a device cannot be meant."""
    if not _DEVICE.fullmatch(given):
        raise InputError("devices", given, "give auto, cpu, or one GPU such as cuda:0")
