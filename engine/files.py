"""Files of a session, which may come from a stranger: plain files alone are opened."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import IO


def open_plain(path: Path) -> IO[bytes]:
    """Open a file to read; raise OSError for a link, a pipe, a device, or a file in a linked folder.

    The folder of a session may itself be reached through a link: that is the user's own.
    """
    if path.parent.name in PARTS and path.parent.is_symlink():
        raise OSError(0, "its folder is a link to elsewhere")
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise OSError(0, "it is a link to elsewhere") if path.is_symlink() else error from None
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise OSError(0, "it is no plain file")
    return os.fdopen(number, "rb")


PARTS = ("arrays", "outputs", "quantized")  # the folders in a session's folder
