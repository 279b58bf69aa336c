"""Sessions side by side: the same cell in each of them, and how it differs from the first."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from engine.measure.measure import Measure
from engine.plan.variants import Variant
from engine.report.blocks import Table
from engine.report.formats import tables
from engine.report.formats.escaping import markdown
from engine.report.words import listed
from qood_tui.state import matching
from qood_tui.state.delta_table import Number, Row, row_of, table
from qood_tui.state.state import State
from qood_tui.state.view_options import Unit, ViewOptions

MEAN, TOP1 = "", "top-1"  # columns beside those of the OOD sets
IN_CSV = (
    *("session", "model", "bits", "draw", "column", "measure", "unit", "value", "low", "high"),
    *("difference", "difference low", "difference high", "images", "mean over"),
    *("same images", "same weights", "same calibration images", "same fit images"),
)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class CellDifference(msgspec.Struct, frozen=True):
    """How a cell differs from the first session's.

    The interval reaches from the lower end of one cell's to the upper end of the other's, so it is wider
    than it need be.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def is_clear(self) -> bool:
        """Return whether the intervals of the two cells do not overlap."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


class ComparedRow(msgspec.Struct, frozen=True):
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

    def difference(self, session: int, column: str) -> CellDifference:
        """Return how a session's cell differs from the first session's."""
        first, other = self.number(0, column), self.number(session, column)
        if first.value is None or other.value is None:
            return CellDifference()
        value = other.value - first.value
        if first.low is None or first.high is None or other.low is None or other.high is None:
            return CellDifference(value)
        return CellDifference(value, other.low - first.high, other.high - first.low)


class Comparison(msgspec.Struct, frozen=True):
    """All lines and columns of the sessions, in the order in which they come.

    `notes` say what differs between them, `differing` what each plan has where plans differ.
    """

    lines: tuple[ComparedRow, ...]
    columns: tuple[str, ...]  # OOD sets, then the mean and top-1
    measure: Measure
    unit: Unit
    states: tuple[State, ...]
    notes: tuple[str, ...]
    differing: dict[str, tuple[str, ...]]

    def words(self) -> list[str]:
        """Return in sentences what is not the same, the plans last."""
        fields = (
            f"{field}: {', '.join(f'{letter} {word}' for letter, word in zip(LETTERS, said, strict=False))}"
            for field, said in self.differing.items()
        )
        return [*self.notes, *fields]


def compared(states: Sequence[State], measure: Measure, unit: Unit) -> Comparison:
    """Return the sessions' tables put together; a mean is over OOD sets that all sessions have it over."""
    looks = [_look(state, measure, unit) for state in states]
    every = [table(state, look) for state, look in zip(states, looks, strict=True)]
    by_session = [{_key(row.variant): row for row in one.rows if not row.is_spread} for one in every]
    keys = list(dict.fromkeys(key for rows in by_session for key in rows))
    lines, shared = [], []
    for key in keys:
        rows = tuple(found.get(key) for found in by_session)
        over = _shared(rows)
        if over is not None:
            shared.append(over)
            rows = tuple(
                row and row_of(state, row.variant, look, over)
                for row, state, look in zip(rows, states, looks, strict=True)
            )
        known = next(row for row in rows if row is not None)
        lines.append(ComparedRow(known.label, known.variant, rows))
    sets = dict.fromkeys(name for one in every for name in one.sets)
    words = (*matching.notes_on(states), *_mean_in_words(shared))
    columns = (*sets, MEAN, TOP1)
    return Comparison(tuple(lines), columns, measure, unit, tuple(states), words, matching.differing(states))


def _shared(rows: Sequence[Row | None]) -> tuple[str, ...] | None:
    """Return the OOD sets that all means of a line are over; None where they are over the same already."""
    averaged = [row.averaged for row in rows if row is not None and row.averaged]
    if len({frozenset(names) for names in averaged}) < 2:
        return None
    return tuple(name for name in averaged[0] if all(name in names for names in averaged))


def _mean_in_words(shared: Sequence[tuple[str, ...]]) -> list[str]:
    """Say what means are over where sessions have them over different OOD sets."""
    lines = []
    if names := dict.fromkeys(name for over in shared for name in over):
        lines.append(
            "means are over the OOD sets that all sessions have, without an interval if a session has more: "
            f"{listed([*names])}"
        )
    if () in shared:
        lines.append("no mean if the sessions have no OOD set in common")
    return lines


