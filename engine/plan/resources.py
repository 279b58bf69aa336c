"""What one machine brings to a plan: where sets and weights lie, and what does the work.

Nothing here moves a number, so nothing of it is in the plan, and no path of it in a session.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import msgspec

from engine import catalog
from engine.errors import InputError
from engine.system import environment, paths

HUB = ("hf-hub:", "hf_hub:")  # how the name of a repository begins
_KINDS = "|".join(catalog.ACCELERATORS)
_ONE = rf"(cpu|({_KINDS}):\d+)"
_DEVICES = re.compile(rf"auto|{_KINDS}|{_ONE}(,{_ONE})*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


class Checkpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Weights in a file or a folder of the user's: `model` is what timm builds for them."""

    file: str  # or hf-hub:OWNER/NAME
    model: str = ""  # the checkpoint's own name where that is a name of timm's
    ema: bool = False  # its EMA weights are meant, not its plain ones


class Resources(msgspec.Struct, frozen=True, kw_only=True):
    """Paths by the names that a plan has for them, devices, and the environment of who asks."""

    data: str = ""  # a root that holds image sets in layouts that are known
    ood: dict[str, str] = {}  # folders of images
    id: dict[str, str] = {}  # folders of classes, or lists of images with labels
    train: dict[str, str] = {}  # folders of classes that are learnt from
    checkpoints: dict[str, Checkpoint] = {}
    ema: bool = False  # of all checkpoints
    classes: str = ""  # a file with the class names of the models, one a line
    devices: str = "auto"
    any_accuracy: bool = False  # go on where accuracy is what guessing gives
    counts: dict[str, int] = {}  # of images in the sets that were found
    crops: str = ""  # a folder that prepared images are kept in
    environment: dict[str, str] = {}

    def without_paths(self, text: str) -> str:
        """Return a text with only the last part of every path, and no secret: others may read it."""
        text = environment.without_secrets(text, self.environment)
        checkpoints = (one.file for one in self.checkpoints.values() if not one.file.startswith(HUB))
        named = {self.data, *self.ood.values(), *self.id.values(), *self.train.values(), *checkpoints}
        named |= {self.classes, self.crops}
        for path in sorted(named, key=len, reverse=True):
            text = text.replace(path, Path(path).name) if "/" in path else text
        text = environment.without_places(text, self.environment)
        home = os.path.expanduser("~")  # noqa: PTH111
        return text.replace(home, "~") if len(home) > 1 else text

    def names(self) -> tuple[str, ...]:
        """List the names of the user's own sets."""
        return (*self.ood, *self.id, *self.train)


def own_environment() -> dict[str, str]:
    """Return what of this process's environment a worker is to have; raise InputError for what is no text."""
    return environment.carried(os.environ)


def check_devices(given: str) -> None:
    """Raise InputError if devices cannot be meant."""
    if not _DEVICES.fullmatch(given):
        one = catalog.ACCELERATORS[0]
        kinds = ", ".join(f"{kind} for all {catalog.DEVICES[kind].label}" for kind in catalog.ACCELERATORS)
        right = f"give auto, cpu, {kinds}, or some of them such as {one}:0,{one}:1"
        raise InputError("devices", given, right)


def parse_named(field: str, given: tuple[str, ...]) -> dict[str, str]:
    """Read `NAME=PATH` arguments; raise InputError for a name that cannot be or is taken."""
    named: dict[str, str] = {}
    for text in given:
        name, sign, path = text.partition("=")
        if not sign or not path or not _NAME.fullmatch(name):
            right = "give NAME=PATH, the name in letters, digits, '.', '_' and '-'"
            raise InputError(field, text, right)
        taken = () if field == "checkpoint" else catalog.SETS
        if name in taken or name in named or name == catalog.HELD_OUT:
            raise InputError(field, name, "this name is taken already, choose another")
        try:
            path.encode()
            named[name] = str(Path(path).expanduser().resolve())
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(f"{field} {name}", repr(path), f"it cannot be read ({error})") from None
    return named


