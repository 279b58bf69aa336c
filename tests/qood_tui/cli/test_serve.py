from __future__ import annotations

import asyncio
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import psutil
import pytest

RUN = [sys.executable, "-m", "qood_tui"]
HELLO = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.fixture
def installed() -> None:
    pytest.importorskip("textual_serve", reason="textual-serve is not installed: pip install 'qood-tui[web]'")


class Running(NamedTuple):
    process: subprocess.Popen[str]
    url: str
    port: int

    @property
    def secret(self) -> str:
        return self.url.rstrip("/").rpartition("/")[2]

    def ask(self, path: str = "", **headers: str) -> tuple[int, str]:
        """Return status and text of an answer below the secret, or only the status of a WebSocket."""
        return self.ask_plainly(f"/{self.secret}/{path}", **headers)

    def ask_plainly(self, path: str, **headers: str) -> tuple[int, str]:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.putrequest("GET", path, skip_host="Host" in given)
        for name, value in given.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        text = "" if answer.status == 101 else answer.read().decode()
        connection.close()
        return answer.status, text

    def applications(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def end(self, number: int = signal.SIGINT) -> tuple[int, str]:
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=30)
        return self.process.returncode, err


@contextmanager
def serving(*arguments: str) -> Iterator[Running]:
    command = [*RUN, "serve", "--port", "0", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        port = re.search(r"\(port (\d+);", said)
        url = re.search(r"https?://\S+/", said)
        assert port and url, said
        yield Running(process, url[0], int(port[1]))
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=30)


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    pytest.importorskip("textual_serve", reason="textual-serve is not installed: pip install 'qood-tui[web]'")
    with serving("--", "replay", "demo") as running:
        yield running


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RUN, "serve", *arguments], capture_output=True, text=True, timeout=60)


def eventually(holds: object, within: float = 30) -> None:
    deadline = time.monotonic() + within
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("--host", "0.0.0.0"), ("host", "0.0.0.0", "--allow-others", "ssh -L 8000:localhost:8000")),
        (("--host", "::"), ("host", "::", "--allow-others")),
        (("--host", "192.0.2.1"), ("host", "192.0.2.1", "--allow-others")),
        (("--host", "192.0.2.1", "--allow-others"), ("host", "192.0.2.1", "address of this machine")),
        (("--host", "no such host"), ("host", "no such host")),
        (("--port", "70000"), ("port", "70000", "65535")),
        (("--public-url", "example.org"), ("public-url", "example.org", "https://")),
        (("--public-url", "https://example.org:port/"), ("public-url", "https://example.org:port/")),
        (("--", "run", "--demo"), ("run", "replay", "opens a screen")),
        (("--", "serve"), ("serve", "replay")),
        (("--", "replay", "demo", "--sped", "3"), ("--sped", "--speed")),
        (("--", "--prset", "demo"), ("--prset", "--preset")),
    ],
)
def test_bad_input_exits_2_and_names_field_given_and_right(
    arguments: tuple[str, ...], names: tuple[str, ...]
) -> None:
    ran = call(*arguments)
    assert ran.returncode == 2
    assert all(name in ran.stderr for name in names), ran.stderr
    assert "Traceback" not in ran.stderr and not ran.stdout


@pytest.mark.usefixtures("installed")
def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ran = call("--port", port)
    assert ran.returncode == 2 and f"127.0.0.1:{port}" in ran.stderr and "--port 0" in ran.stderr


def test_without_the_extra_it_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['textual_serve'] = None; from qood_tui.cli.main import main; main(['serve'])"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 2 and "pip install 'qood-tui[web]'" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_help_imports_neither_the_server_nor_textual() -> None:
    script = "import qood_tui.cli.serve, sys; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in ran.stdout.split()}
    assert not loaded & {"textual_serve", "textual", "aiohttp", "jinja2", "asyncio", "rich", "numpy"}


@pytest.mark.usefixtures("installed")
def test_whoever_allows_others_is_warned_in_one_line() -> None:
    with serving("--host", "0.0.0.0", "--allow-others") as running:
        assert running.ask()[0] == 200 and running.ask_plainly("/")[0] == 404
        status, err = running.end()
    assert status == 0 and len(err.splitlines()) == 1
    assert "unencrypted" in err and f"ssh -L {running.port}:localhost:{running.port} " in err


def test_on_loopback_nothing_is_said_on_standard_error() -> None:
    pytest.importorskip("textual_serve")
    with serving() as running:
        assert running.end() == (0, "")


def test_the_page_names_no_other_host(served: Running) -> None:
    status, text = served.ask()
    assert status == 200 and "qood-tui replay demo" in text
    hosts = re.findall(r"(?:https?|wss?):?//([^/\"']+)", text)
    assert hosts and set(hosts) == {f"127.0.0.1:{served.port}"}
    assert served.ask("static/js/textual.js")[0] == 200


