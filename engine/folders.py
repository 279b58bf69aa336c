"""The user's own image folders, by name."""

from __future__ import annotations

import re
from pathlib import Path

from engine import catalog
from engine.errors import InputError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")

EXTENSIONS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}


def find_images(folder: str, name: str) -> list[Path]:
    """List the image files below `folder` in a fixed order; raise InputError where there are none."""
    try:
        folder.encode()
        root = Path(folder).expanduser()
        if not root.is_dir():
            raise InputError(
                f"ood {name}", folder, "a folder of images is needed, there is none of that name"
            )
        found = sorted(
            path
            for path in root.rglob("*")
            if path.suffix.lower() in EXTENSIONS and not path.name.startswith(".") and path.is_file()
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"ood {name}", repr(folder), f"it cannot be read ({error})") from None
    if not found:
        raise InputError(f"ood {name}", folder, f"it holds no image ({', '.join(sorted(EXTENSIONS))})")
    return found


def parse_folders(given: tuple[str, ...]) -> dict[str, str]:
    """Read `NAME=FOLDER` arguments and check that each folder holds images; raise InputError."""
    folders: dict[str, str] = {}
    for text in given:
        name, sign, folder = text.partition("=")
        if not sign or not _NAME.fullmatch(name):
            raise InputError("ood", text, "give NAME=FOLDER, the name in letters, digits, '.', '_' and '-'")
        if name in catalog.SETS or name in folders:
            raise InputError("ood", name, "this name is taken already, choose another")
        find_images(folder, name)
        folders[name] = str(Path(folder).expanduser().resolve())
    return folders
