"""The delta table: what each bit setting costs each model on each OOD set."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from rich.text import Text
from textual import events
from textual.binding import Binding
from textual.message import Message

from engine import catalog
from engine.measure.spread import Spread, groups, spread
from engine.plan import Plan, Variant
from engine.protocol import Delta, VariantDelta
from qood_tui.plot.palette import style_of
from qood_tui.store import State
from qood_tui.widgets.lines import Lines
from qood_tui.words import clip, squeeze, verdict

NAME, INTERVAL = 18, 15
WIDE, NARROW = 9, 7  # cells of a number
ROOM = 87  # columns from which the wide numbers fit
LOST, GAINED = "rgb(213,94,0)", "rgb(86,180,233)"


class Measure(NamedTuple):
    """A measure that the table can show."""

    name: str
    label: str
    field: str  # of protocol.Cell
    less_is_better: bool = False


MEASURES = (
    Measure("ap_out", "AUPR-out", "ap_out"),
    Measure("auroc", "AUROC", "auroc"),
    Measure("ap_in", "AUPR-in", "ap_in"),
    Measure("fpr95", "FPR95 (OOD+), negative is a loss", "fpr95_ood_positive", less_is_better=True),
)


class Look(NamedTuple):
    """How the table is looked at: which sets fit, which measure, how wide a number is."""

    sets: tuple[str, ...]
    measure: Measure
    relative: bool
    cell: int

    def number(self, value: float | None, form: str) -> str:
        """Return a number in its cell, a dot where there is none."""
        return f"{'·' if value is None else format(value, form):>{self.cell - 1}} "


class Deltas(Lines, can_focus=True):
    """A row a variant; FP32 rows hold values, quantized rows what was lost against them."""

    BINDINGS = [
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("pageup", "move(-6)", show=False),
        Binding("pagedown", "move(6)", show=False),
    ]

    class Moved(Message):
        """The cursor is on another variant."""

        def __init__(self, variant: Variant) -> None:
            super().__init__()
            self.variant = variant

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.cursor = 0
        self._top = 0
        self._rows: list[list[Variant]] = []  # several in one row are draws, whose spread it shows
        self._redraw: Callable[[], None] = lambda: None

    def draw(self, state: State, measure: Measure, ood_set: str, *, relative: bool) -> None:
        """Show the table at this moment."""
        self._rows = _rows(state.header.plan)
        self._redraw = lambda: self.draw(state, measure, ood_set, relative=relative)
        names = state.header.plan.ood_sets
        cell = WIDE if self.size.width >= ROOM else NARROW
        fits = max(1, (self.size.width - NAME - cell * 2 - INTERVAL) // cell)
        first = max(0, min(names.index(ood_set) - fits + 1, len(names) - fits))
        look = Look(names[first : first + fits], measure, relative, cell)
        more = len(names) - fits
        hidden = f" · {more} more set{'s' if more > 1 else ''} hidden" if more > 0 else ""
        unit = "% of FP32" if relative else "points"
        visible = max(self.size.height - 1, 1)
        if visible < len(self._rows):
            hidden += f" · {visible} of {len(self._rows)} rows"
        score = catalog.label_of(state.header.plan.headline)
        self.caption(
            f"Lost against FP32 · {measure.label} · {score} · {unit}", _intervals(state, measure) + hidden
        )
        last_top = max(len(self._rows) - visible, 0)
        self._top = min(max(self._top, self.cursor - visible + 1), self.cursor, last_top)
        part = range(self._top, min(self._top + visible, len(self._rows)))
        self.show([_header(look, ood_set), *[self._row(state, i, look) for i in part]])

    def action_move(self, rows: int) -> None:
        """Move the cursor."""
        self.point(min(max(self.cursor + rows, 0), len(self._rows) - 1))

    def point(self, row: int) -> None:
        """Put the cursor on a row and say so."""
        if self._rows and row != self.cursor:
            self.cursor = row
            self._redraw()
            self.post_message(self.Moved(self._rows[row][-1]))

    def show_variant(self, variant: Variant) -> None:
        """Put the cursor on a variant."""
        self.point(self._rows.index([variant]))

    def on_click(self, event: events.Click) -> None:
        """Put the cursor where the mouse points."""
        row = event.y - self.gutter.top - 1 + self._top
        if 0 <= row < len(self._rows):
            self.point(row)

    def _row(self, state: State, row: int, look: Look) -> Text:
        variant = self._rows[row][0]
        is_cursor = row == self.cursor
        line = Text(style="bold" if is_cursor else "")
        if len(self._rows[row]) > 1:
            return _spread(line.append(">" if is_cursor else " "), state, self._rows[row], look)
        red, green, blue = style_of(str(variant.bits)).colour
        line.append(">" if is_cursor else " ")
        bits = str(variant.bits)
        label = f"{squeeze(catalog.short_of(variant.model), NAME - 2 - len(bits))} {bits}"
        label = f"  {bits} #{variant.draw + 1}" if variant.draw else label
        line.append(f"{label:<{NAME - 1}}", f"rgb({red},{green},{blue})")
        if variant.key in state.failed:
            return line.append(clip(f"left out: {state.failed[variant.key]}", self.size.width - NAME), LOST)
        if variant.bits.is_float:
            return _values(line, state, variant, look)
        delta = state.delta_of(variant.key)
        mean = getattr(delta, f"{look.measure.name}_mean", None)
        if delta is not None and mean is not None:
            return _with_intervals(line, delta, mean, look)
        return _without_intervals(line, state, variant, look)


def _rows(plan: Plan) -> list[list[Variant]]:
    """Return a row for every variant, and one more where draws of calibration images can be compared."""
    rows = []
    for group in groups(plan):
        rows += [[variant] for variant in group]
        rows += [group] if len(group) > 1 else []
    return rows


def _intervals(state: State, measure: Measure) -> str:
    """Say what the marks mean at this moment."""
    if state.deltas is None or not state.deltas.variants:
        return "no intervals yet"
    count = f"{state.deltas.rows:,} images"
    if state.deltas.sequential:
        if getattr(state.deltas.variants[0], f"{measure.name}_mean") is None:
            return "this measure gets its intervals at the end"
        return f"▼ ▲ outside 95 % intervals good at every look, {count}"
    return f"▼ ▲ a change: p < 0.05 by Holm over the table, {count}"


def _header(look: Look, ood_set: str) -> Text:
    line = Text(f"{' variant':<{NAME}}", style="bold")
    for name in look.sets:
        label = clip(name, look.cell - 1)
        line.append(" " * (look.cell - 1 - len(label)))
        line.append(label, "underline" if name == ood_set else "").append(" ")
    return line.append(f"{'mean':>{look.cell - 1}} {'95 % interval':>{INTERVAL}}{'top-1':>{look.cell - 1}} ")


def _values(line: Text, state: State, variant: Variant, look: Look) -> Text:
    measured, values = state.measured.get(variant.key), _cells(state, variant.key, look)
    for name in look.sets:
        line.append(look.number(values.get(name), ".3f"), "dim")
    known = [value for value in values.values() if value is not None]
    line.append(look.number(sum(known) / len(known) if known else None, ".3f"), "dim")
    top1 = measured.top1 * 100 if measured and measured.top1 is not None else None
    return line.append(" " * INTERVAL).append(look.number(top1, ".1f"), "dim")


def _with_intervals(line: Text, delta: VariantDelta, mean: Delta, look: Look) -> Text:
    cells: dict[str, Delta] = getattr(delta, look.measure.name)
    for name in look.sets:
        _append_delta(line, cells.get(name), look)
    _append_delta(line, mean, look, bold=True)
    scale = _scale(mean, look.relative)
    line.append(f"{f'{mean.low * scale:+.1f} to {mean.high * scale:+.1f}':>{INTERVAL}}")
    return _append_delta(line, delta.top1, look._replace(measure=MEASURES[0]))


def _without_intervals(line: Text, state: State, variant: Variant, look: Look) -> Text:
    """Append differences that have no interval yet, in italics."""
    measured, base = state.measured.get(variant.key), state.measured.get(variant.baseline)
    differences = _losses(state, variant, look)
    for name in look.sets:
        line.append(look.number(differences.get(name), "+.1f"), "italic dim")
    mean = sum(differences.values()) / len(differences) if differences else None
    line.append(look.number(mean, "+.1f"), "italic dim").append(" " * INTERVAL)
    top1 = _lost(base.top1 if base else None, measured.top1 if measured else None, look.relative)
    return line.append(look.number(top1, "+.1f"), "italic dim")


def _spread(line: Text, state: State, draws: list[Variant], look: Look) -> Text:
    """Append the standard deviation over draws."""
    base = state.measured.get(draws[0].baseline)
    found = [state.measured.get(variant.key) for variant in draws]
    lost = [_losses(state, variant, look) for variant in draws]
    means = [sum(one.values()) / len(one) for one in lost if one]
    line.append(f"{f'  SD of {len(draws)} draws':<{NAME - 1}}", "dim")
    for name in look.sets:
        line.append(_deviation(spread(one.get(name) for one in lost), look), "dim")
    line.append(_deviation(spread(means), look), "dim").append(" " * INTERVAL)
    top1 = [_lost(base.top1 if base else None, m.top1 if m else None, look.relative) for m in found]
    return line.append(_deviation(spread(top1), look), "dim")


def _deviation(found: Spread | None, look: Look) -> str:
    text = "·" if found is None else f"±{found.deviation:.1f}"
    return f"{text:>{look.cell - 1}} "


def _losses(state: State, variant: Variant, look: Look) -> dict[str, float]:
    """Return what was lost on every OOD set where that is known."""
    values, whole = (_cells(state, key, look) for key in (variant.key, variant.baseline))
    known = {name: _lost(whole.get(name), value, look.relative) for name, value in values.items()}
    return {name: value for name, value in known.items() if value is not None}


def _append_delta(line: Text, delta: Delta | None, look: Look, *, bold: bool = False) -> Text:
    if delta is None:
        return line.append(look.number(None, ""), "dim")
    mark = verdict(delta, less_is_better=look.measure.less_is_better)
    colour = {"▼": LOST, "▲": GAINED}.get(mark, "")
    text = f"{delta.value * _scale(delta, look.relative):+.1f}{mark}"
    return line.append(f"{text:>{look.cell}}", f"{'bold ' if bold else ''}{colour}".strip())


def _lost(reference: float | None, value: float | None, relative: bool) -> float | None:
    if value is None or reference is None or (relative and not reference):
        return None
    return (reference - value) / (reference if relative else 1.0) * 100


def _scale(delta: Delta, relative: bool) -> float:
    if relative and delta.relative is not None and delta.value:
        return 100 * delta.relative / delta.value
    return 100.0


def _cells(state: State, key: str, look: Look) -> dict[str, float | None]:
    """Return the measure of the headline score on every OOD set."""
    return {name: getattr(cell, look.measure.field) for name, cell in state.cells_of(key).items()}