def _look(state: State, measure: Measure, unit: Unit) -> ViewOptions:
    return msgspec.structs.replace(ViewOptions.at(state.header.plan), measure=measure, unit=unit)


def _key(variant: Variant) -> tuple[str, str, int]:
    """Return what makes variants of two sessions the same; the method may be what is compared."""
    return variant.model, str(variant.bits), variant.draw


def heading(column: str) -> str:
    """Return the words over a column."""
    return column or "mean"


def cells(found: Comparison, line: ComparedRow, column: str) -> list[str]:
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


def difference_words(difference: CellDifference, form: str) -> str:
    """Return a difference with a sign, and a mark where it is clear."""
    if difference.value is None:
        return "·"
    mark = "!" if difference.is_clear else ""
    return f"{difference.value:{'+' + form.removeprefix('+')}}{mark}"


def as_markdown(found: Comparison, names: Sequence[str], columns: Sequence[str]) -> str:
    """Return what differs in the sessions, then them side by side: a table for each of some columns."""
    sessions = "; ".join(f"{LETTERS[at]} = {markdown(name)}" for at, name in enumerate(names))
    heads = ("variant", *column_heads(len(names)))
    lines = [*(f"- {markdown(line)}" for line in found.words()), ""]
    for column in columns:
        title = f"{found.measure.label}, {found.unit.value}, {heading(column)}"
        rows = tuple((line.label, *cells(found, line, column)) for line in found.lines)
        lines += [f"{markdown(title)}. {sessions}", "", *tables.markdown(Table(title, heads, (rows,)))]
        lines += ["", "▼ ▲ significant; ! intervals do not overlap.", ""]
    return "\n".join(lines)


def as_csv(found: Comparison, names: Sequence[str]) -> str:
    """Return one line per cell and session, with its difference from the first session's.

    It says what is the same as in the first session: yes, no, or nothing where that is not known.
    """
    rows = (
        (name, *_cell(found, line, session, column))
        for line in found.lines
        for session, name in enumerate(names)
        for column in found.columns
    )
    return tables.comma_separated(IN_CSV, rows)


def _cell(found: Comparison, line: ComparedRow, session: int, column: str) -> tuple[str, ...]:
    """Return one cell of a session in a row of CSV."""
    number, difference = line.number(session, column), line.difference(session, column)
    variant, row = line.variant, line.rows[session]
    unit = Unit.VALUE if variant.bits.is_float else found.unit
    measure = found.measure.label, unit.value
    if column == TOP1:
        measure = TOP1, "percent" if unit is Unit.VALUE else unit.value
    numbers = (number.value, number.low, number.high)
    differences = (difference.value, difference.low, difference.high) if session else (None,) * 3
    return (
        *(variant.model, str(variant.bits), str(variant.draw + 1), heading(column)),
        *measure,
        *("" if value is None else f"{value:.7g}" for value in (*numbers, *differences)),
        str(row.images) if row else "",
        " ".join(row.averaged) if row and column == MEAN else "",
        *_same_as_first(found, line, session, column),
    )


def _same_as_first(found: Comparison, line: ComparedRow, session: int, column: str) -> list[str]:
    """Say what a cell has in common with that of the first session."""
    first, row = line.rows[0], line.rows[session]
    if not session or first is None or row is None:
        return [""] * 4
    one, other = found.states[0], found.states[session]
    sets = {MEAN: row.averaged, TOP1: ()}.get(column, (column,))
    answers = (
        matching.same_images(one, other, (one.header.plan.id_set, *sets)),
        matching.same_weights(one, other, line.variant.model),
        None if line.variant.bits.is_float else matching.same_calibration(one, other, line.variant.draw),
        matching.same_fit(one, other),
    )
    return ["" if answer is None else "yes" if answer else "no" for answer in answers]


def column_heads(count: int) -> list[str]:
    """Return the words over the columns of so many sessions side by side."""
    heads = [LETTERS[0]]
    for letter in LETTERS[1:count]:
        heads += [letter, f"{letter}-{LETTERS[0]}"]
    return heads
