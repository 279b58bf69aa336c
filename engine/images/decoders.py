"""Processes that decode images while the device computes."""

from __future__ import annotations

import atexit
import gc
import multiprocessing
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np

from engine import child
from engine.images.decode import UnreadableError, decode, prepare, read_bytes
from engine.images.source import Geometry, Images, Pixels

SLICE = 8  # images that one process takes at a time
MOST = 16
NICENESS = 5  # the device's process goes first

Given = tuple[str, bool]  # a file, and whether it was there before
Decoded = list[tuple[list[Pixels], str]]  # for every image its pixels by geometry, or why there are none


class Decoders:
    """A pool of processes, started when first needed; one that dies on an image is replaced."""

    def __init__(self, processes: int) -> None:
        self.processes = max(1, min(processes, MOST))
        self._pool: ProcessPoolExecutor | None = None
        self._lock = threading.Lock()
        atexit.register(self.close)

    def read(
        self, root: Path, files: list[str], geometries: list[Geometry], present: Sequence[bool] = ()
    ) -> Images:
        """Return the images of files below `root`; raise PassingError if the disk does not answer.

        `present` says which files were there before: if one is not now, that is the disk's fault.
        """
        given = list(zip(files, present or [False] * len(files), strict=True))
        parts = [given[start : start + SLICE] for start in range(0, len(given), SLICE)]
        waiting = [self._submit(root, part, geometries) for part in parts]
        found: Decoded = []
        try:
            for part, future in zip(parts, waiting, strict=True):
                try:
                    found += future.result()
                except BrokenProcessPool:
                    found += self._one_by_one(root, part, geometries)
        finally:
            for future in waiting:
                future.cancel()
        return _joined(found, geometries)

    def close(self) -> None:
        """End the processes."""
        with self._lock:
            if self._pool is not None:
                self._pool.shutdown(wait=False, cancel_futures=True)
                self._pool = None

    def _submit(self, root: Path, files: list[Given], geometries: list[Geometry]) -> Future[Decoded]:
        with self._lock:
            if self._pool is None:
                # Not forked: the engine has threads. Fresh processes import no torch, so they are small.
                context = multiprocessing.get_context("spawn")
                self._pool = ProcessPoolExecutor(self.processes, mp_context=context, initializer=_begin)
            return self._pool.submit(decode_files, root, files, geometries)

    def _one_by_one(self, root: Path, files: list[Given], geometries: list[Geometry]) -> Decoded:
        """Read what a dead process had at hand; an image on which another one dies is unreadable."""
        found: Decoded = []
        for file in files:
            self.close()
            try:
                found += self._submit(root, [file], geometries).result()
            except BrokenProcessPool:
                found.append(([], "the decoder crashes on it"))
        self.close()
        return found


def decode_files(root: Path, files: list[Given], geometries: list[Geometry]) -> Decoded:
    """Decode each file once and prepare it for every geometry."""
    found: Decoded = []
    for file, was_there in files:
        try:
            image = decode(read_bytes(root / file, root, was_there=was_there))
            found.append(([prepare(image, geometry) for geometry in geometries], ""))
        except UnreadableError as error:
            found.append(([], str(error)))
    return found


def _joined(found: Decoded, geometries: list[Geometry]) -> Images:
    pixels = {g: np.full((len(found), 3, g.size, g.size), 128, np.uint8) for g in geometries}
    for at, (prepared, _) in enumerate(found):
        for geometry, image in zip(geometries, prepared, strict=False):
            pixels[geometry][at] = image
    return Images(pixels, {at: reason for at, (_, reason) in enumerate(found) if reason})


def _begin() -> None:
    gc.freeze()
    child.begin(NICENESS)
