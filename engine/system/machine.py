"""What computes here: cores, libraries, interpreter, processor."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

LIBRARIES = ("qood-tui", "torch", "torchvision", "timm", "numpy", "scikit-learn", "pillow")
CODECS = ("zlib", "webp", "libtiff", "avif")  # of Pillow


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def versions() -> dict[str, str]:
    """Return the versions of what may change a number: libraries, codecs, interpreter, machine, processor."""
    from PIL import features

    versions = {name: version(name) for name in LIBRARIES}
    versions["libjpeg"] = str(features.version("libjpeg_turbo") or features.version("jpg"))
    versions |= {name: str(features.version(name)) for name in CODECS if features.check(name)}
    versions["python"] = platform.python_version()
    versions["machine"] = platform.machine()
    versions["processor"] = _processor()
    return versions


def _processor() -> str:
    """Return the processor's name: another one may round differently."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())
