"""Files that are written in a session, which may come from a stranger."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from engine.archive.transfer import replacing
from engine.commands.scores import write
from engine.errors import InputError, of_disk
from engine.plan.plan import preset
from engine.session import store
from engine.session.layout import JOURNAL, RESERVE
from engine.session.writer import Writer
from engine.system.files import open_end, open_new, whole
from tests.commands import engine


def test_a_new_file_takes_the_place_of_a_link(tmp_path: Path) -> None:
    precious, link = tmp_path / "precious", tmp_path / "link"
    precious.write_bytes(b"mine")
    link.symlink_to(precious)
    with open_new(link) as file:
        file.write(b"new")
    assert precious.read_bytes() == b"mine" and not link.is_symlink() and link.read_bytes() == b"new"


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_nothing_is_added_through_a_link_or_a_pipe(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    else:
        os.mkfifo(path)
    with pytest.raises(OSError):
        open_end(path)
    assert not (tmp_path / "elsewhere").exists()


def test_going_on_with_a_strangers_session_writes_nowhere_else(tmp_path: Path) -> None:
    session = store.create(preset("quick"), (), tmp_path, "strange")
    precious = tmp_path / "precious"
    precious.write_bytes(b"mine")
    for name in (RESERVE, JOURNAL + ".torn"):
        (session / name).symlink_to(precious)
    with (session / JOURNAL).open("ab") as file:
        file.write(b'{"seq":1,"torn')
    with pytest.raises(OSError):
        Writer(session)
    (session / (JOURNAL + ".torn")).unlink()
    Writer(session).close("finished")
    assert precious.read_bytes() == b"mine"


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "out.npz"
    target.write_bytes(b"before")
    with pytest.raises(ZeroDivisionError), whole(target) as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert target.read_bytes() == b"before" and [path.name for path in tmp_path.iterdir()] == ["out.npz"]
    with whole(target) as file:
        file.write(b"after")
    assert target.read_bytes() == b"after" and [path.name for path in tmp_path.iterdir()] == ["out.npz"]


def test_a_pipe_or_a_device_is_written_to_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with replacing(pipe, force=True) as file:
            file.write(b"through")
        assert os.read(reader, 100) == b"through"
        write(pipe, {"msp": np.zeros(2)})
        assert os.read(reader, 100_000).startswith(b"PK")
    finally:
        os.close(reader)
    assert pipe.is_fifo() and [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_of_a_session_that_cannot_be_begun_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        with pytest.raises(InputError, match="No space left"):
            store.create(preset("demo"), (), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (PermissionError(errno.EACCES, "Permission denied", "/x/y"), "/x/y: Permission denied"),
        (OSError("odd"), ""),
        (FileNotFoundError(), ""),
        (ValueError("x"), ""),
    ],
)
def test_what_a_disk_says_is_no_defect(error: Exception, words: str) -> None:
    assert of_disk(error) == words


def test_saving_a_quantized_model_where_nothing_can_be_written_is_no_defect(tmp_path: Path) -> None:
    images = tmp_path / "images.npy"
    np.save(images, np.random.default_rng(0).normal(size=(2, 3, 32, 32)).astype(np.float32))
    given = ("--model", "vit-narrow", "--calibration", str(images), "--bits", "W8A8")
    output = tmp_path / "nowhere" / "saved.safetensors"
    ran = engine("quantize", *given, "--output", str(output))
    assert ran.returncode in (1, 2) and "No such file" in ran.stderr and "defect" not in ran.stderr
