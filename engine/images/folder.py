"""Any folder of images as an OOD set."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from engine.folders import find_images
from engine.images.source import Geometry, Pixels

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
LONGEST_SHAPE = 4  # an image longer than this many times its width is cut before it is resized


class FolderImages:
    """Images read from files when they are needed."""

    def __init__(self, name: str, folder: str) -> None:
        self.root = Path(folder).expanduser()
        self.files = find_images(folder, name)
        self.name, self.label, self.role = name, f"{len(self.files)} images of a folder", "ood"
        self.labels = np.full(len(self.files), -1)

    def read(self, indices: NDArray[np.int64], geometry: Geometry) -> tuple[Pixels, dict[int, str]]:
        """Return the images, resized and cropped; an unreadable one is grey and named with its reason."""
        pixels = np.full((len(indices), 3, geometry.size, geometry.size), 128, np.uint8)
        unreadable: dict[int, str] = {}
        for position, index in enumerate(indices):
            try:
                pixels[position] = read_image(self.files[index], geometry)
            except UnidentifiedImageError:
                unreadable[position] = "it is not an image in a known format"
            except (OSError, ValueError, SyntaxError, MemoryError, Image.DecompressionBombError) as error:
                unreadable[position] = f"it cannot be decoded ({error})"
        return pixels, unreadable

    def name_of(self, index: int) -> str:
        """Return the path of one image relative to its folder."""
        return os.fsencode(self.files[index].relative_to(self.root)).decode("utf-8", "backslashreplace")

    def digest(self, indices: NDArray[np.int64]) -> str:
        """Return the SHA-256 over the SHA-256 of every file; a file that cannot be read counts as empty."""
        state = hashlib.sha256()
        for index in indices:
            try:
                state.update(hashlib.sha256(self.files[index].read_bytes()).digest())
            except OSError:
                state.update(hashlib.sha256().digest())
        return state.hexdigest()


def read_image(path: Path, geometry: Geometry) -> Pixels:
    """Decode one image to RGB, resize its shorter side to size / crop and cut the centre."""
    with Image.open(path, formats=FORMATS) as file:
        shorter = round(geometry.size / geometry.crop)
        file.draft("RGB", (shorter * 2, shorter * 2))
        image = to_rgb(file)
    image = central(image)
    factor = shorter / min(image.size)
    width, height = (max(shorter, round(side * factor)) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - geometry.size) // 2, (height - geometry.size) // 2
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
