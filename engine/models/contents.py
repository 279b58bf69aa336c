"""The contents of a file of weights, read without running any of it; other kinds of files are named.

Pickles are read by torch's weights-only reader with an allow-list. Objects of other classes become inert
placeholders, so that weights stored with a configuration can be read without it.
"""

from __future__ import annotations

import argparse
import datetime
import json
import pathlib
import pickle
import types
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy._core import multiarray
from safetensors import SafetensorError, safe_open
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from engine.text import counted

SAVE = "save only the weights: torch.save(model.state_dict(), FILE) or safetensors"
_LARGEST_TEXT = 50_000_000  # bytes of an index of shards


class FormError(Exception):
    """A file holds no weights that can be read; the message says what it is and what would work."""


class Placeholder:
    """An object of an unknown class: what it was built from, without any behaviour."""

    name = ""

    def __init__(self, *args: object, **kwargs: object) -> None:
        """Accept and ignore any arguments."""

    def __setstate__(self, state: object) -> None:
        if isinstance(state, dict):
            self.__dict__.update({key: value for key, value in state.items() if isinstance(key, str)})


def _as_dict(*args: object) -> OrderedDict[Any, Any]:
    """Replace a kind of dictionary by one that torch's reader can fill."""
    return OrderedDict()


_NUMPY = [
    (function, f"{package}.multiarray.{name}")
    for name, function in (("scalar", multiarray.scalar), ("_reconstruct", multiarray._reconstruct))
    for package in ("numpy.core", "numpy._core")
]
ALLOWED: list[Any] = [
    argparse.Namespace,
    types.SimpleNamespace,
    datetime.datetime,
    datetime.date,
    datetime.timedelta,
    datetime.timezone,
    list,
    frozenset,
    slice,
    np.ndarray,
    np.dtype,
    *{type(np.dtype(kind)) for kind in "?bBhHiIlLqQefdgFDGSUMmV"},
    *_NUMPY,
    *(
        (getattr(pathlib, f"Pure{system}Path"), f"{module}.{pure}{system}Path")
        for module in ("pathlib", "pathlib._local")
        for system in ("Posix", "Windows")
        for pure in ("", "Pure")
    ),
    *((pathlib.PurePath, f"{module}.{name}") for module in ("pathlib", "pathlib._local")
      for name in ("Path", "PurePath")),
    (_as_dict, "collections.defaultdict"),
]  # fmt: skip


def read(path: Path) -> Any:
    """Return the contents of a file; raise FormError if it holds no weights, OSError if it is missing."""
    with path.open("rb") as file:
        start = file.read(512)
    if form := _named(path, start):
        raise FormError(form)
    if path.name.endswith(".index.json"):
        return _sharded(path)
    if len(start) > 8 and start[8:9] == b"{" and int.from_bytes(start[:8], "little") < path.stat().st_size:
        return _safetensors(path)
    return _pickled(path)


def _named(path: Path, start: bytes) -> str:
    """Return what a file is and what would work, if it is not a file of weights; else an empty text."""
    for matches, words in _FORMS:
        if matches(path, start):
            return words
    return ""


def _text(start: bytes) -> str:
    return start.decode("utf-8", "ignore").lstrip("\ufeff \t\r\n").lower()


def _members(path: Path, start: bytes) -> list[str]:
    """Return the names in a zip archive, without their folder; an empty list if it is not an archive."""
    if not start.startswith(b"PK"):
        return []
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.partition("/")[2] or name for name in archive.namelist()]
    except (zipfile.BadZipFile, OSError, ValueError):
        return ["damaged"]


_FORMS: tuple[tuple[Callable[[Path, bytes], bool], str], ...] = (
    (lambda _, start: not start, "the file is empty; copy or download it again"),
    (
        lambda _, start: start.startswith(b"version https://git-lfs"),
        "it is a Git LFS pointer, not the file itself; fetch it: git lfs pull",
    ),
    (
        lambda _, start: _text(start).startswith(("<!doctype", "<html", "<?xml", "<head")),
        "it is a web page, perhaps from a failed download or a login; download the file again",
    ),
    (
        lambda _, start: start.startswith(b"\x89HDF\r\n\x1a\n"),
        "it is an HDF5 file from TensorFlow or Keras; convert it to PyTorch and " + SAVE,
    ),
    (
        lambda path, start: path.suffix in (".onnx", ".tflite", ".engine", ".plan", ".pb", ".mlmodel")
        or start[4:8] == b"TFL3",
        "it is a graph for another runtime (ONNX, TensorRT, TensorFlow or Core ML), which does not keep the "
        "names of weights; take the PyTorch model that it was exported from and " + SAVE,
    ),
    (
        lambda path, start: path.suffix in (".index", ".meta") or ".data-0000" in path.name,
        "it is part of a TensorFlow checkpoint; convert it to PyTorch and " + SAVE,
    ),
    (
        lambda path, _: path.suffix == ".msgpack",
        "it is a Flax checkpoint; convert it to PyTorch (from_flax=True in transformers) and " + SAVE,
    ),
    (
        lambda _, start: start.startswith(b"GGUF"),
        "it is a GGUF file of quantized weights; take the PyTorch model and " + SAVE,
    ),
    (
        lambda path, start: path.suffix == ".distcp" or path.name == ".metadata",
        "it is part of a distributed checkpoint; join it first: "
        "python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER FILE",
    ),
    (
        lambda path, start: "damaged" in _members(path, start),
        "the archive is incomplete or damaged; copy or download it again",
    ),
    (
        lambda path, start: "constants.pkl" in _members(path, start),
        "it is a TorchScript archive, a program rather than weights; load it where it was made "
        "(torch.jit.load) and " + SAVE,
    ),
    (
        lambda path, start: any(
            name.endswith(("model.weights.h5", "keras_metadata.pb")) for name in _members(path, start)
        ),
        "it is a Keras archive; convert it to PyTorch and " + SAVE,
    ),
    (
        lambda path, start: any(name.startswith("models/") for name in _members(path, start)),
        "it is an exported program (torch.export), not weights; " + SAVE,
    ),
    (
        lambda path, start: bool(_members(path, start))
        and not any(name.endswith((".npy", "data.pkl")) for name in _members(path, start)),
        "it is an archive of other files; unpack it and give the file with the weights",
    ),
    (
        lambda path, start: start.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!"))
        or (start[257:262] == b"ustar" and not path.name.endswith(".pth.tar")),
        "it is a compressed archive; unpack it and give the file with the weights",
    ),
    (
        lambda path, start: start.startswith(b"\x93NUMPY"),
        "it is a single array; a file with all weights by name is needed",
    ),
    (
        lambda path, start: path.suffix in (".json", ".yaml", ".yml", ".txt", ".md", ".py", ".toml")
        and not path.name.endswith(".index.json"),
        "it is a text file; give the file with the weights, or the folder",
    ),
)  # fmt: skip


