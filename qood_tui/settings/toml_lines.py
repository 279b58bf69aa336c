"""On which line a key of a TOML file stands, which tomllib does not tell."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any, NamedTuple

Lines = dict[tuple[str, ...], int]

MOST_LINES = 100  # of one value: it is parsed again with each of them


class Statement(NamedTuple):
    """A header of a table, or a key with its value: the line on which it begins, and its data."""

    line: int
    is_header: bool
    data: dict[str, Any]


def lines(text: str) -> Lines:
    """Return the line on which each key of a valid TOML text, up to two names deep, is given.

    Keys of an inline table have the line of the table. Raises ValueError for a value of too many lines.
    """
    found: Lines = {}
    table: tuple[str, ...] = ()
    for statement in _statements(text.replace("\r\n", "\n").split("\n")):
        above = () if statement.is_header else table
        for name, value in statement.data.items():
            inner = [(name, one) for one in value] if isinstance(value, dict) else []
            for path in ((name,), *inner):
                for depth in (1, 2):
                    found.setdefault((*above, *path)[:depth], statement.line)
        if statement.is_header:
            table = path
    return found


def _statements(rows: list[str]) -> Iterator[Statement]:
    """Yield the statements: each is the fewest lines that are TOML, as what is unfinished is none."""
    begin = 0
    for end in range(1, len(rows) + 1):
        try:
            data = tomllib.loads("\n".join(rows[begin:end]))
        except tomllib.TOMLDecodeError:
            if end - begin == MOST_LINES:
                raise ValueError(
                    f"a value has at most {MOST_LINES} lines (at line {begin + 1}, column 1)"
                ) from None
            continue
        if data:
            yield Statement(begin + 1, rows[begin].lstrip().startswith("["), data)
        begin = end
