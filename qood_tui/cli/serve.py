"""`qood-tui serve`: the application in a browser, for whoever has its secret address."""

from __future__ import annotations

import errno
import importlib.util
import ipaddress
import shlex
import socket
import sys
from urllib.parse import urlsplit

import click

from engine.errors import InputError

OPENS_A_SCREEN = ("replay", "compare")
EXTRA = "pip install 'qood-tui[web]'"
WARNING = (
    "qood-tui: the secret address crosses the network unencrypted, and whoever has it can start sweeps "
    "as this user; safer is an SSH port forward: ssh -L {port}:localhost:{port} {machine}"
)


@click.command(options_metavar="[OPTIONS]")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="NAME", help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port to listen on; 0 picks a free one.",
)
@click.option("--public-url", metavar="URL", help="Where browsers reach it through a proxy.")
@click.option("--allow-others", is_flag=True, help="Listen where other machines can connect.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- ARGUMENT...]")
@click.pass_context
def serve(
    context: click.Context,
    /,
    host: str,
    port: int,
    public_url: str | None,
    allow_others: bool,
    arguments: tuple[str, ...],
) -> None:
    """Serve the application to a browser.

    Everything after -- is passed to qood-tui: `qood-tui serve -- replay demo`. Every open page runs its
    own. The printed address ends in a secret, without which nothing is served. Needs
    the extra `web`. To reach another machine, forward its port: ssh -L 8000:localhost:8000 HOST
    """
    _check_arguments(context, arguments)
    if public_url is not None:
        _check_url(public_url)
    if importlib.util.find_spec("textual_serve") is None:
        raise InputError("serve", "textual-serve", f"it is not installed; run: {EXTRA}")
    listening = listen(host, port, allow_others)
    from qood_tui.web.server import Pages, run

    port = listening.getsockname()[1]
    if allow_others:
        machine = socket.gethostname()
        click.echo(WARNING.format(port=port, machine=machine), err=True)
    command = [sys.executable, "-m", "qood_tui.cli.browser_child", *arguments]
    title = shlex.join(["qood-tui", *arguments])
    pages = Pages(command, title, public_url or "")
    address = pages.address(_base(host, listening))
    run(pages, listening, f"{title} is at {address}/ (port {port}; Ctrl-C ends it)")


def listen(host: str, port: int, allow_others: bool) -> socket.socket:
    """Return a socket that listens at `host`, a loopback address unless others are allowed."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise InputError("host", host, "give a name or an address of this machine") from None
    # The address that is judged is the one that is listened at. IPv4 first: a page says localhost.
    family, *_, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    if not allow_others and not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback:
        right = (
            "others could reach it; keep 127.0.0.1 and forward the port "
            f"(ssh -L {port or 8000}:localhost:{port or 8000} HOST), or add --allow-others"
        )
        raise InputError("host", host, right)
    try:
        return socket.create_server(address[:2], family=family, backlog=128)
    except OSError as error:
        raise _refusal(host, port, error) from None


def _base(host: str, listening: socket.socket) -> str:
    """Return the address of what listens, as a browser needs it."""
    address, port = listening.getsockname()[:2]
    is_everywhere = ipaddress.ip_address(address.partition("%")[0]).is_unspecified
    name = socket.gethostname().lower() if is_everywhere else host
    return f"http://{f'[{name}]' if ':' in name else name}:{port}"


def _refusal(host: str, port: int, error: OSError) -> InputError:
    if error.errno == errno.EADDRINUSE:
        return InputError("port", port, f"something listens at {host}:{port} already; --port 0 finds another")
    if error.errno in (errno.EACCES, errno.EPERM):
        return InputError("port", port, "this user may not listen there; give one from 1024 on")
    if error.errno == errno.EADDRNOTAVAIL:
        return InputError("host", host, "give a name or an address of this machine")
    return InputError("host", host, f"listening there fails ({error.strerror})")


def _check_arguments(context: click.Context, arguments: tuple[str, ...]) -> None:
    """Refuse what would not open a screen, before a page finds out."""
    main = context.find_root().command
    assert isinstance(main, click.Group)
    rest = main.make_parser(click.Context(main, info_name="qood-tui")).parse_args(list(arguments))[1]
    if not rest:
        return
    command = main.get_command(context.find_root(), rest[0])
    if rest[0] not in OPENS_A_SCREEN or command is None:
        right = f"only what opens a screen is served: options of qood-tui, or {' or '.join(OPENS_A_SCREEN)}"
        raise InputError("serve", rest[0], right)
    command.make_parser(click.Context(command, info_name=f"qood-tui {rest[0]}")).parse_args(rest[1:])


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment or parts.username:
        raise InputError("public-url", url, "give an address such as https://example.org/qood")
