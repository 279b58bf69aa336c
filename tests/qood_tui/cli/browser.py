"""A real browser without a window, led over its debugging protocol, and the screen that it was sent."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import re
import shutil
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)
SEQUENCE = re.compile(
    r"\x1b\[([<>?=]?)([\d;]*)[ $]?([A-Za-z])|\x1b[()][A-Z0-9]|\x1b\].*?(?:\x07|\x1b\\)|\x1b."
)


def installed() -> str | None:
    """Return the browser's program, if there is one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Screen:
    """What a terminal shows that was sent these bytes: cursor moves and text, no colours."""

    def __init__(self) -> None:
        self.cells: dict[tuple[int, int], str] = {}
        self.row = self.column = 0

    def feed(self, text: str) -> None:
        """Draw."""
        at = 0
        for found in SEQUENCE.finditer(text):
            self._write(text[at : found.start()])
            at = found.end()
            if found[3] in ("H", "f") and not found[1]:
                row, _, column = found[2].partition(";")
                self.row, self.column = int(row or 1) - 1, int(column or 1) - 1
            elif found[3] == "J":
                self.cells.clear()
        self._write(text[at:])

    def _write(self, text: str) -> None:
        for character in text:
            if character == "\r":
                self.column = 0
            elif character == "\n":
                self.row += 1
            elif character.isprintable():
                self.cells[self.row, self.column] = character
                self.column += 1

    def __str__(self) -> str:
        rows = range(max((r for r, _ in self.cells), default=-1) + 1)
        columns = range(max((c for _, c in self.cells), default=-1) + 1)
        return "\n".join("".join(self.cells.get((r, c), " ") for c in columns).rstrip() for r in rows)


class Page:
    """One page: its requests, its WebSocket's frames, and keys."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.screen = Screen()
        self.requests: list[str] = []
        self.sent: list[str] = []
        self.problems: list[str] = []
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def listen(self) -> None:
        """Take in answers and events until the browser is gone."""
        async for message in self.socket:
            said = json.loads(message.data)
            if "id" in said:
                self._answers.pop(said["id"]).set_result(said)
            else:
                self._note(said["method"], said["params"])

    def _note(self, method: str, of: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(of["request"]["url"])
        elif method == "Network.webSocketCreated":
            self.requests.append(of["url"])
        elif method == "Network.webSocketFrameSent":
            self.sent.append(of["response"]["payloadData"])
        elif method == "Network.webSocketFrameReceived" and of["response"]["opcode"] == 2:
            self.screen.feed(base64.b64decode(of["response"]["payloadData"]).decode())
        elif method == "Runtime.exceptionThrown":
            self.problems.append(str(of["exceptionDetails"]))
        elif method == "Log.entryAdded" and of["entry"]["level"] == "error":
            self.problems.append(f"{of['entry']['text']} {of['entry'].get('url')}")

    async def ask(self, method: str, **parameters: object) -> dict[str, Any]:
        """Give the browser a command and return its result."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self.socket.send_json({"id": number, "method": method, "params": parameters})
        said = await asyncio.wait_for(answer, 30)
        assert "error" not in said, said
        return said["result"]  # type: ignore[no-any-return]

    async def evaluate(self, expression: str) -> Any:
        """Return what an expression of the page's own language gives."""
        result = await self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        return result["result"].get("value")

    async def resize(self, width: int, height: int) -> None:
        """Give the window another size, in pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self.ask("Emulation.setDeviceMetricsOverride", **size)

    async def press(self, key: str) -> None:
        """Press a key that writes a character."""
        for kind in ("keyDown", "keyUp"):
            await self.ask(
                "Input.dispatchKeyEvent", type=kind, key=key, text=key if kind == "keyDown" else ""
            )

    async def picture(self) -> bytes:
        """Return what the page shows, as PNG."""
        return base64.b64decode((await self.ask("Page.captureScreenshot", format="png"))["data"])

    async def until(self, holds: Callable[[str], object], within: float = 60) -> str:
        """Wait until something holds of the screen's text and return that text."""
        deadline = time.monotonic() + within
        while not holds(text := str(self.screen)):
            assert time.monotonic() < deadline, f"the screen stayed:\n{text}\n{self.problems}"
            await asyncio.sleep(0.1)
        return text


@asynccontextmanager
async def opened(url: str, width: int = 1280, height: int = 800) -> AsyncIterator[Page]:
    """Open a page in a browser of its own, with nothing remembered."""
    profile = tempfile.mkdtemp(prefix="qood-browser-")
    program = installed()
    assert program is not None
    process = await asyncio.create_subprocess_exec(
        program, *FLAGS, f"--user-data-dir={profile}", "about:blank", stdout=DEVNULL, stderr=PIPE
    )
    try:
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://{await _debugger(process)}/json") as answer:
                tab = next(tab for tab in await answer.json() if tab["type"] == "page")
            async with session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                page = Page(socket)
                listening = asyncio.create_task(page.listen())
                for domain in ("Network", "Page", "Runtime", "Log"):
                    await page.ask(f"{domain}.enable")
                await page.resize(width, height)
                await page.ask("Page.navigate", url=url)
                yield page
                listening.cancel()
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), 10)
        shutil.rmtree(profile, ignore_errors=True)


async def _debugger(process: Process) -> str:
    """Return host and port of the browser's debugger, which it prints once it is ready."""
    assert process.stderr is not None
    async with asyncio.timeout(60):
        async for line in process.stderr:
            if b"DevTools listening on " in line:
                return urlsplit(line.split()[-1].decode()).netloc
    raise AssertionError("the browser did not start")


def save(picture: bytes, folder: Path, name: str) -> None:
    """Keep a picture for whoever wants to look."""
    (folder / f"{name}.png").write_bytes(picture)