def parse_checkpoints(given: tuple[str, ...]) -> dict[str, Checkpoint]:
    """Read `NAME=FILE` or `NAME=MODEL:FILE` arguments; raise InputError where there is no such file.

    A file may also be a folder, or a repository of the Hugging Face hub (`hf-hub:OWNER/NAME`).
    """
    found = {}
    for text in given:
        name, sign, rest = text.partition("=")
        model, colon, file = rest.partition(":")
        if not colon or rest.startswith(HUB) or Path(rest).exists():
            model, file = "", rest
        if name in found:
            raise InputError("checkpoint", name, "give it only once")
        path = parse_named("checkpoint", (f"{name}{sign}{file}",))[name]
        path = file if file.startswith(HUB) else path
        found[name] = check_checkpoint(name, Checkpoint(path, model))
    return found


def check_checkpoint(name: str, given: Checkpoint) -> Checkpoint:
    """Return a checkpoint; raise InputError if its file is not there, or its name is a demo model's.

    A name of timm's is that of the model that the weights are of: they take the place of timm's.
    """
    if name in catalog.DEMO_MODELS:
        right = "this is a model of the demo, whose own weights are used; choose another name"
        raise InputError("checkpoint", name, right)
    if given.model and name in catalog.MODELS and given.model.partition(".")[0] != name.partition(".")[0]:
        right = f"this is timm's name for another model than {given.model}; choose another name"
        raise InputError("checkpoint", name, right)
    if given.file.startswith(HUB):
        return given
    if not Path(given.file).expanduser().exists():
        raise InputError(f"checkpoint {name}", given.file, "there is no such file")
    if not given.model and not catalog.is_timm_name(name) and not Path(given.file).is_dir():
        right = f"say which model it is of: {name}=MODEL:FILE, such as {name}=deit_small_patch16_224:FILE"
        raise InputError("checkpoint", name, right)
    return given


def remember(session: str, resources: Resources) -> None:
    """Keep on this machine, outside the session, what it was run with; not being able to is no failure.

    The environment is not kept: a session resumes with that of who resumes it, and there are secrets in it.
    """
    path = paths.resources_file(session)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_bytes(msgspec.json.encode(msgspec.structs.replace(resources, environment={})))
    except OSError:
        return


def recall(session: str) -> Resources:
    """Return what a session was run with on this machine; empty where that is not known."""
    try:
        return msgspec.json.decode(paths.resources_file(session).read_bytes(), type=Resources)
    except (OSError, ValueError):
        return Resources()


def merge(before: Resources, given: Resources) -> Resources:
    """Return what was known with what is given now, which takes precedence."""
    changes: dict[str, Any] = {}
    for field in Resources.__struct_fields__:
        old, new = getattr(before, field), getattr(given, field)
        default = getattr(Resources(), field)
        changes[field] = {**old, **new} if isinstance(new, dict) else (old if new == default else new)
    return msgspec.structs.replace(given, **{**changes, "environment": given.environment})


def from_options(
    *,
    data: Path | None = None,
    ood: tuple[str, ...] = (),
    own_id: tuple[str, ...] = (),
    train: tuple[str, ...] = (),
    checkpoint: tuple[str, ...] = (),
    ema: bool = False,
    classes: Path | None = None,
    devices: str = "auto",
    any_accuracy: bool = False,
    crops: Path | None = None,
) -> Resources:
    """Return what a command line gave; raise InputError for what cannot be."""
    check_devices(devices)
    named = {
        "ood": parse_named("ood", ood),
        "id": parse_named("id", own_id),
        "train": parse_named("train", train),
    }
    twice = [name for role in named for name in named[role] if sum(name in of for of in named.values()) > 1]
    if twice:
        raise InputError("name", twice[0], "give every set a name of its own")
    return Resources(
        data=str(data.expanduser().resolve()) if data else "",
        ood=named["ood"],
        id=named["id"],
        train=named["train"],
        checkpoints=parse_checkpoints(checkpoint),
        ema=ema,
        classes=str(classes.expanduser().resolve()) if classes else "",
        devices=devices,
        any_accuracy=any_accuracy,
        crops=str(crops.expanduser().resolve()) if crops else "",
    )
