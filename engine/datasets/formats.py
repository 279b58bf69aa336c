"""Which files are images: by their extension, or else by their content."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

# What Pillow decodes by itself. EPS would start Ghostscript; MPEG, WMF, HDF5, GRIB and BUFR are only named.
FORMATS = (
    "JPEG",
    "PNG",
    "WEBP",
    "BMP",
    "GIF",
    "TIFF",
    "PPM",
    "JPEG2000",
    "AVIF",
    "DIB",
    "TGA",
    "ICO",
    "ICNS",
    "QOI",
    "PSD",
    "DDS",
    "PCX",
    "DCX",
    "SGI",
    "SUN",
    "FITS",
    "XBM",
    "XPM",
    "MSP",
    "FLI",
    "BLP",
    "CUR",
)
# Images by their name: no file is opened, so that a million are listed in seconds.
EXTENSIONS = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".pjpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".avif", ".tga", ".qoi"),
}
# Skipped by their name: what often lies beside images, such as their labels.
OTHER_EXTENSIONS = {
    *(".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".md", ".html", ".htm", ".py"),
    *(".npy", ".npz", ".mat", ".pkl", ".pt", ".pth", ".bin", ".safetensors", ".h5", ".hdf5", ".parquet"),
    *(".tar", ".gz", ".tgz", ".zip", ".7z", ".rar", ".xz", ".bz2", ".pdf", ".mp4", ".avi", ".mov", ".db"),
}
HEAD = 16  # bytes by which Pillow recognises a format
# Formats whose first bytes nothing else has: such a file is an image even if it is damaged.
_CERTAIN = {"JPEG", "PNG", "WEBP", "GIF", "TIFF", "JPEG2000", "AVIF"}


def is_image(name: str) -> bool | None:
    """Return whether a file is an image by its name, in any case; None if its name does not say."""
    extension = os.path.splitext(name)[1].lower()  # noqa: PTH122
    if extension in EXTENSIONS:
        return True
    return False if extension in OTHER_EXTENSIONS else None


def holds_image(path: str) -> bool:
    """Return whether Pillow recognises a file as an image, reading no more than necessary.

    A file that cannot be read counts as one, so that reading it reports why.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            head = file.read(HEAD)
    except OSError:
        return True
    formats = [name for name, accepts in _accepting().items() if head and accepts(head)]
    return bool(_CERTAIN.intersection(formats)) or (bool(formats) and _has_header(path, formats))


@cache
def _accepting() -> dict[str, Any]:
    """Return Pillow's own tests of a file's first bytes, by format."""
    from PIL import Image

    Image.init()
    tests = {name: Image.OPEN[name][1] for name in FORMATS if name in Image.OPEN}
    return {name: accepts for name, accepts in tests.items() if accepts is not None}


def _has_header(path: str, formats: list[str]) -> bool:
    """Return whether a file that begins like an image continues like one: two bytes may be of a text."""
    from PIL import Image

    try:
        with Image.open(path, formats=formats):
            return True
    except Image.DecompressionBombError:
        return True
    except Exception:
        # Pillow's readers may raise anything for a file that is not theirs.
        return False
