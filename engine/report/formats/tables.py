"""Tables as markdown, LaTeX and comma-separated values, for reports and exports."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from engine.report.blocks import Cell, Marked, Table, text_of
from engine.report.formats import escaping


def markdown(table: Table) -> list[str]:
    """Return the lines of a table in markdown."""
    lines = [_bars(map(escaping.markdown, table.columns)), f"|{'|'.join(_alignment(table, '---', '--:'))}|"]
    return lines + [_bars(escaping.markdown(text_of(cell)) for cell in row) for row in table.rows]


def long_latex(table: Table) -> list[str]:
    """Return the lines of a table in LaTeX that may span pages, with its caption."""
    head = _head(table)
    return [
        rf"\begin{{longtable}}{{@{{}}{''.join(_alignment(table, 'l', 'r'))}@{{}}}}",
        rf"\caption{{{escaping.latex(table.caption)}}}\\",
        *head,
        r"\endfirsthead",
        *head,
        r"\endhead",
        r"\bottomrule",
        r"\endlastfoot",
        *_body(table),
        r"\end{longtable}",
    ]


def short_latex(table: Table) -> list[str]:
    """Return the lines of a table in LaTeX, for a float with its own caption."""
    columns = "".join(_alignment(table, "l", "r"))
    body = [*_head(table), *_body(table), r"\bottomrule"]
    return [rf"\begin{{tabular}}{{{columns}}}", *body, r"\end{tabular}"]


def comma_separated(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return one line per row; None becomes an empty cell, and no cell is a formula."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(map(escaping.spreadsheet, row) for row in rows)
    return text.getvalue()


def _alignment(table: Table, words: str, numbers: str) -> list[str]:
    return [words if at < table.texts else numbers for at in range(len(table.columns))]


def _bars(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _head(table: Table) -> list[str]:
    return [r"\toprule", _ampersands(map(escaping.latex, table.columns)), r"\midrule"]


def _body(table: Table) -> Iterator[str]:
    """Yield the rows, a rule between groups."""
    for at, group in enumerate(filter(None, table.groups)):
        if at:
            yield r"\midrule"
        for row in group:
            yield _ampersands(map(_latex_cell, row))


def _latex_cell(cell: Cell) -> str:
    """Return a cell; marked numbers are bold instead of marked."""
    if isinstance(cell, Marked):
        text = escaping.latex(cell.text)
        return rf"\textbf{{{text}}}" if cell.mark else text
    return escaping.latex(text_of(cell))


def _ampersands(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"
