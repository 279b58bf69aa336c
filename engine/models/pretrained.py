"""timm's vision transformers by tag and the user's own checkpoints, from files or a weight cache."""

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
from engine.models.loaded import LoadedModel, Log
from engine.plan.resources import Resources
from engine.protocol.events import WeightsTaken
from engine.text import in_bytes

CACHED = ("model.safetensors", "pytorch_model.bin", "open_clip_pytorch_model.bin")


def load_model(name: str, resources: Resources, log: Log) -> LoadedModel:
    """Return the model `name`: one of the user's checkpoints, or timm's weights by tag.

    timm's weights come from the Hugging Face cache, else from torch's, else they are downloaded. Raises
    InputError if `name` is not a plain vision transformer of timm, or if its weights are unavailable.
    """
    checkpoint = resources.checkpoints.get(name)
    if checkpoint is not None:
        ema = checkpoint.ema or resources.ema
        return load_checkpoint(name, checkpoint.file, log, model=checkpoint.model, ema=ema)
    check_known(name)
    try:
        timm.get_pretrained_cfg(name, allow_unregistered=False)
    except RuntimeError:
        raise _no_tag(name) from None
    file, origin = _weights(name, log)
    return _of_tag(name, file, origin)


def _of_tag(name: str, file: Path, origin: str) -> LoadedModel:
    """Return a timm model by tag; timm itself translates names that differ in the authors' weights."""
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


def _weights(tag: str, log: Log) -> tuple[Path, str]:
    """Return the file of a tag's weights, downloaded if necessary, and where it is from."""
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
        progress = _progress(tag, log)
        path = hf_hub_download(repository, about.hf_hub_filename or CACHED[0], tqdm_class=progress)
    except Exception as error:
        reason = str(error).split("\n")[0][:200]
        cache = constants.HF_HUB_CACHE
        right = (
            f"its weights are not in the cache ({cache}) and cannot be downloaded ({reason}); "
            f"copy the cache from a machine that has them, or give --checkpoint {tag}=FILE"
        )
        raise InputError("models", tag, right) from None
    return _from_hub(repository, path)


def _from_hub(repository: str, path: str) -> tuple[Path, str]:
    file = Path(path)  # .../snapshots/REVISION/NAME
    return file, f"Hugging Face {repository}, revision {file.parent.name[:12]}"


def _progress(tag: str, log: Log) -> type[tqdm[Any]]:
    """Return a progress bar that reports every tenth of a download in words instead of drawing."""

    class Progress(tqdm):  # type: ignore[misc]
        reported = -1

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)
            super().__init__(*args, **{**kwargs, "disable": False, "file": open(os.devnull, "w")})  # noqa: SIM115, PTH123

        def update(self, n: float | None = 1) -> bool | None:
            shown: bool | None = super().update(n)
            tenth = int(10 * self.n / self.total) if self.total else 0
            if tenth > self.reported:
                self.reported = tenth
                of_total = f" of {in_bytes(self.total)}" if self.total else ""
                log(f"{tag}: {in_bytes(self.n)}{of_total} downloaded")
            return shown

    return Progress


def _no_tag(name: str) -> InputError:
    architecture = name.split(".")[0]
    tags = timm.list_pretrained(f"{architecture}.*")
    right = f"choose from {', '.join(tags)}" if tags else "timm has no weights for it; give --checkpoint"
    return InputError("models", name, right)
