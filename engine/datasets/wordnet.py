"""WordNet identifiers of ImageNet-1k's classes in the names of folders and files."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path

_IDENTIFIER = re.compile(r"(?<![a-z0-9])n\d{8}(?!\d)", re.IGNORECASE)


@cache
def synsets() -> dict[str, int]:
    """Return ImageNet-1k's labels by WordNet identifier, as timm ships them."""
    spec = find_spec("timm")
    assert spec is not None and spec.submodule_search_locations
    path = Path(spec.submodule_search_locations[0], "data", "_info", "imagenet_synsets.txt")
    return {line: label for label, line in enumerate(path.read_text("utf-8").split())}


def label_of(name: str) -> int:
    """Return the label of the WordNet identifier in a name, the last one if there are several.

    The identifier may be in upper case and have words beside it: `n01440764_tench`,
    `ILSVRC2012_val_00000293_n01440764.JPEG`. Returns -1 if there is none of ImageNet-1k.
    """
    identifiers = _IDENTIFIER.findall(name)
    return synsets().get(identifiers[-1].lower(), -1) if identifiers else -1


def label_of_path(path: str) -> int:
    """Return the label by the nearest folder with an identifier, else by the file's name; else -1."""
    folders, _, file = path.rpartition("/")
    label = _of_folders(folders)
    return label if label >= 0 else label_of(file)


def are_classes(names: list[str]) -> bool:
    """Return whether most of these folders are named by identifiers of ImageNet-1k classes."""
    return bool(names) and sum(label_of(name) >= 0 for name in names) > len(names) / 2


@lru_cache(4096)  # paths come folder by folder
def _of_folders(path: str) -> int:
    return next((label for name in reversed(path.split("/")) if (label := label_of(name)) >= 0), -1)
