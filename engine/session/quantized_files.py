"""The files of quantized variants, read without torch."""

from __future__ import annotations

import hashlib
import math
import struct
from typing import IO, Any

import msgspec

from engine.errors import InputError
from engine.session.place import Place

LONGEST_HEADER = 16 << 20  # bytes of a safetensors file before its tensors
PIECE = 1 << 20
# The types of safetensors in files of quantized models: torch's names and sizes in bytes.
TYPES = {
    "F32": ("torch.float32", 4),
    "F16": ("torch.float16", 2),
    "U8": ("torch.uint8", 1),
    "I64": ("torch.int64", 8),
}


class _Tensor(msgspec.Struct):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


def digest_of(place: Place, name: str) -> str:
    """Return the SHA-256 over names, shapes, types and bytes of a file's tensors, as recorded on saving.

    Raises InputError if it is not an intact safetensors file, OSError if it cannot be read.
    """
    with place.open_local(name) as file:
        try:
            start, tensors = _described(file)
        except (ValueError, TypeError, KeyError, RecursionError, struct.error) as error:
            raise InputError("quantized", name, f"an intact safetensors file is needed ({error})") from None
        state = hashlib.sha256()
        for tensor, one in sorted(tensors.items()):
            state.update(f"{tensor} {one.shape} {TYPES[one.dtype][0]}".encode())
            file.seek(start + one.data_offsets[0])
            left = one.data_offsets[1] - one.data_offsets[0]
            while left and (piece := file.read(min(left, PIECE))):
                state.update(piece)
                left -= len(piece)
    return state.hexdigest()


def _described(file: IO[bytes]) -> tuple[int, dict[str, _Tensor]]:
    """Return where the tensors begin, and their descriptions; raise ValueError if they make no sense."""
    (length,) = struct.unpack("<Q", file.read(8))
    if length > LONGEST_HEADER:
        raise ValueError(f"its header claims {length:,} bytes")
    plain: dict[str, Any] = msgspec.json.decode(file.read(length))
    plain.pop("__metadata__", None)
    tensors = msgspec.convert(plain, dict[str, _Tensor])
    start, size = 8 + length, file.seek(0, 2)
    end = 0
    for one in sorted(tensors.values(), key=lambda one: one.data_offsets):
        length = math.prod(one.shape) * TYPES[one.dtype][1]
        if one.data_offsets != (end, end + length):
            raise ValueError("its tensors overlap or leave gaps")
        end += length
    if start + end != size:
        raise ValueError(f"{start + end:,} bytes are needed; it has {size:,}")
    return start, tensors
