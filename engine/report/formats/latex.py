"""A document's main tables as LaTeX: a file that compiles, with tables that can be copied one by one."""

from __future__ import annotations

import textwrap

from engine.report.blocks import Section, Table
from engine.report.contents import Document
from engine.report.formats import escaping, tables
from engine.report.sections import detection, losses
from engine.report.sections.limits import limits
from engine.report.sections.outline import lead, meanings, wrong
from engine.text import clean, counted

PREAMBLE = r"""\documentclass[a4paper,landscape]{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage[margin=15mm]{geometry}
\usepackage{booktabs,longtable}
\setlength{\tabcolsep}{4pt}
\setlength{\LTcapwidth}{\linewidth}
\begin{document}
\footnotesize"""


def as_latex(document: Document) -> str:
    """Return a LaTeX document of booktabs tables, with definitions and limits in comments."""
    disagree = [f"% THE JOURNAL AND THE ARRAYS DISAGREE: {line}" for line in wrong(document)]
    notes = [document.session, *lead(document), "A star marks a significant change (see the definitions)."]
    notes += [*meanings(document), *(f"Cannot tell: {line}" for line in limits(document))]
    notes += [f"Went wrong: {line}" for line in document.failures]
    needs = r"Each table needs \usepackage{booktabs,longtable} and a one-column page."
    every = (
        losses.headline(document),
        losses.stated(document),
        losses.in_full(document),
        detection.detection(document),
    )
    lines = [*disagree, *map(_comment, (*notes, needs))]
    lines += [PREAMBLE, *_visible(document)]
    for section in (*every, detection.accuracy(document)):
        lines += _tables(section) if section is not None else []
    return "\n".join([*lines, r"\end{document}", ""])


def _visible(document: Document) -> list[str]:
    if not document.mismatches:
        return []
    places = counted(len(document.mismatches), "place")
    warning = f"The journal and the arrays of this session disagree in {places}."
    return [rf"\noindent\textbf{{{escaping.latex(warning)}}}", ""]


def _tables(section: Section) -> list[str]:
    every = [block for block in section.blocks if isinstance(block, Table) and block.rows]
    return [line for table in every for line in ("", *tables.long_latex(table))]


def _comment(text: str) -> str:
    """Return text as comment lines."""
    return textwrap.fill(clean(text), 100, initial_indent="% ", subsequent_indent="%   ")
