"""Sessions side by side: the same cell in each of them, and how it differs from the first."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import msgspec

from engine.plan import Variant
from qood_tui.look import Look, Measure, Unit
from qood_tui.store import State
from qood_tui.table import Number, Row, Table, table

MEAN, TOP1 = "", "top-1"  # columns beside those of the OOD sets
MOST_SAID = 3  # of a list that differs
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SHOWN = ("models", "bits", "ood_sets")  # fields whose difference the rows and columns show
IDLE = ("keep_outputs",)  # fields that move no number


class Difference(msgspec.Struct, frozen=True):
    """How a cell differs from the first session's.

    The interval reaches from the lower end of one cell's to the upper end of the other's, so it is wider
    than it need be.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def is_clear(self) -> bool:
        """Tell whether the intervals of the two cells do not overlap."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


class Line(msgspec.Struct, frozen=True):
    """One variant, by model, bits and draw, with its row in every session that has it."""

    label: str
    variant: Variant
    rows: tuple[Row | None, ...]

    def number(self, session: int, column: str) -> Number:
        """Return a cell of one session."""
        row = self.rows[session]
        if row is None:
            return Number()
        return {MEAN: row.mean, TOP1: row.top1}.get(column) or row.sets.get(column, Number())

    def difference(self, session: int, column: str) -> Difference:
        """Return how a session's cell differs from the first session's."""
        first, other = self.number(0, column), self.number(session, column)
        if first.value is None or other.value is None:
            return Difference()
        value = other.value - first.value
        if first.low is None or first.high is None or other.low is None or other.high is None:
            return Difference(value)
        return Difference(value, other.low - first.high, other.high - first.low)


class Comparison(msgspec.Struct, frozen=True):
    """All lines and columns of the sessions, in the order in which they come."""

    lines: tuple[Line, ...]
    columns: tuple[str, ...]  # OOD sets, then the mean and top-1
    measure: Measure
    unit: Unit


def compared(states: Sequence[State], measure: Measure, unit: Unit) -> Comparison:
    """Return the sessions' tables put together."""
    tables = [_table(state, measure, unit) for state in states]
    by_session = [{_key(row.variant): row for row in one.rows if not row.is_spread} for one in tables]
    keys = list(dict.fromkeys(key for rows in by_session for key in rows))
    lines = []
    for key in keys:
        rows = tuple(found.get(key) for found in by_session)
        row = next(row for row in rows if row is not None)
        lines.append(Line(row.label, row.variant, rows))
    sets = dict.fromkeys(name for one in tables for name in one.sets)
    return Comparison(tuple(lines), (*sets, MEAN, TOP1), measure, unit)


def _table(state: State, measure: Measure, unit: Unit) -> Table:
    look = Look.at(state.header.plan)
    return table(state, msgspec.structs.replace(look, measure=measure, unit=unit))


def _key(variant: Variant) -> tuple[str, str, int]:
    """Return what makes variants of two sessions the same; the quantizer may be what is compared."""
    return variant.model, str(variant.bits), variant.draw


def differing(states: Sequence[State]) -> dict[str, tuple[str, ...]]:
    """Return the fields of the plans that are not the same, with what each session has."""
    plans: list[dict[str, Any]] = [msgspec.to_builtins(state.header.plan) for state in states]
    return {
        field.replace("_", " "): tuple(_said(plan[field]) for plan in plans)
        for field in plans[0]
        if field not in (*SHOWN, *IDLE) and any(plan[field] != plans[0][field] for plan in plans)
    }


def other_images(states: Sequence[State]) -> tuple[str, ...]:
    """Return the sets that all sessions have, but not with the same images."""
    digests = _digests(states)
    shared = set.intersection(*(set(one) for one in digests)) if digests else set()
    return tuple(name for name in digests[0] if name in shared and len({one[name] for one in digests}) > 1)


