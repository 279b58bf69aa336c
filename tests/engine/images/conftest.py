"""Decoders that the tests of a module share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine.images.decoders import Decoders


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    decoders = Decoders(2)
    yield decoders
    decoders.close()