def _safetensors(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
            if "qood" in about:
                raise FormError("this program quantized it; run it with 'qood-tui quantize --quantized FILE'")
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError) as error:
        raise FormError(f"the safetensors file is incomplete or damaged ({error}); copy it again") from None


def _sharded(index: Path) -> dict[str, Any]:
    """Return the weights of all files that an index names, which are in the same folder."""
    try:
        if index.stat().st_size > _LARGEST_TEXT:
            raise ValueError("it is too large")
        names = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
        if any(Path(name).name != name for name in names):
            raise ValueError("it names files outside its folder")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FormError(f"it is not an index of shards with a 'weight_map' ({error})") from None
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing:
        raise FormError(f"it is an index of {counted(len(names), 'file')}; missing: {', '.join(missing[:3])}")
    parts: dict[str, Any] = {}
    for name in names:
        part = read(index.parent / name)
        if not isinstance(part, Mapping):
            raise FormError(f"{name}, named in the index, holds no weights by name")
        parts |= part
    return parts


def _pickled(path: Path) -> Any:
    """Return what torch.save wrote, using torch's weights-only reader."""
    try:
        with safe_globals(ALLOWED):
            strange = get_unsafe_globals_in_checkpoint(str(path))
    except (ValueError, RuntimeError, OSError, pickle.UnpicklingError, EOFError, IndexError, KeyError):
        strange = []  # the older format without an archive, which cannot be inspected first
    stand_ins = [(_stand_in(name), name) for name in sorted(strange)]
    try:
        with safe_globals([*ALLOWED, *stand_ins]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # A damaged pickle may make torch raise anything; none of it has been run.
        raise FormError(_why_not(path, error)) from None


def _stand_in(name: str) -> type[Any]:
    """Return a class for objects of the class `name`; a dictionary if its name sounds like one."""
    kind: type[Any] = type("Placeholder", (Placeholder,), {"name": name})
    if any(word in name.rpartition(".")[2].lower() for word in ("dict", "cfg", "config", "munch")):
        kind = type("Dictionary", (), {"__new__": lambda cls, *args, **kwargs: OrderedDict()})
    return kind


def _why_not(path: Path, error: Exception) -> str:
    message = " ".join(str(error).split())
    message = message.partition("WeightsUnpickler error: ")[2] or message
    foreign = message.partition("GLOBAL ")[2].partition(" ")[0]
    if foreign:
        return f"it needs code to be read ({foreign}), which is never run; where it was made, {SAVE}"
    if "call reduce" in message or "create new object" in message:
        return f"it needs code to be read, which is never run; where it was made, {SAVE}"
    if "PytorchStreamReader" in message or "central directory" in message:
        return "the archive is incomplete or damaged; copy or download it again"
    with path.open("rb") as file:
        start = file.read(512)
    if start[:1] not in (b"\x80", b"P"):
        return f"it is not a file of weights (it begins with {start[:12]!r}); {SAVE}"
    return f"it cannot be read safely ({type(error).__name__}: {message[:160]}); {SAVE}"


def module_state(module: Placeholder, prefix: str = "") -> dict[str, torch.Tensor]:
    """Return parameters and buffers of a pickled module by name, as its `state_dict` would."""
    state: dict[str, torch.Tensor] = {}
    held = module.__dict__
    transient = held.get("_non_persistent_buffers_set") or ()
    for kind in ("_parameters", "_buffers"):
        for name, value in (held.get(kind) or {}).items():
            if isinstance(value, torch.Tensor) and name not in transient:
                state[f"{prefix}{name}"] = value.detach()
    for name, child in (held.get("_modules") or {}).items():
        if isinstance(child, Placeholder):
            state |= module_state(child, f"{prefix}{name}.")
    return state
