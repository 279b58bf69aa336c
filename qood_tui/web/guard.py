"""Who may talk to the served application: its user, through a page of its own."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

from qood_tui.web.peers import is_stranger

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[^\s:@/\[\]]+)(?::[0-9]{1,5})?")


class Guard:
    """Judge requests by their Host and Origin headers and by the user at the other end.

    A page elsewhere can have its own name resolve to this machine (DNS rebinding), or open a WebSocket here
    from its own origin; browsers tell both by these headers. The port of Host does not matter, so that a
    port forward may begin at another one, but Origin must agree with it.
    """

    def __init__(
        self, host: str, bound_to: tuple[str, int], public_url: str | None, allow_others: bool
    ) -> None:
        self.public_url = public_url.rstrip("/") if public_url else None
        self.allow_others = allow_others
        bound = ipaddress.ip_address(bound_to[0].partition("%")[0])
        self.anywhere = bound.is_unspecified
        name = socket.gethostname().lower() if self.anywhere else _bracketed(host.lower())
        self.address = self.public_url or f"http://{name}:{bound_to[1]}"
        self.names = {name, _bracketed(str(bound))}
        if self.anywhere or bound.is_loopback:
            self.names.update(LOOPBACK)
        self.origins: set[str] = set()
        if public_url:
            parts = urlsplit(public_url)
            self.origins.add(f"{parts.scheme}://{parts.netloc}".lower())
            self.names.add(_bracketed(parts.hostname or ""))

    def refusal(self, headers: Mapping[str, str]) -> str | None:
        """Return why a request with these headers is refused, or None if it may pass."""
        host = headers.get("Host", "").lower()
        authority = _AUTHORITY.fullmatch(host)
        if authority is None or not self._is_served(authority[1]):
            return f"Host: {host!r} is not served here; open {self.address}, or name it by --public-url"
        origin = headers.get("Origin")
        if origin is not None and origin.lower() not in {f"http://{host}", *self.origins}:
            return f"Origin: {origin!r} is not served here; a proxy's address is named by --public-url"
        return None

    def stranger(self, peer: object, own: object) -> str | None:
        """Return why a connection between two addresses is refused, or None if it may pass."""
        if self.allow_others or not is_stranger(peer, own):
            return None
        return "This page belongs to another user of this machine, who would have to add --allow-others"

    def _is_served(self, name: str) -> bool:
        if name in self.names:
            return True
        # An address in numbers cannot be rebound: no name was looked up.
        return self.anywhere and _is_address(name.strip("[]"))


def _bracketed(name: str) -> str:
    return f"[{name}]" if ":" in name else name


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
