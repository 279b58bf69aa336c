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
from collections.abc import Mapping

ESCAPES = re.compile(rb"\x1b(\[[0-9;?<>=$]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[()][A-Z0-9]|[=>78DEMHc])")


class Terminal:
    """Run `qood-tui` with some arguments in a pseudo-terminal of some size."""

    def __init__(
        self,
        *arguments: str,
        columns: int = 120,
        lines: int = 40,
        keep: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.started = time.monotonic()
        self.written = 0
        self.raw = b""  # everything written, where it is to be kept
        self._keep, self._is_open, self._is_waited_for = keep, True, False
        self.process, self._line = pty.fork()
        if self.process == 0:
            os.environ.update(TERM="xterm-256color", COLORTERM="truecolor")
            os.environ.update(environment or {})
            os.execv(sys.executable, [sys.executable, "-m", "qood_tui", *arguments])
        self.resize(columns, lines)

    def resize(self, columns: int, lines: int) -> None:
        """Give the window another size."""
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
        try:
            part = os.read(self._line, 65536)
        except OSError:  # the other side is gone
            time.sleep(seconds)
            return b""
        self.written += len(part)
        self.raw += part if self._keep else b""
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

    def hang_up(self) -> None:
        """Close the line, as a dropped connection does."""
        os.close(self._line)
        self._is_open = False

    def wait(self, seconds: float = 10.0) -> int:
        """Return the exit status once the program has ended by itself; raise TimeoutError."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.read_some(0.05)
            found, status = os.waitpid(self.process, os.WNOHANG)
            if found:
                self._is_waited_for = True
                return os.waitstatus_to_exitcode(status)
        raise TimeoutError(f"it still runs after {seconds} s")

    def close(self) -> None:
        """End the program."""
        if not self._is_waited_for:
            os.kill(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)
        if self._is_open:
            os.close(self._line)
