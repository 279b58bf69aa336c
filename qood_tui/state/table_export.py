"""For use outside the terminal: a pane as text or SVG, the delta table as CSV, markdown or LaTeX."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from rich.console import Console
from rich.terminal_theme import DEFAULT_TERMINAL_THEME, SVG_EXPORT_THEME
from rich.text import Text

from engine import catalog
from engine.report.formats import latex, markdown
from qood_tui.state.delta_table import Number, Row, Table
from qood_tui.state.view_options import Unit
from qood_tui.words import clean

_WEB = re.compile(r"@font-face\s*\{.*?\}|<!--.*?-->", re.DOTALL)
MARKS = "▼ ▲"


def as_text(lines: Sequence[Text]) -> str:
    """Return lines without colours."""
    return "".join(f"{clean(line.plain).rstrip()}\n" for line in lines)


def as_svg(lines: Sequence[Text], width: int, title: str, *, is_light: bool = False) -> str:
    """Return lines as a picture that needs no font from elsewhere."""
    console = Console(
        record=True, width=max(width, 1), file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    for line in lines:
        line = line.copy()
        line.plain = clean(line.plain)
        console.print(line, no_wrap=True, overflow="crop", crop=True, highlight=False)
    theme = DEFAULT_TERMINAL_THEME if is_light else SVG_EXPORT_THEME
    return _WEB.sub("", console.export_svg(title=clean(title), theme=theme))


def as_csv(found: Table) -> str:
    """Return one line a number: what it is of, its value, interval and whether it is a change."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        (
            "model",
            "bits",
            "draw",
            "set",
            "score",
            "measure",
            "unit",
            "value",
            "low",
            "high",
            "change",
            "images",
        )
    )
    for row in _variants(found):
        variant = row.variant
        unit = Unit.VALUE if variant.bits.is_float else found.unit
        named = {**row.sets, "mean of OOD sets": row.mean, "top-1": row.top1}
        for name, number in named.items():
            writer.writerow(
                (
                    *(variant.model, str(variant.bits), variant.draw + 1, name),
                    *(_measured(found, name, unit)),
                    *(_exact(value) for value in (number.value, number.low, number.high)),
                    *({"▼": "loss", "▲": "gain"}.get(number.mark, ""), row.images),
                )
            )
    return out.getvalue()


def as_markdown(found: Table) -> str:
    """Return the table for a text, with what its numbers are below."""
    names = [*found.sets, "mean", "95 % interval", "top-1"]
    lines = [f"| variant | {' | '.join(map(markdown.escaped, names))} |", f"|:---|{'---:|' * len(names)}"]
    lines += [
        f"| {markdown.escaped(row.label)} | {' | '.join(_cells(row, found, _marked))} |"
        for row in _variants(found)
    ]
    return "\n".join([*lines, "", markdown.escaped(_note(found)), ""])


def as_latex(found: Table) -> str:
    """Return a tabular for booktabs; changes are bold."""
    names = ["variant", *found.sets, "mean", "95 % interval", "top-1"]
    head = " & ".join(map(latex.escaped, names))
    lines = [
        f"% {clean(_note(found)).replace(MARKS, 'bold')}",
        rf"\begin{{tabular}}{{l{'r' * (len(names) - 1)}}}",
        r"\toprule",
        rf"{head} \\",
        r"\midrule",
    ]
    lines += [
        rf"{' & '.join([latex.escaped(row.label), *map(_minus, _cells(row, found, _bold))])} \\"
        for row in _variants(found)
    ]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


TABLES: Mapping[str, tuple[str, Callable[[Table], str]]] = MappingProxyType(
    {
        "csv": ("CSV, a line a number", as_csv),
        "md": ("markdown", as_markdown),
        "tex": ("LaTeX, booktabs", as_latex),
    }
)


def _measured(found: Table, column: str, unit: Unit) -> tuple[str, str, str]:
    """Return score, measure and unit of a column."""
    if column == "top-1":
        return "", "top-1", "percent" if unit is Unit.VALUE else unit.value
    return catalog.label_of(found.score), found.measure.label.split(",")[0], unit.value


def _variants(found: Table) -> list[Row]:
    return [row for row in found.rows if not row.is_spread and not row.problem]


def _cells(row: Row, found: Table, word: Callable[[Number, str], str]) -> list[str]:
    is_value = row.variant.bits.is_float or found.unit is Unit.VALUE
    form = ".3f" if is_value else "+.1f"
    numbers = [word(row.sets.get(name, Number()), form) for name in found.sets]
    return [*numbers, word(row.mean, form), row.mean.interval, word(row.top1, ".1f" if is_value else "+.1f")]


def _marked(number: Number, form: str) -> str:
    return "" if number.value is None else f"{number.value:{form}}{number.mark.strip()}"


def _bold(number: Number, form: str) -> str:
    if number.value is None:
        return "--"
    text = f"{number.value:{form}}"
    return f"${text}$" if number.mark == " " else rf"$\mathbf{{{text}}}$"


def _minus(cell: str) -> str:
    """Set the ends of an interval as formulas, so that a minus is one."""
    low, sign, high = cell.partition(" to ")
    return f"${low}$ to ${high}$" if sign else cell


def _exact(value: float | None) -> str:
    return "" if value is None else f"{value:.7g}"


def _note(found: Table) -> str:
    """Say what the numbers are."""
    kind = {
        Unit.POINTS: "FP32 minus quantized in percentage points",
        Unit.RELATIVE: "FP32 minus quantized in percent of FP32",
        Unit.VALUE: "values",
    }[found.unit]
    label = f"{found.measure.label.split(',')[0]}, {catalog.label_of(found.score)}"
    rows = _variants(found)
    references = "; FP32 rows are values" if any(row.variant.bits.is_float for row in rows) else ""
    left_out = f" {len(rows)} of {found.total} rows, by a filter." if found.is_filtered else ""
    left_out += f" Left out: {', '.join(found.left_out)}." if found.left_out else ""
    provisional = " Provisional: few images." if found.is_provisional else ""
    return f"{label}: {kind}{references}. {found.intervals}.{left_out}{provisional}"
