"""Prepared images kept on a disk: a later sweep of the same images decodes nothing.

For every set and geometry there is one array of pixels, one row per image, and one that says from which
content each row was made. A row counts only if the image still has that content, so a changed file, another
list or a torn row is decoded again.
"""

from __future__ import annotations

import hashlib
import secrets
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import InputError
from engine.images.decode import made_by
from engine.images.disk_images import DiskImages
from engine.images.image_set import Geometry, Images, Indices, Pixels

DIGEST = 32  # bytes of a SHA-256; four more are the checksum of the pixels


class KeptImages:
    """An image set on a disk whose prepared images are kept in a folder."""

    def __init__(self, images: DiskImages, folder: Path) -> None:
        self.name, self.label, self.role = images.name, images.label, images.role
        self.labels, self.classes, self.is_guessed = images.labels, images.classes, images.is_guessed
        self.expected, self.notes, self.contents = images.expected, images.notes, images.contents
        self.images, self.folder = images, folder
        self.problem = ""  # why no more images are kept
        self.made_by = made_by()

    def read(self, indices: Indices, geometries: list[Geometry]) -> Images:
        """Return the images, kept ones without decoding; keep the others."""
        if not geometries:  # the question is whether they can be decoded, which kept pixels do not answer
            return self.images.read(indices, [])
        contents = [bytes.fromhex(digest) for digest in self.images.digests(indices)]
        stores = {geometry: _Store(self.folder, self, geometry) for geometry in geometries}
        kept = {g: store.get(indices, contents) for g, store in stores.items()}
        missing = np.array([any(kept[g][at] is None for g in geometries) for at in range(len(indices))], bool)
        places = np.flatnonzero(missing)
        read = self.images.read(indices[places], geometries)
        pixels = {g: np.empty((len(indices), 3, g.size, g.size), np.uint8) for g in geometries}
        for geometry in geometries:
            for at, image in enumerate(kept[geometry]):
                if image is not None:
                    pixels[geometry][at] = image
            pixels[geometry][places] = read.pixels[geometry]
            for row, place in enumerate(places):
                if row not in read.unreadable and not self.problem:
                    index, content = int(indices[place]), contents[place]
                    self._keep(stores[geometry], index, content, read.pixels[geometry][row])
        return Images(pixels, {int(places[row]): reason for row, reason in read.unreadable.items()})

    def _keep(self, store: _Store, index: int, content: bytes, image: Pixels) -> None:
        """Keep the pixels of one image; a full disk costs only the time to decode it again."""
        try:
            store.put(index, content, image)
        except OSError as error:
            self.problem = f"prepared images are no longer kept ({error.strerror})"

    def name_of(self, index: int) -> str:
        """Return the name of one image."""
        return self.images.name_of(index)

    def digests(self, indices: Indices) -> list[str]:
        """Return the SHA-256 of each image."""
        return self.images.digests(indices)

    def remember(self, contents: Mapping[int, str]) -> None:
        """Take over the SHA-256 of images by index."""
        self.images.remember(contents)


class _Store:
    """The two arrays of one set and geometry; their files are sparse where nothing is kept."""

    def __init__(self, folder: Path, images: KeptImages, geometry: Geometry) -> None:
        # Another decoder makes other pixels from the same file, and another limit refuses other files.
        count = len(images.labels)
        made_from = f"{images.name} {count} {geometry} {images.made_by} {images.images.largest}"
        key = hashlib.sha256(made_from.encode()).hexdigest()[:16]
        self._paths = [folder / f"{images.name}-{key}{part}.npy" for part in ("", "-contents")]
        shapes = ((count, 3, geometry.size, geometry.size), (count, DIGEST + 4))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            opened = zip(self._paths, shapes, strict=True)
            self._pixels, self._marks = (_opened(path, shape) for path, shape in opened)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise InputError(
                "crops", str(folder), f"prepared images cannot be kept there ({reason})"
            ) from None

    def get(self, indices: Indices, contents: list[bytes]) -> list[Pixels | None]:
        """Return the kept pixels of each image, None if there are none of that content."""
        kept: list[Pixels | None] = []
        for index, content in zip(indices, contents, strict=True):
            mark = self._marks[index].tobytes()
            image = np.array(self._pixels[index]) if mark[:DIGEST] == content else None
            kept.append(image if image is not None and mark[DIGEST:] == _checksum(image) else None)
        return kept

    def put(self, index: int, content: bytes, image: Pixels) -> None:
        """Keep the pixels of one image; raise OSError on a full disk, which a mapped page would not."""
        mark = np.frombuffer(content + _checksum(image), np.uint8)
        for path, array, row in zip(self._paths, (self._pixels, self._marks), (image, mark), strict=True):
            with path.open("r+b") as file:
                file.seek(array.offset + index * array[0].nbytes)
                file.write(np.ascontiguousarray(row).tobytes())


def _opened(path: Path, shape: tuple[int, ...]) -> np.memmap[Any, np.dtype[np.uint8]]:
    """Open an array for reading; replace one that is missing or damaged by an empty one.

    Threads and processes open the same array at once, so it never exists in part.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(array, np.memmap) and array.shape == shape and array.dtype == np.uint8:
            return array
    except (OSError, ValueError, EOFError):
        pass
    new = path.with_name(f"{path.stem}-{secrets.token_hex(4)}.partial")
    try:
        np.lib.format.open_memmap(new, "w+", np.uint8, shape)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    return np.lib.format.open_memmap(path, "r")


def _checksum(image: Pixels) -> bytes:
    return zlib.crc32(np.ascontiguousarray(image).tobytes()).to_bytes(4, "big")