def test_the_page_may_load_nothing_else_and_be_framed_by_nobody(served: Running) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    connection.request("GET", f"/{served.secret}/")
    headers = connection.getresponse().headers
    policy = headers["Content-Security-Policy"]
    assert headers["Referrer-Policy"] == "no-referrer"  # the address is a secret
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy


@pytest.mark.parametrize(
    "path", ["/", "/ws", "/static/js/textual.js", "/{other}/", "/{other}/ws", "//", "/{secret}"]
)
def test_without_the_secret_nothing_is_served_or_started(served: Running, path: str) -> None:
    before = served.applications()
    path = path.format(other="A" * len(served.secret), secret=served.secret[:-1])
    status, text = served.ask_plainly(path, **HELLO)
    assert status == 404 and "whole address" in text and served.secret not in text
    assert served.applications() == before


def test_every_server_has_a_secret_of_its_own(served: Running) -> None:
    with serving() as other:
        assert len(served.secret) >= 22 and other.secret != served.secret


def test_a_forwarded_port_is_served_under_its_own_number(served: Running) -> None:
    status, text = served.ask(Host="localhost:9000")
    assert status == 200 and f"ws://localhost:9000/{served.secret}/ws" in text


def test_a_websocket_of_the_page_itself_starts_an_application_that_ends_with_it(served: Running) -> None:
    status, _ = served.ask("ws", **HELLO)
    assert status == 101
    eventually(lambda: not served.applications())


@pytest.mark.usefixtures("installed")
def test_a_public_address_is_printed_and_written_into_the_page() -> None:
    with serving("--public-url", "https://gpu.example/me/8000/") as running:
        assert running.url == f"https://gpu.example/me/8000/{running.secret}/"
        status, text = running.ask(Host="gpu.example")
        assert status == 200 and f"wss://gpu.example/me/8000/{running.secret}/ws" in text


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_ends_with_open_pages_and_leaves_no_application(number: int) -> None:
    import aiohttp

    async def with_a_page(running: Running) -> tuple[int, str]:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{running.url}ws?width=80&height=24") as page,
        ):
            assert isinstance((await page.receive(30)).data, bytes)
            began.extend(running.applications())
            ending = asyncio.create_task(asyncio.to_thread(running.end, number))
            async for _ in page:
                pass
            ended = await ending
            assert page.close_code == aiohttp.WSCloseCode.GOING_AWAY
            return ended

    began: list[psutil.Process] = []
    with serving("--", "replay", "demo") as running:
        assert asyncio.run(with_a_page(running)) == (0, "")
    assert began and not any(application.is_running() for application in began)


@pytest.mark.usefixtures("installed")
def test_an_application_does_not_outlive_a_server_that_was_killed() -> None:
    import aiohttp

    async def kill_under_a_page(running: Running) -> list[psutil.Process]:
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{running.url}ws") as page:
            await page.receive(30)
            began = running.applications()
            running.process.kill()
        return began

    with serving("--", "replay", "demo", "--at", "5") as running:
        began = asyncio.run(kill_under_a_page(running))
    assert began
    eventually(lambda: not any(application.is_running() for application in began))


@pytest.mark.usefixtures("installed")
def test_why_an_application_does_not_begin_is_told_on_the_page() -> None:
    import aiohttp

    async def said(url: str) -> str:
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}ws") as page:
            return "".join([message.data.decode() async for message in page])

    with serving("--", "replay", "demoo") as running:
        assert "did you mean demo" in asyncio.run(said(running.url))
        assert running.end() == (0, "")


def foot_of_help(text: str) -> int:
    """Return the leftmost column where the foot of the help stands, or -1 where it is not shown."""
    columns = [line.find("escape closes") for line in text.splitlines()]
    return min((column for column in columns if column >= 0), default=-1)


@pytest.mark.usefixtures("installed")
async def test_a_real_browser_shows_the_screen_takes_keys_and_follows_the_window(
    served: Running, tmp_path: Path
) -> None:
    from tests.qood_tui.cli import browser

    if browser.installed() is None:
        pytest.skip(f"no browser is installed: none of {', '.join(browser.NAMES)}")
    async with browser.opened(served.url) as page:
        await page.until(lambda text: "REPLAY" in text and "vit-narrow" in text)
        assert await page.evaluate("document.title") == "qood-tui replay demo"
        plain = await page.picture()
        await page.press("?")
        await page.until(lambda text: "escape closes" in text)
        assert json.dumps(["stdin", "?"], separators=(",", ":")) in page.sent
        await asyncio.sleep(1)
        helped = await page.picture()
        before = foot_of_help(str(page.screen))
        await page.resize(900, 600)
        page.screen.cells.clear()
        await page.until(lambda text: 0 <= foot_of_help(text) < before)
        browser.save(plain, tmp_path, "plain")
        browser.save(helped, tmp_path, "helped")
    assert len(plain) > 20_000 and len(helped) > 20_000 and plain != helped
    assert not page.problems
    assert {urlsplit(url).netloc for url in page.requests} == {f"127.0.0.1:{served.port}"}
    eventually(lambda: not served.applications())
