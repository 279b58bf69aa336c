"""The CPU: several threads share the forward passes, each of which runs on one thread."""

from __future__ import annotations

from engine.sweep.devices.backend import Backend

PIXELS_AT_ONCE = 16 * 224 * 224  # more are no faster


class Cpu(Backend):
    """The processor and the machine's memory."""

    def threads(self, cores: int) -> int:
        """Return one thread per core."""
        return cores

    def most_images(self, side: int) -> int:
        """Return as many images as have some number of pixels together."""
        return max(1, PIXELS_AT_ONCE // side**2)
