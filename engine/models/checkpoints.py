"""The user's own checkpoints: weights in files, in folders that describe their model, or on the hub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import timm
import torch
from timm.data import IMAGENET_DEFAULT_MEAN, resolve_model_data_config

from engine import catalog
from engine.errors import InputError, unknown_name
from engine.models.build import (
    CLASS,
    NORM_EPS,
    arguments_for,
    build,
    fill,
    inferences,
    loaded_of,
    overlay_of,
    split,
)
from engine.models.contents import FormError
from engine.models.folders import ModelFolder, beside, file_in, is_google, read_folder
from engine.models.hub import fetch, is_hub
from engine.models.loaded import LoadedModel, Log
from engine.models.weights import TakenWeights, take
from engine.protocol.events import WeightsTaken

# Suffixes of the names of Google's arrays.
_HEAD, _PATCHES, _REPRESENTATION = "head/kernel", "embedding/kernel", "pre_logits/kernel"
_NOT_GOOGLES = "it holds arrays, but not those of Google's vision transformers with a head (head/kernel)"


def load_checkpoint(
    name: str,
    file: str,
    log: Log,
    *,
    model: str = "",
    ema: bool = False,
    arguments: Mapping[str, Any] | None = None,
) -> LoadedModel:
    """Return the model for weights in a file, a folder or a repository on the Hugging Face hub.

    The file's plain weights are taken, or its EMA weights with `ema`. `model` is the timm model they are for
    (by default the checkpoint's own name), built with `arguments`. Raises InputError if it cannot be read.
    """
    field = f"checkpoint {name}" if name else "checkpoint"
    if is_hub(file):
        folder, origin = fetch(file, log)
    else:
        folder, origin = Path(file).expanduser(), f"file {Path(file).name}"
    if folder.is_dir():
        origin = origin if is_hub(file) else f"folder {folder.name}"
        try:
            described = read_folder(folder)
        except FormError as error:
            raise InputError(field, file, str(error)) from None
        if described is not None:
            own = split(described.architecture)[0]
            if not described.is_translated and model and split(model)[0] != own:
                right = f"its config.json says that it is a {own}, not a {model}"
                raise InputError(field, file, right)
            if not described.is_translated:
                _check_name(name, own)
            return _with_warning(name, _of_described(field, file, described, origin, ema, arguments))
        if not model and name not in catalog.MODELS and not timm.is_model(split(name)[0]):
            right = f"it has no config.json; name its timm model: {name or 'NAME'}=MODEL:FOLDER"
            raise InputError(field, file, right)
        try:
            folder = file_in(folder)
        except FormError as error:
            raise InputError(field, file, str(error)) from None
    architecture = model or name
    if not architecture:
        raise InputError(field, file, "name the timm model that it is for")
    if architecture != CLASS:
        check_known(architecture)
    _check_name(name, architecture)
    loaded = _of_file(name or architecture, field, architecture, folder, origin, ema, arguments)
    return _with_warning(name, loaded)


def _check_name(name: str, architecture: str) -> None:
    """Raise InputError for a checkpoint under timm's name for another model."""
    if name and timm.is_model(split(name)[0]) and split(name)[0] != split(architecture)[0]:
        right = f"this is timm's name for a model other than {architecture}; choose another name"
        raise InputError("checkpoint", name, right)


def _with_warning(name: str, loaded: LoadedModel) -> LoadedModel:
    """Return a model with a warning if its weights replace published ones under the same name."""
    if name not in catalog.MODELS:
        return loaded
    warning = f"{name}: its weights are from {loaded.origin}, not the published ones"
    return loaded._replace(warnings=(*loaded.warnings, warning))


def _of_file(
    name: str,
    field: str,
    architecture: str,
    file: Path,
    origin: str,
    ema: bool,
    overrides: Mapping[str, Any] | None,
) -> LoadedModel:
    """Build a model for the weights in a file, with their number of classes and pixels."""
    try:
        if is_google(file):
            if ema:
                raise FormError("it holds no EMA weights; leave out --ema")
            overrides = _for_google(architecture, file, overrides or {})
            return of_google(name, architecture, file, origin, overrides)
        taken = take(file, ema=ema)
        hints = {**taken.hints, **beside(file)} if NORM_EPS in taken.hints else taken.hints
        explicit = {**hints, **(overrides or {})}
        arguments = arguments_for(architecture, taken.state, explicit)
        model = build(architecture, arguments, overlay_of(arguments))
        fill(model, taken.state)
    except FileNotFoundError:
        raise InputError(field, str(file), "there is no such file") from None
    except InputError:
        raise
    except Exception as error:
        # Depending on the file, timm and torch may raise anything; nothing in it is ever run.
        raise InputError(
            field, str(file), f"weights of {architecture} are needed; {reason_of(error)}"
        ) from None
    inferred = {key: value for key, value in arguments.items() if key not in explicit}
    about = msgspec.structs.replace(taken.about, notes=(*taken.about.notes, *inferences(inferred)))
    warnings = [f"{name}: {text}" for text in _doubts(architecture, taken, model)]
    return loaded_of(name, model, origin, architecture, arguments)._replace(
        class_names=taken.class_names, weights=about, warnings=tuple(warnings)
    )


def _doubts(architecture: str, taken: TakenWeights, model: Any) -> Iterator[str]:
    """Yield the signs that a file holds another model than assumed."""
    says = split(taken.architecture)[0]
    if timm.is_model(says) and says != split(architecture)[0]:
        yield f"the file says that its model is {taken.architecture}, but it is loaded as {architecture}"
    mean = resolve_model_data_config(model)["mean"] if hasattr(model, "pretrained_cfg") else ()
    if "torchvision" in taken.about.mapped and tuple(mean) != IMAGENET_DEFAULT_MEAN:
        yield (
            f"its names are torchvision's, which normalises images by the mean {IMAGENET_DEFAULT_MEAN}, but "
            f"{architecture} uses {tuple(mean)} (a DeiT of the same size uses torchvision's)"
        )


def _for_google(architecture: str, file: Path, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a model that takes Google's arrays without resampling.

    Raises FormError if there is no such timm model.
    """
    with np.load(file, allow_pickle=False) as arrays:
        by_end = {key.rpartition("/")[2]: key for key in arrays.files if key.endswith("pos_embedding")}
        by_end |= {
            end: key
            for key in arrays.files
            for end in (_HEAD, _PATCHES, _REPRESENTATION)
            if key.endswith(end)
        }
        if _HEAD not in by_end or _PATCHES not in by_end:
            raise FormError(_NOT_GOOGLES)
        if _REPRESENTATION in by_end and arrays[by_end[_REPRESENTATION]].any():
            raise FormError("it has a layer before its head (pre_logits) that timm no longer builds")
        state = {"head.weight": torch.from_numpy(arrays[by_end[_HEAD]]).T}
        patch = tuple(arrays[by_end[_PATCHES]].shape[:2])
        if "pos_embedding" in by_end:
            state["pos_embed"] = torch.from_numpy(arrays[by_end["pos_embedding"]])
    arguments = arguments_for(architecture, state, overrides)
    own = tuple(build(architecture, arguments).patch_embed.proj.weight.shape[2:])
    if own != patch:
        raise FormError(f"shapes differ: its patches have {patch} pixels, those of the model {own}")
    return arguments


def of_google(
    name: str, architecture: str, file: Path, origin: str, overrides: Mapping[str, Any] | None
) -> LoadedModel:
    """Return a model from Google's own arrays, which timm reads and resamples."""
    with np.load(file, allow_pickle=False) as arrays:
        heads = [key for key in arrays.files if key.endswith("head/kernel")]
        if not heads:
            raise FormError(_NOT_GOOGLES)
        arguments = {"num_classes": int(arrays[heads[0]].shape[-1]), **(overrides or {})}
        beside = tuple({key.split("/")[0] for key in arrays.files if "pre_logits" in key})
    overlay = {"file": str(file), "custom_load": True, **overlay_of(arguments)}
    model = timm.create_model(architecture, pretrained=True, pretrained_cfg_overlay=overlay, **arguments)
    about = WeightsTaken(beside=beside, mapped="from Google's arrays, by timm")
    return loaded_of(name, model, origin, architecture, arguments)._replace(weights=about)


def _of_described(
    field: str, file: str, described: ModelFolder, origin: str, ema: bool, overrides: Mapping[str, Any] | None
) -> LoadedModel:
    """Return the model of a folder that describes how to build it."""
    try:
        taken = take(described.weights, ema=ema)
        explicit = {**taken.hints, **described.arguments, **(overrides or {})}
        arguments = {"num_classes": len(taken.state["head.weight"]), **explicit}
        model = build(described.architecture, arguments, described.overlay or overlay_of(arguments))
        fill(model, taken.state)
    except InputError:
        raise
    except Exception as error:
        right = f"weights of the {described.architecture} in its config.json are needed; {reason_of(error)}"
        raise InputError(field, file, right) from None
    about = msgspec.structs.replace(taken.about, notes=(*taken.about.notes, *described.notes))
    loaded = loaded_of(field, model, origin, described.architecture, arguments)
    if described.geometry is not None:
        loaded = loaded._replace(geometry=described.geometry, mean=described.mean, std=described.std)
    names = described.class_names if len(described.class_names) == loaded.classes else taken.class_names
    return loaded._replace(class_names=names, weights=about)


def check_known(architecture: str) -> None:
    """Raise InputError for a name unknown to timm."""
    if not timm.is_model(split(architecture)[0]):
        near = [*timm.list_models("vit_*"), *timm.list_models("deit*"), *timm.list_pretrained("*vit*")]
        raise unknown_name("models", architecture, near)


def reason_of(error: Exception) -> str:
    """Return the message of an error, at a limited length."""
    return " ".join(str(error).split())[:400] or type(error).__name__
