"""A document as markdown."""

from __future__ import annotations

import re

from engine.report.blocks import Block, Items, Section, Table, Text
from engine.report.contents import Document
from engine.report.formats import tables
from engine.report.formats.escaping import markdown
from engine.report.sections.outline import lead, sections

_AT_START = re.compile(r"^(\s*)(?:([-+#=])(?=[\s\-+#=]|$)|(\d+)([.)])(?=\s|$))")


def as_markdown(document: Document) -> str:
    """Return the document as markdown, without figures."""
    every = sections(document)
    lines = [f"# {markdown(document.session)}", ""]
    for section in every:
        if section.is_urgent:
            lines += _section(section)
    lines += [line for sentence in lead(document) for line in (_started(sentence), "")]
    for section in every:
        if not section.is_urgent:
            lines += _section(section)
    return "\n".join(lines[:-1]) + "\n"


def _started(text: str) -> str:
    """Return text for the start of a line."""
    return _AT_START.sub(lambda f: f"{f[1]}\\{f[2]}" if f[2] else f"{f[1]}{f[3]}\\{f[4]}", markdown(text))


def _section(section: Section) -> list[str]:
    lines = [f"## {markdown(section.title)}", ""]
    count = sum(isinstance(block, Table) for block in section.blocks)
    for block in section.blocks:
        lines += _block(block, is_one_of_many=count > 1)
    return lines


def _block(block: Block, *, is_one_of_many: bool) -> list[str]:
    match block:
        case Text(text):
            return [_started(text), ""]
        case Items(items):
            return [*(f"- {_started(item)}" for item in items), ""]
        case Table():
            title = [f"### {markdown(block.caption)}", ""] if is_one_of_many else []
            return [*title, *tables.markdown(block), ""]
    return []
