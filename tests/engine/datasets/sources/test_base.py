"""What every source does alike: a disk that fails is waited for, and is never an image's fault."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from engine.datasets.sources.base import TransientError, UnreadableError, read_patiently, stamp_of


def failing(times: int, number: int = errno.EIO) -> tuple[list[int], object]:
    """Return a read that fails some times, and the attempts that it has seen."""
    attempts: list[int] = []

    def read() -> bytes:
        attempts.append(1)
        if len(attempts) <= times:
            raise OSError(number, "Input/output error")
        return b"whole"

    return attempts, read


def test_a_transient_error_is_tried_again_and_is_never_the_images_fault(tmp_path: Path) -> None:
    attempts, read = failing(2)
    assert read_patiently(read, tmp_path, "one.png", (0, 0, 0)) == b"whole" and len(attempts) == 3
    _, read = failing(2)
    with pytest.raises(TransientError, match=f"Input/output error \\({tmp_path.name}/a/one.png"):
        read_patiently(read, tmp_path, "a/one.png", (0,))


def test_a_missing_member_is_unreadable_unless_it_or_its_disk_has_vanished(tmp_path: Path) -> None:
    root = tmp_path / "disk"
    root.mkdir()
    attempts, read = failing(1, errno.ENOENT)
    with pytest.raises(UnreadableError, match="no such file"):
        read_patiently(read, root, "one.png")
    assert len(attempts) == 1
    _, read = failing(9, errno.ENOENT)
    with pytest.raises(TransientError):
        read_patiently(read, root, "one.png", (), was_there=True)
    root.rmdir()
    with pytest.raises(TransientError):
        read_patiently(read, root, "one.png", ())


def test_what_can_never_be_read_is_said_at_once(tmp_path: Path) -> None:
    def with_a_null_byte() -> bytes:
        return Path("a\0b").read_bytes()

    for read, why in ((with_a_null_byte, "name"), (lambda: b"", "empty")):
        with pytest.raises(UnreadableError, match=why):
            read_patiently(read, tmp_path, "one.png")


def test_a_stamp_has_size_times_and_inode(tmp_path: Path) -> None:
    file = tmp_path / "one.png"
    file.write_bytes(b"abc")
    stamp, about = stamp_of(file), file.stat()
    assert stamp is not None
    assert stamp.text == f"3 {about.st_mtime_ns} {about.st_ctime_ns} {about.st_ino}"
    assert stamp.changed == about.st_ctime_ns
    assert stamp_of(tmp_path / "none.png") is None and stamp_of(Path("a\0b")) is None
