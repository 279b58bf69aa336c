"""Read pages as a browser would, and what a stranger may write into a journal."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

HOSTILE = (
    "</script><img src=x onerror=alert(1)>\"'`x`[a](http://e.x)|**b**"
    "\\input{/etc/passwd}$x$%&#_{}~^\x1b[31m\n# x"
)
VOID = {"meta", "img", "br", "hr", "link", "input"}
ALLOWED = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "h1",
    "h2",
    "div",
    "p",
    "nav",
    "ul",
    "li",
    "a",
    "main",
    "section",
    "table",
    "caption",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "details",
    "summary",
    "figure",
    "figcaption",
    "svg",
    "desc",
    "text",
    "line",
    "path",
    "rect",
    "footer",
}


class Page(HTMLParser):
    """Collect elements, attributes and text; note whatever does not balance."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text += data


def svgs(text: str) -> list[ElementTree.Element]:
    """Return the drawings of a page."""
    return [ElementTree.fromstring(one) for one in re.findall(r"<svg .*?</svg>", text, re.DOTALL)]


def spoilt_data(plain: Any) -> Any:
    """Return plain data with something hostile in every string."""
    if isinstance(plain, dict):
        kept = ("type", "variant", "level", "outcome")
        return {name: value if name in kept else spoilt_data(value) for name, value in plain.items()}
    if isinstance(plain, list):
        return [spoilt_data(value) for value in plain]
    return HOSTILE if isinstance(plain, str) else plain
