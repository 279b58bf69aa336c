"""Images in memory."""

from __future__ import annotations

import hashlib

import numpy as np

from engine.images.array_images import ArrayImages
from engine.images.image_set import Geometry


def test_pixels_names_and_digests_are_those_of_the_array() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (5, 8, 8, 3), np.uint8)
    images = ArrayImages("noise", "", "ood", pixels, np.full(5, -1))
    read = images.read(np.array([3, 1]), [Geometry(8), Geometry(8, 0.9)])
    assert not read.unreadable and len(read.pixels) == 2
    for of_geometry in read.pixels.values():
        np.testing.assert_array_equal(of_geometry, pixels[[3, 1]].transpose(0, 3, 1, 2))
    assert images.name_of(3) == "noise[3]"
    assert images.digests(np.array([3])) == [hashlib.sha256(pixels[3].tobytes()).hexdigest()]
