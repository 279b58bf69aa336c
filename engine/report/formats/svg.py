"""Drawings as SVG elements: nothing but shapes and text, coloured by the classes of the page's style."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from engine.text import clean

STYLES = 8  # of lines: colour and dashes


def element(name: str, *content: str, **attributes: object) -> str:
    """Return an element; `content` is markup, attributes are text (`_` becomes `-`, dropped at the end)."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(clean(str(value)))}"'
        for key, value in attributes.items()
    )
    return f"<{name}{written}>{''.join(content)}</{name}>" if content else f"<{name}{written}/>"


def words(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    """Return text at a place."""
    written = {"class_": kind} if kind else {}
    if anchor != "start":
        written["text_anchor"] = anchor
    return element("text", escape(clean(text)), x=number(x), y=number(y), **written)


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """Return a straight line."""
    return element("line", x1=number(x1), y1=number(y1), x2=number(x2), y2=number(y2), class_=kind)


def path(points: Iterable[tuple[float, float]], kind: str) -> str:
    """Return a line through points."""
    joined = "L".join(f"{number(x)} {number(y)}" for x, y in points)
    return element("path", d=f"M{joined}", class_=kind)


def drawing(name: str, title: str, description: str, size: tuple[float, float], parts: Sequence[str]) -> str:
    """Return a whole drawing; `name` must be unique on the page, `description` describes it in words."""
    return element(
        "svg",
        element("title", escape(clean(title)), id=f"{name}-title"),
        element("desc", escape(clean(description)), id=f"{name}-desc"),
        *parts,
        viewBox=f"0 0 {number(size[0])} {number(size[1])}",
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
    )


def number(value: float) -> str:
    """Return a coordinate with at most two decimals."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def shortened(text: str, most: int) -> str:
    """Return text of at most `most` characters, with its middle left out."""
    text = clean(text)
    return text if len(text) <= most else f"{text[: most // 2]}…{text[-(most - most // 2 - 1) :]}"
