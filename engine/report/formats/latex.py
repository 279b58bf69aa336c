"""A document's main tables as LaTeX: whole, so that it compiles, and table by table to be copied."""

from __future__ import annotations

import textwrap

from engine.report.blocks import Section, Table
from engine.report.contents import Document
from engine.report.formats import escaping, tables
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


def _visible(found: Document) -> list[str]:
    if not found.mismatches:
        return []
    told = f"The journal and the arrays of this session disagree in {len(found.mismatches)} places."
    return [rf"\noindent\textbf{{{escaping.latex(told)}}}", ""]


def _tables(section: Section) -> list[str]:
    every = [block for block in section.blocks if isinstance(block, Table) and block.rows]
    return [line for table in every for line in ("", *tables.long_latex(table))]


def _comment(text: str) -> str:
    """Return text as comment lines."""
    return textwrap.fill(clean(text), 100, initial_indent="% ", subsequent_indent="%   ")
