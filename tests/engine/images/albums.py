"""Image files for tests."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from PIL import Image

from engine.datasets.discover import ood_set
from engine.images.decoders import Decoders
from engine.images.disk_images import DiskImages


def opened(folder: Path, decoders: Decoders) -> DiskImages:
    return DiskImages(ood_set("mine", str(folder)), decoders)


def save(path: Path, image: Image.Image | None = None, **options: object) -> bytes:
    image = image or Image.effect_noise((90, 70), 60).convert("RGB")
    image.save(path, **options)
    return path.read_bytes()


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(999)))
