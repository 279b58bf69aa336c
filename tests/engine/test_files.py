"""Files that are written in a session, which may come from a stranger."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine import journal, sessions
from engine.files import open_end, open_new
from engine.plan import preset
from engine.writer import RESERVE, Writer


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
    session = sessions.create(preset("quick"), (), tmp_path, "strange")
    precious = tmp_path / "precious"
    precious.write_bytes(b"mine")
    for name in (RESERVE, journal.NAME + ".torn"):
        (session / name).symlink_to(precious)
    with (session / journal.NAME).open("ab") as file:
        file.write(b'{"seq":1,"torn')
    with pytest.raises(OSError):
        Writer(session)
    (session / (journal.NAME + ".torn")).unlink()
    Writer(session).close("finished")
    assert precious.read_bytes() == b"mine"
