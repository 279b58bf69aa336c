"""From a file to the pixels that a model takes: to the last bit those of timm's evaluation transform."""

from __future__ import annotations

import errno
import hashlib
import io
import math
import os
import time
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError, features
from PIL import __version__ as pillow_version

from engine.images.source import Geometry, PassingError, Pixels

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
LARGEST = 100_000_000  # pixels; a file that claims more is a bomb
LONGEST_SHAPE = 40  # an image longer than this many times its width is cut before it is resized
WAITS = (0.1, 0.3, 1, 2)  # seconds before a file is tried again
# What is wrong with a file itself; anything else may pass.
OF_THE_FILE = {
    errno.ENOENT: "there is no such file",
    errno.EACCES: "it may not be read",
    errno.EPERM: "it may not be read",
    errno.EISDIR: "it is a folder",
    errno.ELOOP: "its links go round in circles",
    errno.ENAMETOOLONG: "its name is too long",
    errno.ENOTDIR: "there is no such file",
}
INTERPOLATIONS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
}

Image.MAX_IMAGE_PIXELS = LARGEST // 2  # Pillow refuses twice as many, and warns from here on
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def made_by() -> dict[str, str]:
    """Return everything that the pixels of a file depend on beside the file: libraries, and this module."""
    libraries = ("libjpeg_turbo", "jpg", "zlib", "zlib_ng", "libtiff", "webp", "jpg_2000", "avif")
    versions = {name: str(features.version(name)) for name in libraries if features.check(name)}
    source = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
    return {"pillow": pillow_version, **versions, "decode": source}


class UnreadableError(Exception):
    """An image cannot be read, ever: the message says why."""


def read_bytes(path: Path, root: Path, waits: tuple[float, ...] = WAITS, *, was_there: bool = False) -> bytes:
    """Return a file's content; raise UnreadableError, or PassingError if the disk below `root` fails.

    An error that may pass is tried again, with growing pauses. A file that is not there is the disk's
    fault where its root is not there either, or where the file was there before.
    """
    for wait in (*waits, None):
        try:
            data = path.read_bytes()
        except (OSError, ValueError) as error:
            number = getattr(error, "errno", None)
            if isinstance(error, ValueError):
                raise UnreadableError("its name cannot be used") from None
            if number in OF_THE_FILE and not was_there and os.access(root, os.R_OK):
                raise UnreadableError(OF_THE_FILE[number]) from None
            if wait is None:
                raise PassingError(number, f"{error.strerror} ({root.name}/{path.name})") from None
            time.sleep(wait)
        else:
            if not data:
                raise UnreadableError("it is empty")
            return data
    raise AssertionError("the last turn returns or raises")


def decode(data: bytes) -> Image.Image:
    """Return the image in a file's content in RGB, of an animation its first frame.

    Raises UnreadableError, or MemoryError where the machine, not the image, is at fault.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as file:
            return central(to_rgb(file))
    except UnidentifiedImageError:
        raise UnreadableError(f"it is not an image in a known format ({', '.join(FORMATS)})") from None
    except Image.DecompressionBombError:
        raise UnreadableError(f"it claims more than {LARGEST:,} pixels") from None
    except MemoryError:
        raise  # of the machine, not of the image
    except Exception as error:
        if "out of memory" in str(error):  # what Pillow makes of its codecs' own lack of memory
            raise MemoryError from None
        # Pillow's readers raise whatever a damaged file makes them stumble over.
        raise UnreadableError(f"it cannot be decoded ({error})") from None


def prepare(image: Image.Image, geometry: Geometry) -> Pixels:
    """Resize and crop to uint8 (3, size, size), as torchvision's Resize and CenterCrop do under timm."""
    width, height = image.size
    target = math.floor(geometry.size / geometry.crop)
    if geometry.mode == "squash":
        size = (target, target)
    else:
        shorter, longer = min(width, height), max(width, height)
        size = (target, int(target * longer / shorter))
        size = size if width <= height else size[::-1]
    if size != image.size:
        image = image.resize(size, INTERPOLATIONS[geometry.interpolation])
    left = round((image.width - geometry.size) / 2.0)
    top = round((image.height - geometry.size) / 2.0)
    cut = image.crop((left, top, left + geometry.size, top + geometry.size))
    return np.asarray(cut, np.uint8).transpose(2, 0, 1)


def to_rgb(image: Image.Image) -> Image.Image:
    """Return an image in RGB; 16-bit grey is scaled down, where a plain conversion would saturate."""
    if image.mode.startswith("I") or image.mode == "F":
        grey = np.asarray(image, np.float64)
        scaled = grey / 257 if grey.max(initial=0) > 255 else grey
        image = Image.fromarray(np.clip(scaled, 0, 255).astype(np.uint8))
    return image.convert("RGB")


def central(image: Image.Image) -> Image.Image:
    """Cut a very long image to its middle: the rest would only be resized to be thrown away."""
    width, height = image.size
    side = min(width, height) * LONGEST_SHAPE
    left, top = max(0, (width - side) // 2), max(0, (height - side) // 2)
    return image.crop((left, top, width - left, height - top)) if left or top else image
