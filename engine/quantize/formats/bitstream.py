"""Integer codes of 2 to 16 bits as a dense little-endian bitstream; 4-bit codes lie two to a byte."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Codes = NDArray[np.integer[Any]]


def packed_size(count: int, bits: int) -> int:
    """Return how many bytes `count` codes of `bits` bits take."""
    return (count * bits + 7) // 8


def pack(codes: Codes, bits: int) -> Bytes:
    """Return codes (n,) as bytes; the first code is in the lowest bits of the first byte."""
    each = codes.reshape(-1, 1).astype("<u1" if bits <= 8 else "<u2").view(np.uint8)
    return np.packbits(np.unpackbits(each, axis=1, count=bits, bitorder="little"), bitorder="little")


def unpack(stream: Bytes, bits: int, count: int) -> Codes:
    """Return the `count` codes in a bitstream; raise ValueError if it has another length."""
    if stream.dtype != np.uint8 or stream.shape != (packed_size(count, bits),):
        wanted = packed_size(count, bits)
        raise ValueError(f"{count} codes of {bits} bits need {wanted} bytes, there are {stream.shape}")
    each = np.unpackbits(stream, count=count * bits, bitorder="little").reshape(count, bits)
    packed = np.packbits(each, axis=1, bitorder="little")
    return packed.view("<u1" if bits <= 8 else "<u2")[:, 0]
