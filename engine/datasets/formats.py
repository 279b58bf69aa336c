"""Which files are images: by a name that only images have, else by what is in them."""

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
# Taken by their name: no file is opened for them, so that a million are listed in seconds.
EXTENSIONS = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".pjpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".avif", ".tga", ".qoi"),
}
# Passed over by their name: what lies beside images in as many files, such as their labels.
OTHER_EXTENSIONS = {
    *(".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".md", ".html", ".htm", ".py"),
    *(".npy", ".npz", ".mat", ".pkl", ".pt", ".pth", ".bin", ".safetensors", ".h5", ".hdf5", ".parquet"),
    *(".tar", ".gz", ".tgz", ".zip", ".7z", ".rar", ".xz", ".bz2", ".pdf", ".mp4", ".avi", ".mov", ".db"),
}
HEAD = 16  # bytes that Pillow tells a format by
# Starts that nothing else has: such a file is an image even if it is damaged.
_CERTAIN = {"JPEG", "PNG", "WEBP", "GIF", "TIFF", "JPEG2000", "AVIF"}


def is_image(name: str) -> bool | None:
    """Return by its name whether a file is an image, in upper or lower case; None where that is open."""
    extension = os.path.splitext(name)[1].lower()  # noqa: PTH122
    if extension in EXTENSIONS:
        return True
    return False if extension in OTHER_EXTENSIONS else None


def holds_image(path: str) -> bool:
    """Return whether Pillow takes the content of a file for an image, reading no more than it must.

    One that cannot be read counts as one, so that reading it says why.
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
    """Return Pillow's own tests of a file's first bytes by format."""
    from PIL import Image

    Image.init()
    tests = {name: Image.OPEN[name][1] for name in FORMATS if name in Image.OPEN}
    return {name: accepts for name, accepts in tests.items() if accepts is not None}


def _has_header(path: str, formats: list[str]) -> bool:
    """Return whether a file that begins like an image goes on like one: two bytes may be those of a text."""
    from PIL import Image

    try:
        with Image.open(path, formats=formats):
            return True
    except Image.DecompressionBombError:
        return True
    except Exception:
        # Pillow's readers raise whatever a file that is none of theirs makes them stumble over.
        return False
