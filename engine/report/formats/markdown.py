"""A document as markdown."""

from __future__ import annotations

import re

from engine.report.blocks import Block, Items, Section, Table, Text, text_of
from engine.report.contents import Document
from engine.report.sections.outline import lead, sections
from engine.text import clean

_MARKUP = re.compile(r"[\\`<>\[\]|$]|&(?=[#\w])|(?<!\w)_|_(?!\w)|~(?=~)|\*(?!(?<=\d\*)(?: |$))")
_LINK = re.compile(r"(?<=\w):(?=//)|(?<=www)\.", re.IGNORECASE)
_AT_START = re.compile(r"^(\s*)(?:([-+#=])(?=[\s\-+#=]|$)|(\d+)([.)])(?=\s|$))")


def as_markdown(found: Document) -> str:
    """Return the document as markdown; figures are left to other formats."""
    every = sections(found)
    lines = [f"# {escaped(found.session)}", ""]
    for section in every:
        if section.is_urgent:
            lines += _section(section)
    lines += [line for sentence in lead(found) for line in (_started(sentence), "")]
    for section in every:
        if not section.is_urgent:
            lines += _section(section)
    return "\n".join(lines[:-1]) + "\n"


def table_lines(table: Table) -> list[str]:
    """Return a table as markdown."""
    lines = [_row(table.columns), "|" + "---|" * table.texts + "--:|" * (len(table.columns) - table.texts)]
    return lines + [_row([text_of(cell) for cell in row]) for row in table.rows]


def escaped(text: str) -> str:
    """Return text of which nothing is markup; a star after a number stays as it is."""
    return _LINK.sub(lambda found: f"\\{found[0]}", _MARKUP.sub(lambda found: f"\\{found[0]}", clean(text)))


def _started(text: str) -> str:
    """Return text that begins a line."""
    return _AT_START.sub(lambda f: f"{f[1]}\\{f[2]}" if f[2] else f"{f[1]}{f[3]}\\{f[4]}", escaped(text))


def _section(section: Section) -> list[str]:
    lines = [f"## {escaped(section.title)}", ""]
    tables = sum(isinstance(block, Table) for block in section.blocks)
    for block in section.blocks:
        lines += _block(block, is_one_of_many=tables > 1)
    return lines


def _block(block: Block, *, is_one_of_many: bool) -> list[str]:
    match block:
        case Text(text):
            return [_started(text), ""]
        case Items(items):
            return [*(f"- {_started(item)}" for item in items), ""]
        case Table():
            title = [f"### {escaped(block.caption)}", ""] if is_one_of_many else []
            return [*title, *table_lines(block), ""]
    return []


def _row(cells: tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join(map(escaped, cells))} |"
