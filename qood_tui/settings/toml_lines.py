"""On which line a key of a TOML file stands, which tomllib does not tell."""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from typing import Any

Lines = dict[tuple[str, ...], int]

_BLANK = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_ONE_LINE = r""""(?:\\.|[^"\\\n])*"|'[^'\n]*'"""
_STRING = rf'"""(?:\\.|[^\\])*?"{{3,5}}|\'\'\'.*?\'{{3,5}}|{_ONE_LINE}'
_PART = rf"(?:{_ONE_LINE}|[A-Za-z0-9_-]+)"
_KEY = re.compile(rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*")
_OPENED, _CLOSED = re.compile(r"\[{1,2}[ \t]*"), re.compile(r"[ \t]*\]{1,2}")
_EQUALS = re.compile(r"[ \t]*=[ \t]*")
_BETWEEN = re.compile(r"(?:[ \t\n,]|#[^\n]*)*")
_SCALAR = re.compile(rf"{_STRING}|[^,\]}}#\n]+", re.DOTALL)
_IN_ARRAY = re.compile(rf"{_STRING}|#[^\n]*|[\[\]]|[^\[\]\"'#]+", re.DOTALL)


def lines(text: str) -> Lines:
    """Return the line where each key and each table of a valid TOML text, up to two names deep, begins."""
    return _Scanner(text.replace("\r\n", "\n")).run()


class _Scanner:
    """Walk through a text that tomllib has accepted, so that nothing of it needs checking here."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.found: Lines = {}
        self.breaks = [match.start() for match in re.finditer("\n", text)]

    def run(self) -> Lines:
        """Return the line of every key."""
        table: tuple[str, ...] = ()
        at = self._past(_BLANK, 0)
        while at < len(self.text):
            if self.text[at] == "[":
                begin = self._past(_OPENED, at)
                end = self._past(_KEY, begin)
                table = self._noted((), begin, end)
                at = self._past(_CLOSED, end)
            else:
                at = self._pair(table, at)
            at = self._past(_BLANK, at)
        return self.found

    def _pair(self, table: tuple[str, ...], at: int) -> int:
        """Note the key that begins at a place and return where its value ends."""
        end = self._past(_KEY, at)
        path = self._noted(table, at, end)
        at = self._past(_EQUALS, end)
        if self.text[at] == "[":
            return self._array_end(at)
        if self.text[at] != "{":
            return self._past(_SCALAR, at)
        at = self._past(_BETWEEN, at + 1)
        while self.text[at] != "}":
            at = self._past(_BETWEEN, self._pair(path, at))
        return at + 1

    def _array_end(self, at: int) -> int:
        depth = 0
        while True:
            depth += {"[": 1, "]": -1}.get(self.text[at], 0)
            at = self._past(_IN_ARRAY, at)
            if not depth:
                return at

    def _noted(self, table: tuple[str, ...], begin: int, end: int) -> tuple[str, ...]:
        path = table + _parts(self.text[begin:end])
        for depth in (1, 2):
            self.found.setdefault(path[:depth], bisect_right(self.breaks, begin) + 1)
        return path

    def _past(self, pattern: re.Pattern[str], at: int) -> int:
        match = pattern.match(self.text, at)
        assert match, "tomllib accepted the text"
        return match.end()


def _parts(key: str) -> tuple[str, ...]:
    """Split a key at its dots and take quotes and escapes away."""
    parts = []
    inner: Any = tomllib.loads(f"{key} = 0")
    while isinstance(inner, dict):
        ((name, inner),) = inner.items()
        parts.append(name)
    return tuple(parts)