def images_told(states: Sequence[State]) -> str:
    """Say whether the sessions were swept over the same images."""
    digests = _digests(states)
    if not all(digests):
        return "which images these are is not known yet"
    if not set.intersection(*(set(one) for one in digests)):
        return "they have no set in common"
    others = other_images(states)
    told = f"not the same images: {', '.join(others)}" if others else "on the same images"
    if len({state.rows for state in states}) > 1:
        told += "; not as many of them: what is unfinished is compared as far as it came"
    return told


def _digests(states: Sequence[State]) -> list[dict[str, str]]:
    return [{s.name: s.digest for s in state.prepared.sets} if state.prepared else {} for state in states]


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {of_key}" for key, of_key in value.items()) or "none"
    if isinstance(value, list | tuple):
        more = f" and {len(value) - MOST_SAID} more" if len(value) > MOST_SAID else ""
        return ", ".join(map(str, value[:MOST_SAID])) + more
    return str(value)


def heading(column: str) -> str:
    """Return the words over a column."""
    return column or "mean"


def cells(found: Comparison, line: Line, column: str) -> list[str]:
    """Return what a line says in a column: the number of each session, and each difference from the first."""
    is_value = line.variant.bits.is_float or found.unit is Unit.VALUE
    form = (".1f" if column == TOP1 else ".3f") if is_value else "+.1f"
    words = []
    for session in range(len(line.rows)):
        number = line.number(session, column)
        words.append("·" if number.value is None else f"{number.value:{form}}{number.mark.strip()}")
        if session:
            words.append(difference_words(line.difference(session, column), form))
    return words


def difference_words(difference: Difference, form: str) -> str:
    """Return a difference with a sign, and a mark where it is clear."""
    if difference.value is None:
        return "·"
    mark = "!" if difference.is_clear else ""
    return f"{difference.value:{'+' + form.removeprefix('+')}}{mark}"


def as_markdown(found: Comparison, names: Sequence[str], column: str) -> str:
    """Return the sessions side by side on one column as a table for a text."""
    heads = column_heads(len(names))
    title = f"{found.measure.label.split(',')[0]}, {found.unit.value}, {heading(column)}"
    lines = [f"{title}. " + "; ".join(f"{LETTERS[i]} = {name}" for i, name in enumerate(names)), ""]
    lines += [f"| variant | {' | '.join(heads)} |", f"|:---|{'---:|' * len(heads)}"]
    lines += [f"| {line.label} | {' | '.join(cells(found, line, column))} |" for line in found.lines]
    return "\n".join([*lines, "", "▼ ▲ distinguishable from no change; ! intervals do not overlap.", ""])


def as_csv(found: Comparison, names: Sequence[str]) -> str:
    """Return one line a cell and session, with its difference from the first."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    heads = ("value", "low", "high", "difference", "difference low", "difference high")
    writer.writerow(("session", "model", "bits", "draw", "column", "measure", "unit", *heads))
    for line in found.lines:
        for session, name in enumerate(names):
            for column in found.columns:
                number, difference = line.number(session, column), line.difference(session, column)
                variant = line.variant
                unit = Unit.VALUE if variant.bits.is_float else found.unit
                measure = TOP1 if column == TOP1 else found.measure.label.split(",")[0]
                numbers = (number.value, number.low, number.high)
                differences = (difference.value, difference.low, difference.high) if session else (None,) * 3
                writer.writerow(
                    (
                        *(name, variant.model, str(variant.bits), variant.draw + 1, heading(column)),
                        *(
                            (TOP1, "percent")
                            if column == TOP1 and unit is Unit.VALUE
                            else (measure, unit.value)
                        ),
                        *("" if value is None else f"{value:.7g}" for value in (*numbers, *differences)),
                    )
                )
    return out.getvalue()


def column_heads(count: int) -> list[str]:
    """Return the words over the columns of so many sessions side by side."""
    heads = [LETTERS[0]]
    for letter in LETTERS[1:count]:
        heads += [letter, f"{letter}-{LETTERS[0]}"]
    return heads
