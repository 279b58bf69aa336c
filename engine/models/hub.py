"""Repositories on the Hugging Face hub by name: from the cache, else downloaded."""

from __future__ import annotations

import re
from pathlib import Path

from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache

from engine.errors import InputError
from engine.models.loaded import Log
from engine.plan.resources import HUB

_NAME = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")
DESCRIBED = ("config.json", "preprocessor_config.json")
WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


def is_hub(name: str) -> bool:
    """Return whether a name is that of a repository: `hf-hub:OWNER/NAME`, perhaps with `@REVISION`."""
    return name.startswith(HUB)


def fetch(name: str, log: Log) -> tuple[Path, str]:
    """Return the folder with a repository's configuration and weights, and where they are from.

    Raises InputError if they are not in the cache and cannot be downloaded.
    """
    match = _NAME.fullmatch(name.partition(":")[2])
    if not match:
        raise InputError("checkpoint", name, "give hf-hub:OWNER/NAME, or hf-hub:OWNER/NAME@REVISION")
    repository, revision = match.groups()
    reasons: list[str] = []

    def file(wanted: str) -> Path | None:
        path = try_to_load_from_cache(repository, wanted, revision=revision)
        if isinstance(path, str):
            return Path(path)
        try:
            return Path(hf_hub_download(repository, wanted, revision=revision))
        except Exception as error:
            reasons.append(" ".join(str(error).split())[:200])
            return None

    log("looking for weights in the Hugging Face cache or on the hub")
    described = [path for path in map(file, DESCRIBED) if path is not None]
    if not described or described[0].name != DESCRIBED[0]:
        raise _unavailable(name, DESCRIBED[0], reasons)
    weights = next((path for path in map(file, WEIGHTS) if path is not None), None)
    if weights is None:
        raise _unavailable(name, " or ".join(WEIGHTS[::2]), reasons)
    if weights.name.endswith(".index.json"):
        for part in sorted(set(re.findall(r'"([\w.-]+\.(?:safetensors|bin))"', weights.read_text("utf-8")))):
            if file(part) is None:
                raise _unavailable(name, part, reasons)
    return weights.parent, f"hub repository {repository}, revision {weights.parent.name[:12]}"


def _unavailable(name: str, wanted: str, reasons: list[str]) -> InputError:
    right = (
        f"its {wanted} is not in the cache ({constants.HF_HUB_CACHE}) and cannot be downloaded "
        f"({reasons[-1] if reasons else 'reason unknown'}); download the repository elsewhere and give "
        "its folder"
    )
    return InputError("checkpoint", name, right)
