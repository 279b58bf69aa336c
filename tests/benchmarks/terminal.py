"""A pseudo-terminal around `qood-tui`: what it writes, and when."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time

ESCAPES = re.compile(rb"\x1b(\[[0-9;?<>=$]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[()][A-Z0-9]|[=>78DEMHc])")


class Terminal:
    """Run `qood-tui` with some arguments in a pseudo-terminal of some size."""

    def __init__(self, *arguments: str, columns: int = 120, lines: int = 40) -> None:
        self.started = time.monotonic()
        self.written = 0
        self.process, self._line = pty.fork()
        if self.process == 0:
            os.environ.update(TERM="xterm-256color", COLORTERM="truecolor")
            os.execv(sys.executable, [sys.executable, "-m", "qood_tui", *arguments])
        fcntl.ioctl(self._line, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._line, keys.encode())

    def read(self, seconds: float) -> None:
        """Read and forget what comes within some seconds."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.read_some(left)

    def read_some(self, seconds: float) -> bytes:
        """Return what comes next, escape sequences removed; nothing after some seconds of silence."""
        if not select.select([self._line], [], [], seconds)[0]:
            return b""
        part = os.read(self._line, 65536)
        self.written += len(part)
        return ESCAPES.sub(b"", part)

    def wait_for(self, pattern: str, seconds: float) -> float:
        """Return the seconds until `pattern` stood in newly written text; raise TimeoutError."""
        began = time.monotonic()
        wanted = re.compile(pattern.encode())
        text = b""
        while time.monotonic() - began < seconds:
            text = text[-2000:] + self.read_some(seconds)
            if wanted.search(text):
                return time.monotonic() - began
        raise TimeoutError(f"{pattern!r} was not written within {seconds} s")

    def close(self) -> None:
        """End the program."""
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        os.close(self._line)
