"""Exports: a pane as text or SVG, the delta table as CSV, markdown or LaTeX."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

from rich.console import Console
from rich.terminal_theme import DEFAULT_TERMINAL_THEME, SVG_EXPORT_THEME
from rich.text import Text

from engine import catalog
from engine.report import blocks
from engine.report.formats import escaping, tables
from qood_tui.state.delta_table import DeltaTable, Number, Row
from qood_tui.state.view_options import Unit
from qood_tui.words import clean

_WEB = re.compile(r"@font-face\s*\{.*?\}|<!--.*?-->", re.DOTALL)
MARKS = "▼ ▲"
COLUMNS = (
    *("model", "bits", "draw", "set", "score", "measure", "unit"),
    *("value", "low", "high", "change", "images"),
)


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


def as_csv(found: DeltaTable) -> str:
    """Return one number per line: what it measures, its value, interval and whether it is significant."""
    return tables.comma_separated(
        COLUMNS, (line for row in _variants(found) for line in _numbers(row, found))
    )


def _numbers(row: Row, found: DeltaTable) -> Iterator[tuple[object, ...]]:
    variant = row.variant
    unit = Unit.VALUE if variant.bits.is_float else found.unit
    for name, number in {**row.sets, "mean of OOD sets": row.mean, "top-1": row.top1}.items():
        yield (
            *(variant.model, str(variant.bits), variant.draw + 1, name),
            *_measured(found, name, unit),
            *(_exact(value) for value in (number.value, number.low, number.high)),
            *({"▼": "loss", "▲": "gain"}.get(number.mark, ""), row.images),
        )


def as_markdown(found: DeltaTable) -> str:
    """Return the table for a text, with what its numbers are below."""
    return "\n".join([*tables.markdown(_shown(found)), "", escaping.markdown(_note(found)), ""])


def as_latex(found: DeltaTable) -> str:
    """Return a tabular for booktabs; changes are bold."""
    note = clean(_note(found)).replace(MARKS, "bold")
    return "\n".join([f"% {note}", *tables.short_latex(_shown(found)), ""])


def _shown(found: DeltaTable) -> blocks.Table:
    """Return the rows of variants as a table of a report."""
    columns = ("variant", *found.sets, "mean", "95 % interval", "top-1")
    return blocks.Table("", columns, (tuple(_cells(row, found) for row in _variants(found)),))


def _cells(row: Row, found: DeltaTable) -> blocks.Row:
    is_value = row.variant.bits.is_float or found.unit is Unit.VALUE
    form = ".3f" if is_value else "+.1f"
    numbers = (_cell(row.sets.get(name, Number()), form) for name in found.sets)
    top1 = _cell(row.top1, ".1f" if is_value else "+.1f")
    return (row.label, *numbers, _cell(row.mean, form), row.mean.interval, top1)


def _cell(number: Number, form: str) -> blocks.Cell:
    return "" if number.value is None else blocks.Marked(f"{number.value:{form}}", number.mark.strip())


TABLES: Mapping[str, tuple[str, Callable[[DeltaTable], str]]] = MappingProxyType(
    {
        "csv": ("CSV, one number per line", as_csv),
        "md": ("markdown", as_markdown),
        "tex": ("LaTeX, booktabs", as_latex),
    }
)


def _measured(found: DeltaTable, column: str, unit: Unit) -> tuple[str, str, str]:
    """Return score, measure and unit of a column."""
    if column == "top-1":
        return "", "top-1", "percent" if unit is Unit.VALUE else unit.value
    return catalog.label_of(found.score), found.measure.label, unit.value


def _variants(found: DeltaTable) -> list[Row]:
    return [row for row in found.rows if not row.is_spread and not row.problem]


def _exact(value: float | None) -> str:
    return "" if value is None else f"{value:.7g}"


def _note(found: DeltaTable) -> str:
    """Say what the numbers are."""
    kind = {
        Unit.POINTS: "FP32 minus quantized in percentage points",
        Unit.RELATIVE: "FP32 minus quantized in percent of FP32",
        Unit.VALUE: "values",
    }[found.unit]
    label = f"{found.measure.label}, {catalog.label_of(found.score)}"
    rows = _variants(found)
    references = "; FP32 rows are values" if any(row.variant.bits.is_float for row in rows) else ""
    left_out = f" {len(rows)} of {found.total} rows, by a filter." if found.is_filtered else ""
    left_out += f" Left out: {', '.join(found.left_out)}." if found.left_out else ""
    provisional = " Provisional: few images." if found.is_provisional else ""
    return f"{label}: {kind}{references}. {found.intervals}.{left_out}{provisional}"
