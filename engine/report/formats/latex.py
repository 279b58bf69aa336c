"""A document's main tables as LaTeX: whole, so that it compiles, and table by table to be copied."""

from __future__ import annotations

import re
import textwrap

from engine.report.blocks import Section, Table, text_of
from engine.report.contents import Document
from engine.report.sections import detection, losses
from engine.report.sections.limits import limits
from engine.report.sections.outline import lead, meanings, wrong
from engine.text import clean

PREAMBLE = r"""\documentclass[a4paper,landscape]{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage[margin=15mm]{geometry}
\usepackage{booktabs,longtable}
\setlength{\tabcolsep}{4pt}
\setlength{\LTcapwidth}{\linewidth}
\begin{document}
\footnotesize"""
_SIGN = re.compile(r"(?<![\w.}])\{-\}(?=\d)")
SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "-": "{-}",  # two of them would become one dash
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def as_latex(found: Document) -> str:
    """Return a LaTeX document of booktabs tables; what numbers are and cannot tell stands in comments."""
    disagree = [f"% THE JOURNAL AND THE ARRAYS DISAGREE: {line}" for line in wrong(found)]
    notes = [found.session, *lead(found), "A star marks a change (see the definitions)."]
    notes += [*meanings(found), *(f"Cannot tell: {line}" for line in limits(found))]
    notes += [f"Went wrong: {line}" for line in found.failures]
    needs = r"Each table needs \usepackage{booktabs,longtable} and a page in one column."
    every = (losses.headline(found), losses.stated(found), losses.in_full(found), detection.detection(found))
    lines = [*disagree, *map(_comment, (*notes, needs))]
    lines += [PREAMBLE, *_visible(found)]
    for section in (*every, detection.accuracy(found)):
        lines += _tables(section) if section is not None else []
    return "\n".join([*lines, r"\end{document}", ""])


def escaped(text: str) -> str:
    """Return text of which nothing is a command; letters that LaTeX has none of become question marks."""
    return _SIGN.sub("$-$", "".join(map(_letter, clean(text))))


def _letter(character: str) -> str:
    if character in SPECIAL:
        return SPECIAL[character]
    if character.isascii() or "À" <= character <= "ÿ":  # fontenc T1 has all of these
        return character
    return "?"


def _visible(found: Document) -> list[str]:
    if not found.mismatches:
        return []
    told = f"The journal and the arrays of this session disagree in {len(found.mismatches)} places."
    return [rf"\noindent\textbf{{{escaped(told)}}}", ""]


def _tables(section: Section) -> list[str]:
    tables = [block for block in section.blocks if isinstance(block, Table) and block.rows]
    return [line for table in tables for line in _table(table)]


def _table(table: Table) -> list[str]:
    columns = "l" * table.texts + "r" * (len(table.columns) - table.texts)
    head = [r"\toprule", _row(table.columns), r"\midrule"]
    groups = [[_row([text_of(cell) for cell in row]) for row in group] for group in table.groups if group]
    body = [line for at, group in enumerate(groups) for line in ([r"\midrule"] if at else []) + group]
    return [
        "",
        rf"\begin{{longtable}}{{@{{}}{columns}@{{}}}}",
        rf"\caption{{{escaped(table.caption)}}}\\",
        *head,
        r"\endfirsthead",
        *head,
        r"\endhead",
        r"\bottomrule",
        r"\endlastfoot",
        *body,
        r"\end{longtable}",
    ]


def _row(cells: list[str] | tuple[str, ...]) -> str:
    return " & ".join(map(escaped, cells)) + r" \\"


def _comment(text: str) -> str:
    """Return text as comment lines."""
    return textwrap.fill(clean(text), 100, initial_indent="% ", subsequent_indent="%   ")
