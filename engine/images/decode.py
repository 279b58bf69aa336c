"""From encoded bytes to the pixels that a model takes, bit for bit those of timm's evaluation transform.

Only for very long images (`middle`) do they differ slightly: timm would enlarge all of the image first.
"""

from __future__ import annotations

import hashlib
import io
import math
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError, features
from PIL import __version__ as pillow_version

from engine.catalog import LARGEST_IMAGE
from engine.datasets.formats import FORMATS
from engine.datasets.sources.base import UnreadableError
from engine.images.image_set import Geometry, Pixels

LONGEST_SHAPE = 40  # of an image that is longer than this many times its width only the middle is resized
LONGEST_SIDE = 2_000_000  # pixels that are squashed: Pillow takes some 32 bytes of weights for each
DEPTHS = (8, 10, 12, 14, 16, 24, 32)  # bits that cameras and scanners give
MAX_SAMPLE, BITS_PER_SAMPLE = 281, 258  # tags of TIFF
INTERPOLATIONS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
}

warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def made_by() -> dict[str, str]:
    """Return all that the pixels of an image depend on besides its content: libraries and this module."""
    libraries = ("libjpeg_turbo", "jpg", "zlib", "zlib_ng", "libtiff", "webp", "jpg_2000", "avif")
    versions = {name: str(features.version(name)) for name in libraries if features.check(name)}
    source = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
    return {"pillow": pillow_version, **versions, "decode": source}


def decode(data: bytes, largest: int = LARGEST_IMAGE) -> Image.Image:
    """Return an encoded image in RGB, or the first frame of an animation.

    Raises UnreadableError, also for an image of more than `largest` pixels, or MemoryError if the machine,
    not the image, is at fault.
    """
    Image.MAX_IMAGE_PIXELS = largest  # Pillow warns from here on, and refuses twice as many
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as file:
            if file.width * file.height > largest:
                raise Image.DecompressionBombError
            return to_rgb(file, stated_depth(file, data))
    except UnidentifiedImageError:
        raise UnreadableError("it is not an image in a format that Pillow decodes") from None
    except Image.DecompressionBombError:
        raise UnreadableError(f"it has more than {largest:,} pixels (--largest-image)") from None
    except MemoryError:
        raise  # of the machine, not of the image
    except Exception as error:
        if "out of memory" in str(error):  # what Pillow makes of its codecs' own lack of memory
            raise MemoryError from None
        # Pillow's readers may raise anything for a damaged file.
        raise UnreadableError(f"it cannot be decoded ({error})") from None


def prepare(image: Image.Image, geometry: Geometry) -> Pixels:
    """Resize and crop to uint8 (3, size, size), as torchvision's Resize and CenterCrop do under timm."""
    image = middle(image, geometry)
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


def to_rgb(image: Image.Image, depth: int | None = None) -> Image.Image:
    """Return an image in RGB, with deep grey scaled to 8 bits, which a plain conversion would saturate.

    White is the greatest value of `depth` bits, or, if none is stated, of the smallest of `DEPTHS` that holds
    the image's greatest value; in floating point up to 1 it is 1.
    """
    if image.mode.startswith("I") or image.mode == "F":
        grey = np.nan_to_num(np.asarray(image, np.float64))
        highest = float(grey.max(initial=0))
        if image.mode == "F" and highest <= 1:
            scale = 1 / 255
        else:
            scale = (2 ** (depth or depth_of(highest)) - 1) / 255
        image = Image.fromarray(np.clip(grey / scale, 0, 255).astype(np.uint8))
    return image.convert("RGB")


def depth_of(highest: float) -> int:
    """Return the smallest of the usual depths, in bits, whose values go up to `highest`."""
    return next((bits for bits in DEPTHS if highest < 2**bits), DEPTHS[-1])


def stated_depth(image: Image.Image, data: bytes) -> int | None:
    """Return the bits of deep grey that a file states: PNG's sBIT, TIFF's largest or packed values.

    None if it states none, or fewer than it has: PNG asks programs to spread fewer bits over the whole
    sample, and not all do.
    """
    if not (image.mode.startswith("I") and image.format in ("PNG", "TIFF")):
        return None
    if image.format == "PNG":
        at = data.find(b"sBIT", 0, max(data.find(b"IDAT"), 0))
        bits = data[at + 4] if at > 0 else 0
        return (bits if _highest(image) < 2**bits else 16) if 8 <= bits <= 16 else None
    tags = getattr(image, "tag_v2", {})
    most, packed = tags.get(MAX_SAMPLE), tags.get(BITS_PER_SAMPLE, (16,))
    most = most[0] if isinstance(most, tuple) else most
    if isinstance(most, int) and most > 255 and _highest(image) <= most:
        return most.bit_length()
    return int(packed[0]) if 8 < packed[0] < 16 else None


def _highest(image: Image.Image) -> float:
    return float(np.asarray(image).max(initial=0))


def middle(image: Image.Image, geometry: Geometry) -> Image.Image:
    """Cut a very long image to its middle, because resizing all of it would take too much memory.

    If the centre is cut from the resized image, the rest of one beyond 40:1 would only be thrown away. The
    length of what is left rounds to whole pixels differently, so its pixels may lie up to one pixel off
    those of timm. Squashed images stay whole up to a side of `LONGEST_SIDE`.
    """
    width, height = image.size
    side = LONGEST_SIDE if geometry.mode == "squash" else min(width, height) * LONGEST_SHAPE
    left, top = max(0, (width - side) // 2), max(0, (height - side) // 2)
    return image.crop((left, top, width - left, height - top)) if left or top else image
