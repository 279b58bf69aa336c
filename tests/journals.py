"""Journals changed by hand, line by line, as somebody would who knows the format."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.protocol.events import VERSION
from engine.session.layout import JOURNAL
from engine.session.seal import sealed

RECORDED = Path(__file__).parent / "engine" / "recorded"  # one session of every format, by its number
VERSIONS = tuple(str(number) for number in range(1, VERSION + 1))  # of the format
Plain = dict[str, Any]
SEAL = b',"crc":"01234567"}\n'


def line_of(plain: Plain) -> bytes:
    """Return plain data as a line with its seal."""
    kept = {name: value for name, value in plain.items() if name != "crc"}
    return sealed(
        json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    )


def rewrite(session: Path, change: Callable[[int, Plain], object]) -> None:
    """Pass every line of a journal through `change(position, plain data)`."""
    path = session / JOURNAL
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    for position, line in enumerate(lines):
        change(position, line)
    path.write_bytes(b"".join(map(line_of, lines)))


def reseal(session: Path, change: Callable[[bytes], bytes]) -> None:
    """Pass the bytes of every line, without its seal, through `change`."""
    path = session / JOURNAL
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(sealed(change(line[: -len(SEAL)] + b"}")) for line in lines))


def forge(session: Path, change: Callable[[Plain], object]) -> None:
    """Change the events of a journal as somebody does who makes every seal and hash anew."""
    path = session / JOURNAL
    first, *lines = path.read_bytes().splitlines(keepends=True)
    whole = first
    for line in lines:
        plain = json.loads(line)
        change(plain["event"])
        if plain["event"]["type"] == "session.closed":
            plain["event"]["sha256"] = hashlib.sha256(whole).hexdigest()
        whole += line_of(plain)
    path.write_bytes(whole)
