"""Vision transformers of timm by tag, and checkpoints of the user's own, from files or a weight cache."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import timm
import torch
from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
from timm.data import resolve_model_data_config
from timm.models import load_state_dict
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor
from tqdm import tqdm

from engine.errors import InputError, unknown_name
from engine.images.decode import INTERPOLATIONS
from engine.images.source import Geometry
from engine.models.loaded import Loaded, Tell
from engine.resources import Checkpoint, Resources

CACHED = ("model.safetensors", "pytorch_model.bin", "open_clip_pytorch_model.bin")
MODES = ("center", "squash")


def load_model(name: str, resources: Resources, tell: Tell) -> Loaded:
    """Return the model `name`: a checkpoint of the user's, or weights of timm's by tag.

    timm's come from the Hugging Face cache, else from torch's, else they are downloaded. Raises InputError
    if `name` is no plain vision transformer of timm, or if its weights are not to be had.
    """
    given = resources.checkpoints.get(name)
    if given is not None and Path(given.file).is_dir():
        return _of_folder(name, given)
    architecture = (given.model if given else "") or name
    if not timm.is_model(architecture.split(".")[0]):
        near = [*timm.list_models("vit_*"), *timm.list_models("deit*"), *timm.list_pretrained("*vit*")]
        raise unknown_name("models", architecture, near)
    if given is not None:
        return _of_file(name, architecture, Path(given.file), f"file {Path(given.file).name}")
    try:
        timm.get_pretrained_cfg(architecture, allow_unregistered=False)
    except RuntimeError:
        raise _no_tag(architecture) from None
    file, origin = _weights(architecture, tell)
    return _of_file(name, architecture, file, origin)


def _of_file(name: str, architecture: str, file: Path, origin: str) -> Loaded:
    """Build a model for the weights in a file: as many classes and pixels as they are for."""
    field = f"checkpoint {name}"
    try:
        if file.suffix == ".npz":
            with np.load(file, allow_pickle=False) as arrays:
                arguments = {"num_classes": int(arrays["head/kernel"].shape[1])}
            overlay: dict[str, Any] = {"file": str(file), "custom_load": True}
        else:
            state = load_state_dict(str(file))
            overlay = {"state_dict": state}
            arguments = _arguments(architecture, state)
        size = arguments.get("img_size")
        overlay |= {"num_classes": arguments["num_classes"]} | (
            {"input_size": (3, size, size)} if size else {}
        )
        model = timm.create_model(architecture, pretrained=True, pretrained_cfg_overlay=overlay, **arguments)
    except FileNotFoundError:
        raise InputError(field, str(file), "there is no such file") from None
    except Exception as error:
        # Whatever is in the file, timm and torch raise anything; weights_only keeps it from being run.
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise InputError(field, str(file), f"weights of {architecture} are needed ({reason})") from None
    return _loaded(name, model, origin, architecture, arguments)


def _of_folder(name: str, given: Checkpoint) -> Loaded:
    """Return a model from a folder of config.json and weights, as timm and the Hugging Face hub save it."""
    folder = Path(given.file)
    try:
        about = msgspec.json.decode((folder / "config.json").read_bytes(), type=dict[str, Any])
        architecture = str(about["architecture"])
        arguments = {"num_classes": int(about.get("num_classes", 1000)), **about.get("model_args", {})}
        model = timm.create_model(f"local-dir:{folder}", pretrained=True)
    except Exception as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        right = f"a folder with config.json and model.safetensors, as timm saves it, is needed ({reason})"
        raise InputError(f"checkpoint {name}", given.file, right) from None
    return _loaded(name, model, f"folder {folder.name}", architecture, arguments)


def _loaded(name: str, model: Any, origin: str, architecture: str, arguments: dict[str, Any]) -> Loaded:
    if not isinstance(model, VisionTransformer):
        kind = type(model).__name__
        raise InputError("models", name, f"it is a {kind}; a plain vision transformer of timm is needed")
    config = resolve_model_data_config(model)
    channels, height, width = config["input_size"]
    mode, interpolation = config["crop_mode"] or "center", config["interpolation"]
    if channels != 3 or height != width or mode not in MODES or interpolation not in INTERPOLATIONS:
        shape = f"{config['input_size']}, {mode}, {interpolation}"
        right = f"square RGB images, cut by {' or '.join(MODES)}, are needed"
        raise InputError("models", name, f"its images are {shape}; {right}")
    return Loaded(
        model.float().eval().requires_grad_(False),
        Geometry(height, float(config["crop_pct"]), interpolation, mode),
        tuple(config["mean"]),
        tuple(config["std"]),
        model.num_classes,
        origin,
        architecture,
        arguments,
    )


def _arguments(architecture: str, state: dict[str, Tensor]) -> dict[str, Any]:
    """Return with how many classes, and for how many pixels, a model must be built to take a state."""
    state = state.get("model", state) if isinstance(state.get("model"), dict) else state  # type: ignore[assignment]
    head = state.get("head.weight")
    if head is None:
        raise ValueError("they have no classification head, 'head.weight'")
    arguments: dict[str, Any] = {"num_classes": len(head)}
    blank = timm.create_model(architecture, pretrained=False, num_classes=2)
    position = state.get("pos_embed")
    if isinstance(blank, VisionTransformer) and position is not None and blank.pos_embed is not None:
        own = blank.pos_embed.shape[1]
        if position.shape[1] != own:
            prefix = own - math.prod(blank.patch_embed.grid_size)
            side = math.isqrt(position.shape[1] - prefix)
            arguments["img_size"] = side * blank.patch_embed.patch_size[0]
    return arguments


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
                of = f" of {self.total / 1e6:.0f}" if self.total else ""
                tell(f"{tag}: {self.n / 1e6:.0f}{of} MB downloaded")
            return shown

    return Told


def _no_tag(name: str) -> InputError:
    architecture = name.split(".")[0]
    tags = timm.list_pretrained(f"{architecture}.*")
    right = f"choose from {', '.join(tags)}" if tags else "timm has no weights for it; give --checkpoint"
    return InputError("models", name, right)
