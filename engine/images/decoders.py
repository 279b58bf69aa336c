"""Processes that decode images while the device computes."""

from __future__ import annotations

import atexit
import errno
import gc
import hashlib
import multiprocessing
import signal
import threading
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from typing import NamedTuple

import numpy as np

from engine.catalog import LARGEST_IMAGE
from engine.datasets.sources.base import Source, TransientError, UnreadableError
from engine.images.decode import decode, prepare
from engine.images.digests import NO_CONTENT
from engine.images.image_set import Geometry, Images, Pixels
from engine.system import subprocesses

SLICE = 8  # images that one process takes at a time
MOST = 16
KILLS = 2  # of decoders at one image, before memory is assumed to have run out
NICENESS = 5  # the device's process goes first
_FRESH = multiprocessing.get_context("spawn")  # not forked: the engine has threads; without torch, so small

Decoded = list[tuple[list[Pixels], str]]  # for every image its pixels by geometry, or why there are none


class Wanted(NamedTuple):
    """A member of a source, and the SHA-256 that its content must have; empty where any content will do."""

    member: str
    digest: str = ""


class Decoders:
    """A pool of processes, started when first needed and replaced when one dies on an image.

    An image of more than `largest` pixels is unreadable.
    """

    def __init__(self, processes: int, largest: int = LARGEST_IMAGE) -> None:
        self.processes = max(1, min(processes, MOST))
        self.largest = largest
        self._pool: ProcessPoolExecutor | None = None
        self._lock = threading.Lock()
        atexit.register(self.close)

    def read(self, source: Source, wanted: list[Wanted], geometries: list[Geometry]) -> Images:
        """Return the images of some members of a source.

        If a digest is given, a member whose content has changed is unreadable, and one that has vanished is
        the disk's fault. Raises TransientError if the disk does not answer, or if the machine lacks the
        memory or processes to decode.
        """
        parts = [wanted[start : start + SLICE] for start in range(0, len(wanted), SLICE)]
        waiting = [self._submit(source, part, geometries) for part in parts]
        decoded: Decoded = []
        try:
            for part, future in zip(parts, waiting, strict=True):
                try:
                    decoded += future.result()
                except BrokenProcessPool:
                    decoded += self._one_by_one(source, part, geometries)
        finally:
            for future in waiting:
                future.cancel()
        return _merged(decoded, geometries)

    def close(self) -> None:
        """End the processes."""
        with self._lock:
            if self._pool is not None:
                self._pool.shutdown(wait=False, cancel_futures=True)
                self._pool = None

    def _submit(self, source: Source, wanted: list[Wanted], geometries: list[Geometry]) -> Future[Decoded]:
        with self._lock:
            if self._pool is None:
                self._pool = ProcessPoolExecutor(self.processes, mp_context=_FRESH, initializer=_begin)
            try:
                return self._pool.submit(decode_members, source, wanted, geometries, self.largest)
            except OSError as error:  # a process could not be started
                text = f"no process can be started to decode images ({error.strerror})"
                raise TransientError(error.errno, text) from None

    def _one_by_one(self, source: Source, wanted: list[Wanted], geometries: list[Geometry]) -> Decoded:
        """Read what a dead process was working on, each image in a process of its own."""
        self.close()
        return [_in_own_process(source, one, geometries, self.largest) for one in wanted]


def decode_members(
    source: Source, wanted: list[Wanted], geometries: list[Geometry], largest: int = LARGEST_IMAGE
) -> Decoded:
    """Decode each member once and prepare it for every geometry; raise TransientError if memory runs out."""
    decoded: Decoded = []
    for one in wanted:
        try:
            image = decode(_read(source, one), largest)
            decoded.append(([prepare(image, geometry) for geometry in geometries], ""))
        except UnreadableError as error:
            decoded.append(([], str(error)))
        except MemoryError:
            text = f"not enough memory to decode {source.root.name}/{one.member}"
            raise TransientError(errno.ENOMEM, text) from None
    return decoded


def _read(source: Source, wanted: Wanted) -> bytes:
    """Return the content of a member, which must have its digest where one is given."""
    data = source.read(wanted.member, was_there=wanted.digest not in ("", NO_CONTENT))
    if wanted.digest == NO_CONTENT:
        raise UnreadableError("it could not be read when the sweep began")
    if wanted.digest and hashlib.sha256(data).hexdigest() != wanted.digest:
        raise UnreadableError("its content has changed since the sweep began")
    return data


def _in_own_process(
    source: Source, wanted: Wanted, geometries: list[Geometry], largest: int
) -> tuple[list[Pixels], str]:
    """Decode one image in a fresh process; an image on which that crashes is unreadable.

    A process that cannot start, or that the system kills, tells nothing of the image: raises TransientError.
    """
    for _ in range(KILLS):
        receiving, sending = _FRESH.Pipe(duplex=False)
        process = _FRESH.Process(target=_answer, args=(sending, source, wanted, geometries, largest))
        try:
            process.start()
            sending.close()
            receiving.recv()  # it has begun
        except (OSError, EOFError):
            raise TransientError(errno.EAGAIN, "no process can be started to decode images") from None
        try:
            answer: tuple[list[Pixels], str] | TransientError = receiving.recv()
        except EOFError:
            process.join()
            if process.exitcode != -signal.SIGKILL:
                return [], "the decoder crashes on it"
            continue
        finally:
            receiving.close()
        process.join()
        if isinstance(answer, TransientError):
            raise answer
        return answer
    name = f"{source.root.name}/{wanted.member}"
    raise TransientError(errno.ENOMEM, f"decoders are killed at {name}, which happens when memory runs out")


def _answer(
    line: Connection, source: Source, wanted: Wanted, geometries: list[Geometry], largest: int
) -> None:
    """Decode one image in a process of its own, and send the result or why there is none."""
    _begin()
    line.send("begun")
    try:
        line.send(decode_members(source, [wanted], geometries, largest)[0])
    except TransientError as error:
        line.send(error)


def _merged(decoded: Decoded, geometries: list[Geometry]) -> Images:
    pixels = {g: np.full((len(decoded), 3, g.size, g.size), 128, np.uint8) for g in geometries}
    for at, (prepared, _) in enumerate(decoded):
        for geometry, image in zip(geometries, prepared, strict=False):
            pixels[geometry][at] = image
    return Images(pixels, {at: reason for at, (_, reason) in enumerate(decoded) if reason})


def _begin() -> None:
    gc.freeze()
    subprocesses.begin(NICENESS)
