"""Arrays of the user's own from .npy and .npz files, which may be anything."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError

UNREADABLE = (  # what NumPy raises for a file that is not its own
    OSError,
    ValueError,
    EOFError,
    KeyError,
    TypeError,
    AttributeError,
    SyntaxError,
    RuntimeError,
    NotImplementedError,
    MemoryError,
    zlib.error,
    zipfile.BadZipFile,
    tokenize.TokenError,
)


def read_array(path: Path, field: str) -> NDArray[Any]:
    """Return the array in an .npy file; raise InputError naming `field` if it cannot be read."""
    array = _load(path, field)
    if not isinstance(array, np.ndarray):
        raise InputError(field, str(path), "one array in a .npy file is needed, not several")
    return array


def read_arrays(path: Path, field: str, names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Return those of the named arrays that an .npz file holds; raise InputError naming a bad one."""
    file = _load(path, field)
    if isinstance(file, np.ndarray):
        raise InputError(field, str(path), "an .npz file of named arrays is needed, not a single one")
    arrays = {}
    with file:
        for name in names:
            if name in file.files:
                try:
                    arrays[name] = file[name]
                except UNREADABLE as error:
                    raise InputError(name, str(path), f"it cannot be read ({short(error)})") from None
                if not isinstance(arrays[name], np.ndarray):
                    raise InputError(name, str(path), "it is not an array")
    return arrays


def read_named(path: Path, field: str) -> dict[str, NDArray[Any]]:
    """Return all arrays of a file by name, that of an .npy file without one.

    Raises InputError naming `field` if one cannot be read.
    """
    file = _load(path, field)
    if isinstance(file, np.ndarray):
        return {"": file}
    arrays = {}
    with file:
        for name in file.files:
            try:
                arrays[name] = file[name]
            except UNREADABLE as error:
                raise InputError(field, f"{path}: {name}", f"it cannot be read ({short(error)})") from None
    return arrays


def _load(path: Path, field: str) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(field, str(path), "there is no such file") from None
    except UNREADABLE as error:
        raise InputError(field, str(path), f"a NumPy array file is needed ({short(error)})") from None


def short(error: BaseException) -> str:
    """Return what an error says, in one line."""
    message = (isinstance(error, OSError) and error.strerror) or str(error)
    return " ".join(message.split())[:120] or type(error).__name__
