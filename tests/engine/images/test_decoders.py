"""Processes that decode: what ends one is not taken for a fault of the image."""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from engine.datasets.sources.base import TransientError, UnreadableError
from engine.datasets.sources.files import Files
from engine.images import decode as decoding
from engine.images.decode import decode
from engine.images.decoders import Decoders, Wanted, decode_members
from engine.images.image_set import Geometry
from tests.engine.images.albums import opened, png_that_claims, save


def test_a_photograph_of_108_megapixels_is_read_and_the_limit_can_be_moved(tmp_path: Path) -> None:
    data = save(tmp_path / "large.png", Image.new("1", (12_000, 9_000)))
    assert decode(data).size == (12_000, 9_000)
    with pytest.raises(UnreadableError, match=r"more than 1,000,000 pixels.*--largest-image"):
        decode(data, 1_000_000)
    with pytest.raises(UnreadableError, match="178,956,970 pixels"):
        decode(png_that_claims(16_000, 12_000))
    save(tmp_path / "small.png")
    for largest, lost in (
        (108_000_000, []),
        (107_999_999, ["large.png"]),
        (6_299, ["large.png", "small.png"]),
    ):
        pool = Decoders(1, largest)
        images = opened(tmp_path, pool)
        read = images.read(np.arange(2), [])
        pool.close()
        assert [images.members[at] for at in read.unreadable] == lost


def blocked_in_open(process: psutil.Process) -> bool:
    """Return whether a process waits for a file to be opened (x86-64 and ARM)."""
    try:
        return Path(f"/proc/{process.pid}/syscall").read_text().startswith(("257 ", "56 "))
    except OSError:
        return False


@contextmanager
def ending_who_is_stuck(number: signal.Signals) -> Iterator[None]:
    stop = threading.Event()

    def end() -> None:
        while not stop.wait(0.1):
            for child in psutil.Process().children():
                if blocked_in_open(child) and not stop.wait(0.2) and blocked_in_open(child):
                    child.send_signal(number)

    ending = threading.Thread(target=end)
    ending.start()
    try:
        yield
    finally:
        stop.set()
        ending.join()


def test_an_image_on_which_the_decoder_dies_is_left_out_and_the_others_are_not(tmp_path: Path) -> None:
    if not Path("/proc/self/syscall").exists():
        pytest.skip("this system does not tell what a process waits for")
    for name in ("1", "3"):
        save(tmp_path / f"{name}.png")
    os.mkfifo(tmp_path / "2.png")  # opening it waits for ever: then the process is ended
    pool, source = Decoders(1), Files(tmp_path)
    wanted = [Wanted(f"{number}.png") for number in (1, 2, 3)]
    with ending_who_is_stuck(signal.SIGSEGV):
        read = pool.read(source, wanted, [Geometry(16)])
    assert list(read.unreadable) == [1] and "crashes" in read.unreadable[1]
    # The system kills for want of memory: that says nothing of the image.
    with ending_who_is_stuck(signal.SIGKILL), pytest.raises(TransientError, match=r"2\.png"):
        pool.read(source, wanted, [Geometry(16)])
    pool.close()


def test_a_lack_of_memory_is_never_the_images_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = save(tmp_path / "one.png")

    def fail(error: Exception) -> None:
        def raising(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr(decoding, "to_rgb", raising)

    for error in (MemoryError(), OSError("out of memory error when reading image file")):
        fail(error)
        with pytest.raises(MemoryError):
            decode(data)
        with pytest.raises(TransientError, match=r"memory.*one\.png"):
            decode_members(Files(tmp_path), [Wanted("one.png")], [Geometry(16)])
    fail(OSError("broken data stream when reading image file"))
    with pytest.raises(UnreadableError):
        decode(data)


def test_decoders_that_cannot_start_are_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "one.png")

    def no_process(*_: object) -> None:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    pool, one = Decoders(1), (Files(tmp_path), [Wanted("one.png")], [Geometry(16)])
    with monkeypatch.context() as patch:
        patch.setattr("multiprocessing.popen_spawn_posix.Popen.__init__", no_process)
        with pytest.raises(TransientError, match="no process can be started"):
            pool.read(*one)
    assert not pool.read(*one).unreadable
    pool.close()
