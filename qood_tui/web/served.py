"""One application behind one page: its process, its output and its end."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable

from textual_serve.app_service import AppService
from textual_serve.download_manager import DownloadManager

from qood_tui.words import clean

BEGINS = b"__GANGLION__\n"
GRACE = 5.0  # seconds an application has to end by itself
LAST_WORDS = 16_384

Send = Callable[[bytes], Awaitable[None]]
Close = Callable[[], Awaitable[object]]


class Served(AppService):
    """Run the application and pass on what it draws; the page ends when its process has ended."""

    def __init__(
        self,
        command: str,
        send: Send,
        say: Callable[[str], Awaitable[None]],
        close: Close,
        files: DownloadManager,
    ) -> None:
        super().__init__(command, write_bytes=send, write_str=say, close=_later, download_manager=files)
        self._close_page = close

    def _build_environment(self, width: int = 80, height: int = 24) -> dict[str, str]:
        # A page shows every character, whatever the locale of the terminal that serves it.
        return {**super()._build_environment(width, height), "PYTHONIOENCODING": "utf-8"}

    async def _open_app_process(self, width: int = 80, height: int = 24) -> Process:
        # A session of its own: Ctrl-C is for the server, which then asks the application to quit.
        self._process = await asyncio.create_subprocess_exec(
            *shlex.split(self.command),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=self._build_environment(width, height),
            start_new_session=True,
        )
        assert self._process.stdin is not None
        self._stdin = self._process.stdin
        return self._process

    async def run(self) -> None:
        """Relay until the process has ended, show its last words and close the page."""
        process = self._process
        assert process is not None and process.stdout is not None and process.stderr is not None
        errors = asyncio.create_task(_tail(process.stderr))
        try:
            words = await self._relay(process.stdout)
            words += await errors
            await process.wait()
        finally:
            errors.cancel()
            if process.returncode is None:
                process.kill()
        with contextlib.suppress(ConnectionError, RuntimeError):
            if words.strip():
                lines = (clean(line) for line in words.decode("utf-8", "replace").splitlines())
                await self.remote_write_bytes("\r\n".join(("", *lines, "")).encode())
            await self._close_page()

    async def stop(self) -> None:
        """Ask the process to quit, and end it if it does not."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(super().stop(), GRACE)

    async def _relay(self, output: asyncio.StreamReader) -> bytes:
        """Pass packets on until there are no more; return what was printed instead of packets."""
        try:
            await output.readuntil(BEGINS)
        except asyncio.IncompleteReadError as error:
            return error.partial
        except asyncio.LimitOverrunError:
            assert self._process is not None
            self._process.kill()
            return b"This command opens no screen."
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                kind, size = await output.readexactly(1), await output.readexactly(4)
                await self._pass_on(kind, await output.readexactly(int.from_bytes(size, "big")))
        return b""

    async def _pass_on(self, kind: bytes, payload: bytes) -> None:
        # A page that is gone must not keep the application from writing until it has quit.
        with contextlib.suppress(ConnectionError):
            if kind == b"D":
                await self.on_data(payload)
            elif kind == b"M":
                await self.on_meta(payload)
            elif kind == b"P":
                await self.on_packed(payload)


async def _later() -> None:
    """Do not close the page on the application's word: what it prints last is still to come."""


async def _tail(stream: asyncio.StreamReader) -> bytes:
    last = b""
    while more := await stream.read(4096):
        last = (last + more)[-LAST_WORDS:]
    return last
