"""Vision transformers of timm by tag, and checkpoints of the user's own, from files or a weight cache."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
from tqdm import tqdm

from engine.errors import InputError
from engine.models import contents
from engine.models.build import loaded_of, overlay_of
from engine.models.checkpoints import check_known, load_checkpoint, of_google, reason_of
from engine.models.loaded import LoadedModel, Tell
from engine.plan.resources import Resources
from engine.protocol.events import WeightsTaken
from engine.text import in_bytes

CACHED = ("model.safetensors", "pytorch_model.bin", "open_clip_pytorch_model.bin")


def load_model(name: str, resources: Resources, tell: Tell) -> LoadedModel:
    """Return the model `name`: a checkpoint of the user's, or weights of timm's by tag.

    timm's come from the Hugging Face cache, else from torch's, else they are downloaded. Raises InputError
    if `name` is no plain vision transformer of timm, or if its weights are not to be had.
    """
    given = resources.checkpoints.get(name)
    if given is not None:
        ema = given.ema or resources.ema
        return load_checkpoint(name, given.file, tell, model=given.model, ema=ema)
    check_known(name)
    try:
        timm.get_pretrained_cfg(name, allow_unregistered=False)
    except RuntimeError:
        raise _no_tag(name) from None
    file, origin = _weights(name, tell)
    return _of_tag(name, file, origin)


def _of_tag(name: str, file: Path, origin: str) -> LoadedModel:
    """Return a model of timm's by tag; timm translates what the authors of the weights named otherwise."""
    try:
        if file.suffix == ".npz":
            return of_google(name, name, file, origin, None)
        held = contents.read(file)
        entry = next((key for key in ("state_dict", "model") if isinstance(held.get(key), dict)), "")
        state = held[entry] if entry else held
        beside = tuple(str(key) for key in held if key != entry) if entry else ()
        arguments = {"num_classes": len(state["head.weight"])}
        overlay = {"state_dict": state, **overlay_of(arguments)}
        model = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **arguments)
    except Exception as error:
        raise InputError("models", name, f"{origin}: {reason_of(error)}") from None
    about = WeightsTaken(entry=f"entry {entry!r}" if entry else "", beside=beside)
    return loaded_of(name, model, origin, name, arguments)._replace(weights=about)


def _weights(tag: str, tell: Tell) -> tuple[Path, str]:
    """Return the file of a tag's weights, downloaded if need be, and where it is from."""
    about = timm.get_pretrained_cfg(tag)
    repository = about.hf_hub_id
    if repository:
        for name in (about.hf_hub_filename or CACHED[0], *CACHED):
            path = try_to_load_from_cache(repository, name)
            if isinstance(path, str):
                return _from_hub(repository, path)
    if about.url:
        path = Path(torch.hub.get_dir()) / "checkpoints" / Path(about.url).name
        if path.is_file():
            return path, f"torch cache {path.name}"
    if not repository:
        raise _no_tag(tag)
    try:
        told = _teller(tag, tell)
        path = hf_hub_download(repository, about.hf_hub_filename or CACHED[0], tqdm_class=told)
    except Exception as error:
        reason = str(error).split("\n")[0][:200]
        cache = constants.HF_HUB_CACHE
        right = (
            f"its weights are neither in the cache ({cache}) nor can they be downloaded ({reason}); "
            f"copy the cache of a machine that has them, or give --checkpoint {tag}=FILE"
        )
        raise InputError("models", tag, right) from None
    return _from_hub(repository, path)


def _from_hub(repository: str, path: str) -> tuple[Path, str]:
    file = Path(path)  # .../snapshots/REVISION/NAME
    return file, f"Hugging Face {repository}, revision {file.parent.name[:12]}"


def _teller(tag: str, tell: Tell) -> type[tqdm[Any]]:
    """Return a progress bar that tells of every tenth of a download in words instead of drawing."""

    class Told(tqdm):  # type: ignore[misc]
        said = -1

        def __init__(self, *given: Any, **named: Any) -> None:
            named.pop("name", None)
            super().__init__(*given, **{**named, "disable": False, "file": open(os.devnull, "w")})  # noqa: SIM115, PTH123

        def update(self, n: float | None = 1) -> bool | None:
            shown: bool | None = super().update(n)
            tenth = int(10 * self.n / self.total) if self.total else 0
            if tenth > self.said:
                self.said = tenth
                of_total = f" of {in_bytes(self.total)}" if self.total else ""
                tell(f"{tag}: {in_bytes(self.n)}{of_total} downloaded")
            return shown

    return Told


def _no_tag(name: str) -> InputError:
    architecture = name.split(".")[0]
    tags = timm.list_pretrained(f"{architecture}.*")
    right = f"choose from {', '.join(tags)}" if tags else "timm has no weights for it; give --checkpoint"
    return InputError("models", name, right)
