"""The web server: one page, its files, and a WebSocket for every page that is open.

Every address begins with a secret, as Jupyter's does: a port of this machine is open to all its users, and to
every page of a browser on it. Whoever does not have the whole address finds nothing.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import shlex
import signal
import socket
from collections.abc import Sequence
from pathlib import Path

import aiohttp_jinja2
import click
from aiohttp import WSCloseCode, web
from textual_serve.server import Server, to_int

from engine.system.paths import log_file
from qood_tui.web.served import GRACE, Served

LOST = "Open the whole address that 'qood-tui serve' printed: its last part is a secret.\n"


class Pages(Server):
    """Serve the application `command` below a secret path, without anything from elsewhere.

    `public_url` is where browsers reach it, if a proxy stands in between.
    """

    def __init__(self, command: Sequence[str], title: str, public_url: str = "") -> None:
        super().__init__(
            shlex.join(command), title=title, public_url=public_url.rstrip("/"), templates_path=_here()
        )
        self.secret = secrets.token_urlsafe(16)
        self.open: set[web.WebSocketResponse] = set()

    async def make_app(self) -> web.Application:
        """Return the web application, which serves nothing but what is below the secret."""
        app = web.Application()
        app.add_subapp(f"/{self.secret}/", await self._make_app())
        app.router.add_get("/{path:.*}", _refuse)
        return app

    def address(self, base: str) -> str:
        """Return the address of the page, on a server that is reached at `base` unless by a proxy."""
        return f"{self.public_url or base}/{self.secret}"

    async def on_startup(self, app: web.Application) -> None:
        """Print nothing: the address is printed once the server listens."""

    async def on_shutdown(self, app: web.Application) -> None:
        """Close all pages, which ends their applications."""
        await asyncio.gather(*(page.close(code=WSCloseCode.GOING_AWAY) for page in self.open))

    async def handle_index(self, request: web.Request) -> web.StreamResponse:
        """Return the page, for the host that the browser asked: a port forward may have its own port."""
        base = self.address(f"http://{request.host}")
        nonce = secrets.token_urlsafe(16)
        context = {
            "title": self.title,
            "static": f"{base}/static/",
            "socket": f"ws{base.removeprefix('http')}/ws",
            "font_size": min(max(to_int(request.query.get("fontsize", "16"), 16), 6), 72),
            "nonce": nonce,
        }
        response = aiohttp_jinja2.render_template("page.html", request, context)
        response.headers["Content-Security-Policy"] = _policy(base, nonce)
        response.headers["Cache-Control"] = "no-store"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Run an application for as long as the page is open."""
        page = web.WebSocketResponse(heartbeat=15, timeout=1.0)
        await page.prepare(request)
        served = Served(self.command, page.send_bytes, page.send_str, page.close, self.download_manager)
        self.open.add(page)
        try:
            width, height = (to_int(request.query.get(side, ""), 80) for side in ("width", "height"))
            await served.start(min(max(width, 1), 1000), min(max(height, 1), 1000))
            await self._process_messages(page, served)
        finally:
            self.open.discard(page)
            await served.stop()
        return page


def run(pages: Pages, listening: socket.socket, words: str) -> None:
    """Serve on a socket, print `words` once it listens, and end with a signal."""
    try:
        logging.basicConfig(filename=log_file("serve"), level=logging.WARNING)
    except OSError:
        logging.basicConfig(handlers=[logging.NullHandler()])
    asyncio.run(_serve(pages, listening, words))


async def _serve(pages: Pages, listening: socket.socket, words: str) -> None:
    end = asyncio.Event()
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as it is under nohup
        numbers.append(signal.SIGHUP)
    for number in numbers:
        asyncio.get_running_loop().add_signal_handler(number, end.set)
    runner = web.AppRunner(await pages.make_app(), access_log=None, shutdown_timeout=GRACE + 2)
    await runner.setup()
    try:
        await web.SockSite(runner, listening).start()
        click.echo(words)
        await end.wait()
    finally:
        await runner.cleanup()


async def _refuse(_request: web.Request) -> web.StreamResponse:
    raise web.HTTPNotFound(text=LOST)


def _policy(base: str, nonce: str) -> str:
    """Return what the page may load, only its own files, and that no other page may frame it."""
    files, socket_url = f"{base}/static/", f"ws{base.removeprefix('http')}/ws"
    return (
        f"default-src 'none'; script-src {files} 'nonce-{nonce}'; style-src {files} 'unsafe-inline'; "
        f"font-src {files}; img-src data:; connect-src {socket_url}; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )


def _here() -> Path:
    return Path(__file__).resolve().parent
