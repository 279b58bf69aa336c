"""What one machine adds to a plan: where image sets and weights are, and which devices to use.

None of this affects a number, so none of it is in the plan, and no path is stored in a session.
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

HUB = ("hf-hub:", "hf_hub:")  # prefixes of the name of a repository
_KINDS = "|".join(catalog.ACCELERATORS)
_ONE = rf"(cpu|({_KINDS}):\d+)"
_DEVICES = re.compile(rf"auto|{_KINDS}|{_ONE}(,{_ONE})*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


class Checkpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The user's weights in a file or folder; `model` is the timm model that they are for."""

    file: str  # or hf-hub:OWNER/NAME
    model: str = ""  # if empty, the checkpoint's own name is one of timm's
    ema: bool = False  # take its EMA weights, not its plain ones


class Resources(msgspec.Struct, frozen=True, kw_only=True):
    """Paths by their names in the plan, devices, and the environment of the request."""

    data: str = ""  # a root folder with image sets in known layouts
    ood: dict[str, str] = {}  # folders of images
    id: dict[str, str] = {}  # folders of classes, or lists of images with labels
    train: dict[str, str] = {}  # folders of classes for calibration and fitting
    checkpoints: dict[str, Checkpoint] = {}
    ema: bool = False  # take the EMA weights of all checkpoints
    classes: str = ""  # a file with the class names of the models, one per line
    devices: str = "auto"
    any_accuracy: bool = False  # continue even if accuracy is no better than guessing
    counts: dict[str, int] = {}  # of images in the sets on disk
    crops: str = ""  # a folder to keep prepared images in
    environment: dict[str, str] = {}

    def without_paths(self, text: str) -> str:
        """Return text with only the last part of every path, and no secrets, since others may read it."""
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
    """Return what a worker gets of this process's environment; raise InputError if it is not text."""
    return environment.carried(os.environ)


def check_devices(devices: str) -> None:
    """Raise InputError unless the text is a valid choice of devices."""
    if not _DEVICES.fullmatch(devices):
        one = catalog.ACCELERATORS[0]
        kinds = ", ".join(f"{kind} for all {catalog.DEVICES[kind].label}" for kind in catalog.ACCELERATORS)
        right = f"give auto, cpu, {kinds}, or some of them such as {one}:0,{one}:1"
        raise InputError("devices", devices, right)


def parse_named(field: str, arguments: tuple[str, ...]) -> dict[str, str]:
    """Parse `NAME=PATH` arguments; raise InputError for a name that is invalid or taken."""
    named: dict[str, str] = {}
    for text in arguments:
        name, sign, path = text.partition("=")
        if not sign or not path or not _NAME.fullmatch(name):
            right = "give NAME=PATH, with letters, digits, '.', '_' and '-' in the name"
            raise InputError(field, text, right)
        taken = () if field == "checkpoint" else catalog.SETS
        if name in taken or name in named or name == catalog.HELD_OUT:
            raise InputError(field, name, "this name is already taken; choose another")
        try:
            path.encode()
            named[name] = str(Path(path).expanduser().resolve())
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(f"{field} {name}", repr(path), f"it cannot be read ({error})") from None
    return named


def parse_checkpoints(arguments: tuple[str, ...]) -> dict[str, Checkpoint]:
    """Parse `NAME=FILE` or `NAME=MODEL:FILE` arguments; raise InputError if a file does not exist.

    A file may also be a folder, or a repository on the Hugging Face hub (`hf-hub:OWNER/NAME`).
    """
    checkpoints: dict[str, Checkpoint] = {}
    for text in arguments:
        name, sign, rest = text.partition("=")
        model, colon, file = rest.partition(":")
        if not colon or rest.startswith(HUB) or Path(rest).exists():
            model, file = "", rest
        if name in checkpoints:
            raise InputError("checkpoint", name, "give it only once")
        path = parse_named("checkpoint", (f"{name}{sign}{file}",))[name]
        path = file if file.startswith(HUB) else path
        checkpoints[name] = check_checkpoint(name, Checkpoint(path, model))
    return checkpoints


def check_checkpoint(name: str, checkpoint: Checkpoint) -> Checkpoint:
    """Return a checkpoint; raise InputError if its file does not exist or its name is a demo model's.

    A checkpoint named after a timm model holds weights for that model, which replace timm's.
    """
    model, file = checkpoint.model, checkpoint.file
    if name in catalog.DEMO_MODELS:
        right = "this is a demo model, which has its own weights; choose another name"
        raise InputError("checkpoint", name, right)
    if model and name in catalog.MODELS and model.partition(".")[0] != name.partition(".")[0]:
        right = f"this is timm's name for a model other than {model}; choose another name"
        raise InputError("checkpoint", name, right)
    if file.startswith(HUB):
        return checkpoint
    if not Path(file).expanduser().exists():
        raise InputError(f"checkpoint {name}", file, "there is no such file")
    if not model and not catalog.is_timm_name(name) and not Path(file).is_dir():
        right = f"name its model: {name}=MODEL:FILE, such as {name}=deit_small_patch16_224:FILE"
        raise InputError("checkpoint", name, right)
    return checkpoint


def remember(session: str, resources: Resources) -> None:
    """Store a session's resources on this machine, outside the session; failing to is no error.

    The environment is not stored: it holds secrets, and a resumed session gets a new one.
    """
    path = paths.resources_file(session)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_bytes(msgspec.json.encode(msgspec.structs.replace(resources, environment={})))
    except OSError:
        return


def recall(session: str) -> Resources:
    """Return the resources that a session was run with on this machine; empty if unknown."""
    try:
        return msgspec.json.decode(paths.resources_file(session).read_bytes(), type=Resources)
    except (OSError, ValueError):
        return Resources()


def merge(before: Resources, now: Resources) -> Resources:
    """Return the resources from before with those given now, which take precedence."""
    changes: dict[str, Any] = {}
    for field in Resources.__struct_fields__:
        old, new = getattr(before, field), getattr(now, field)
        default = getattr(Resources(), field)
        changes[field] = {**old, **new} if isinstance(new, dict) else (old if new == default else new)
    return msgspec.structs.replace(now, **{**changes, "environment": now.environment})


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
    """Return the resources given on a command line; raise InputError if they cannot be used."""
    check_devices(devices)
    named = {
        "ood": parse_named("ood", ood),
        "id": parse_named("id", own_id),
        "train": parse_named("train", train),
    }
    twice = [name for role in named for name in named[role] if sum(name in of for of in named.values()) > 1]
    if twice:
        raise InputError("name", twice[0], "give every set its own name")
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
