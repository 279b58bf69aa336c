"""The delta table: what each bit setting costs each model on each OOD set."""

from __future__ import annotations

from collections.abc import Callable

from rich.text import Text
from textual import events
from textual.binding import Binding
from textual.message import Message

from engine import catalog
from engine.plan.variants import Variant
from engine.text import counted
from qood_tui.panes.base import Pane, PaneInput
from qood_tui.plot.palette import style
from qood_tui.state.delta_table import DeltaTable, Number, Row, table
from qood_tui.state.state import State
from qood_tui.state.view_options import RowOrder, Unit, ViewOptions
from qood_tui.words import clean, clip, falling, squeeze

NAME, INTERVAL, SETTLING = 19, 16, 12
WHOLE = 100  # from which losses have no decimals, as columns would touch
NARROW = 7  # least cells of a number
SETTLING_WIDTH = 110  # cells of the pane from which the trail of interval widths fits


class Columns:
    """Which columns fit, and where they are."""

    def __init__(self, sets: tuple[str, ...], ood_set: str, width: int) -> None:
        self.settling = SETTLING if width >= SETTLING_WIDTH else 0
        room = width - NAME - INTERVAL - self.settling
        longest = max(len(name) for name in sets) + 2
        self.cell = max(NARROW, min(longest, room // (len(sets) + 2)))
        fits = max(1, (room - self.cell * 2) // self.cell)
        first = max(0, min(sets.index(ood_set) - fits + 1, len(sets) - fits))
        self.sets = sets[first : first + fits]
        self.hidden = len(sets) - len(self.sets)

    def set_at(self, x: int) -> str | None:
        """Return the OOD set whose column holds the cell `x`."""
        place = (x - NAME) // self.cell
        return self.sets[place] if x >= NAME and place < len(self.sets) else None


class DeltasPane(Pane):
    """One row per variant: values of FP32, losses of quantized variants."""

    NAME, SLOT = "deltas", "tables"
    BINDINGS = [
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("pageup", "move(-6)", show=False),
        Binding("pagedown", "move(6)", show=False),
    ]

    class Pointed(Message):
        """Another variant, or OOD set, was selected."""

        def __init__(self, variant: Variant, ood_set: str | None = None) -> None:
            super().__init__()
            self.variant, self.ood_set = variant, ood_set

    def __init__(self) -> None:
        super().__init__()
        self._top = 0
        self._table: DeltaTable | None = None
        self._columns: Columns | None = None
        self._cursor = 0
        self._draw_all: Callable[[], list[Text]] = list

    def draw(self, data: PaneInput) -> None:
        """Show the table."""
        state, options = data.state, data.options
        found = self._table = table(state, options)
        columns = self._columns = Columns(found.sets, options.ood_set, self.inner.width)
        keys = [row.variant.key for row in found.rows if not row.is_spread]
        self._cursor = next(
            (i for i, r in enumerate(found.rows) if not r.is_spread and r.variant.key == options.pointed.key),
            -1,
        )
        visible = max(self.inner.height - 1, 1)
        last_top = max(len(found.rows) - visible, 0)
        if self._cursor >= 0:
            self._top = min(max(self._top, self._cursor - visible + 1), self._cursor)
        self._top = min(max(self._top, 0), last_top)
        part = found.rows[self._top : self._top + visible]
        self._caption(found, columns, len(keys), len(part), options)
        header = _header(columns, options.ood_set, found)
        lines = [header, *[self._line(row, state, options, columns) for row in part]]
        self._draw_all = lambda: [header, *[self._line(row, state, options, columns) for row in found.rows]]
        if not found.rows:
            lines.append(Text(f" no variant matches '{clean(options.words)}'", "dim"))
        self.show(lines)

    def _caption(
        self, found: DeltaTable, columns: Columns, kept: int, visible: int, options: ViewOptions
    ) -> None:
        order = f" · {options.order.value}" if options.order is not RowOrder.PLAN else ""
        score = catalog.label_of(found.score)
        provisional = " · ~ provisional" if found.is_provisional else ""
        hidden = [f"{counted(columns.hidden, 'more set')}: press o"] if columns.hidden else []
        if kept < found.total and (options.words or options.only_changes):
            why = [f"'{options.words}'"] if options.words else []
            why += ["only changes"] if options.only_changes else []
            hidden.append(f"{' and '.join(why)}: {len(found.rows)} of {found.total} rows")
        elif visible < len(found.rows):
            hidden.append(f"{visible} of {len(found.rows)} rows, ↑↓")
        title = f"{found.measure.delta_label} · {found.unit.value} · {score}{order}{provisional}"
        self.caption(title, " · ".join([*hidden, *found.in_float, found.intervals]))

    def whole(self) -> list[Text]:
        """Return all rows, including those scrolled out of view."""
        title, *_, subtitle = super().whole()
        return [title, *self._draw_all(), subtitle]

    def action_move(self, rows: int) -> None:
        """Move the cursor, skipping rows that are not variants."""
        if self._table is None:
            return
        places = [i for i, row in enumerate(self._table.rows) if not row.is_spread]
        if places:
            now = places.index(self._cursor) if self._cursor in places else -1 if rows > 0 else 0
            at = min(max(now + rows, 0), len(places) - 1)
            self.post_message(self.Pointed(self._table.rows[places[at]].variant))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Move the cursor with the wheel."""
        event.stop()
        self.action_move(1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Move the cursor with the wheel."""
        event.stop()
        self.action_move(-1)

    def on_click(self, event: events.Click) -> None:
        """Select the clicked row, column, or both."""
        if self._table is None or self._columns is None or not self._table.rows:
            return
        row = event.y - self.pad - 1 + self._top
        ood_set = self._columns.set_at(event.x - self.pad)
        at = row if 0 <= row < len(self._table.rows) else self._cursor
        if event.y - self.pad < 1:
            at = self._cursor
        if at >= 0:
            self.post_message(self.Pointed(self._table.rows[at].variant, ood_set))

    def _line(self, row: Row, state: State, options: ViewOptions, columns: Columns) -> Text:
        is_cursor = not row.is_spread and row.variant.key == options.pointed.key
        line = Text(style="bold" if is_cursor else "")
        line.append(">" if is_cursor else " ")
        line.append("*" if row.variant.key in options.marked and not row.is_spread else " ")
        if row.is_spread:
            line.append(f"{' ' + row.label:<{NAME - 2}}", "dim")
        else:
            label = _label(row)
            line.append(f"{label:<{NAME - 2}}", style(self.ink.of_bits(str(row.variant.bits)).colour))
        if row.problem:
            return line.append(
                " " + clip(clean(row.problem), self.inner.width - NAME - 1), style(self.ink.lost)
            )
        for name in columns.sets:
            here = "reverse" if is_cursor and name == options.ood_set else ""
            self._append(line, row, row.sets.get(name, Number()), options, columns.cell, here)
        self._append(line, row, row.mean, options, columns.cell, "bold")
        line.append(f"{row.mean.interval:>{INTERVAL}}")
        self._append(line, row, row.top1, options, columns.cell, "", is_percent=True)
        if columns.settling and not row.is_spread:
            widths = state.settling.get((options.measure.id, row.variant.key), ())
            line.append(f"  {falling(widths, SETTLING - 2)}", "dim")
        return line

    def _append(
        self,
        line: Text,
        row: Row,
        number: Number,
        options: ViewOptions,
        cell: int,
        style_words: str,
        *,
        is_percent: bool = False,
    ) -> None:
        """Append a number: losses with a sign, in italics if they have no interval yet."""
        is_value = row.variant.bits.is_float or options.unit is Unit.VALUE
        form = "+.1f" if abs(number.value or 0.0) < WHOLE else "+.0f"
        if row.is_spread:
            form = ".3f" if options.unit is Unit.VALUE and not is_percent else ".1f"
        elif is_value:
            form = ".1f" if is_percent else ".3f"
        text = "·" if number.value is None else format(number.value, form)
        if row.is_spread and number.value is not None:
            text = f"±{text}"
        if number.mark != " ":
            style_words = style(self.ink.lost if number.mark == "▼" else self.ink.gained, style_words)
        elif number.value is None or is_value or row.is_spread:
            style_words = f"{style_words} dim"
        elif not number.interval:
            style_words = f"{style_words} italic dim"
        line.append(f"{text:>{cell - 1}}{number.mark}", style_words.strip())


def _label(row: Row) -> str:
    variant = row.variant
    bits = str(variant.bits)
    if variant.draw:
        return f"  {bits} #{variant.draw + 1}"
    return f"{squeeze(catalog.short_of(variant.model), NAME - 3 - len(bits))} {bits}"


def _header(columns: Columns, ood_set: str, found: DeltaTable) -> Text:
    line = Text(f"{'  variant':<{NAME}}", style="bold")
    for name in columns.sets:
        label = clip(name, columns.cell - 1)
        line.append(" " * (columns.cell - 1 - len(label)))
        line.append(label, "underline" if name == ood_set else "").append(" ")
    line.append(f"{'mean':>{columns.cell - 1}} {'95 % interval':>{INTERVAL}}{'top-1':>{columns.cell - 1}} ")
    if columns.settling:
        line.append(f"  {'settling':<{SETTLING - 2}}")
    return line
