"""Processes that decode images while the device computes."""

from __future__ import annotations

import atexit
import errno
import gc
import hashlib
import multiprocessing
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from engine.catalog import LARGEST_IMAGE
from engine.images.decode import UnreadableError, decode, prepare, read_bytes
from engine.images.image_set import NO_FILE, Geometry, Images, PassingError, Pixels
from engine.system import subprocesses

SLICE = 8  # images that one process takes at a time
MOST = 16
KILLS = 2  # of a decoder at one file, before that is taken for a lack of memory
NICENESS = 5  # the device's process goes first

Given = tuple[str, str]  # a file, and the SHA-256 that it must have; empty where any content will do
_FRESH = multiprocessing.get_context("spawn")  # not forked: the engine has threads; without torch, so small
Decoded = list[tuple[list[Pixels], str]]  # for every image its pixels by geometry, or why there are none


class Decoders:
    """A pool of processes, started when first needed; one that dies on an image is replaced.

    An image of more than `largest` pixels is unreadable.
    """

    def __init__(self, processes: int, largest: int = LARGEST_IMAGE) -> None:
        self.processes = max(1, min(processes, MOST))
        self.largest = largest
        self._pool: ProcessPoolExecutor | None = None
        self._lock = threading.Lock()
        atexit.register(self.close)

    def read(
        self, root: Path, files: list[str], geometries: list[Geometry], contents: Sequence[str] = ()
    ) -> Images:
        """Return the images of files below `root`.

        `contents` are the SHA-256 that the files had when the sweep began: one with another content is
        unreadable, and one that has vanished is the disk's fault. Raises PassingError if the disk does not
        answer, or if the machine lacks the memory or processes to decode.
        """
        given = list(zip(files, contents or [""] * len(files), strict=True))
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
                self._pool = ProcessPoolExecutor(self.processes, mp_context=_FRESH, initializer=_begin)
            try:
                return self._pool.submit(decode_files, root, files, geometries, self.largest)
            except OSError as error:  # a process could not be started
                raise PassingError(error.errno, f"no process can decode images ({error.strerror})") from None

    def _one_by_one(self, root: Path, files: list[Given], geometries: list[Geometry]) -> Decoded:
        """Read what a dead process had at hand, each file in a process that has nothing else to do."""
        self.close()
        return [_in_own_process(root, file, geometries, self.largest) for file in files]


def decode_files(
    root: Path, files: list[Given], geometries: list[Geometry], largest: int = LARGEST_IMAGE
) -> Decoded:
    """Decode each file once and prepare it for every geometry; raise PassingError where memory runs out."""
    found: Decoded = []
    for file, content in files:
        try:
            image = decode(_read(root, file, content), largest)
            found.append(([prepare(image, geometry) for geometry in geometries], ""))
        except UnreadableError as error:
            found.append(([], str(error)))
        except MemoryError:
            raise PassingError(errno.ENOMEM, f"there is no memory to decode {root.name}/{file}") from None
    return found


def _read(root: Path, file: str, content: str) -> bytes:
    """Return the bytes of a file, which must have the SHA-256 `content` where one is given."""
    data = read_bytes(root / file, root, was_there=content not in ("", NO_FILE))
    if content == NO_FILE:
        raise UnreadableError("it could not be read when the sweep began")
    if content and hashlib.sha256(data).hexdigest() != content:
        raise UnreadableError("its content is not what it was when the sweep began")
    return data


def _in_own_process(
    root: Path, file: Given, geometries: list[Geometry], largest: int
) -> tuple[list[Pixels], str]:
    """Decode one file in a fresh process; a file on which that crashes is unreadable.

    A process that cannot start, or that the system kills, says nothing of the file: raises PassingError.
    """
    for _ in range(KILLS):
        receiving, sending = _FRESH.Pipe(duplex=False)
        process = _FRESH.Process(target=_answer, args=(sending, root, file, geometries, largest))
        try:
            process.start()
            sending.close()
            receiving.recv()  # it has begun
        except (OSError, EOFError):
            raise PassingError(errno.EAGAIN, "no process can decode images") from None
        try:
            answer: tuple[list[Pixels], str] | PassingError = receiving.recv()
        except EOFError:
            process.join()
            if process.exitcode != -signal.SIGKILL:
                return [], "the decoder crashes on it"
            continue
        finally:
            receiving.close()
        process.join()
        if isinstance(answer, PassingError):
            raise answer
        return answer
    raise PassingError(
        errno.ENOMEM, f"decoders are killed at {root.name}/{file[0]}, as happens where memory runs out"
    )


def _answer(line: Connection, root: Path, file: Given, geometries: list[Geometry], largest: int) -> None:
    """Decode one file in a process of its own, and send the result or why there is none."""
    _begin()
    line.send("begun")
    try:
        line.send(decode_files(root, [file], geometries, largest)[0])
    except PassingError as error:
        line.send(error)


def _joined(found: Decoded, geometries: list[Geometry]) -> Images:
    pixels = {g: np.full((len(found), 3, g.size, g.size), 128, np.uint8) for g in geometries}
    for at, (prepared, _) in enumerate(found):
        for geometry, image in zip(geometries, prepared, strict=False):
            pixels[geometry][at] = image
    return Images(pixels, {at: reason for at, (_, reason) in enumerate(found) if reason})


def _begin() -> None:
    gc.freeze()
    subprocesses.begin(NICENESS)
