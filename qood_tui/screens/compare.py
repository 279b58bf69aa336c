"""Two or more sessions side by side, with the difference of each cell."""

from __future__ import annotations

from enum import Enum
from functools import partial
from pathlib import Path

from rich.text import Text
from textual import on
from textual.app import ComposeResult

from engine.errors import InputError
from engine.measure.measures import AP_OUT, COMPARED
from qood_tui.panes.base import ScrollingPane
from qood_tui.plot.palette import LIGHT, style
from qood_tui.screens.base import BaseScreen
from qood_tui.screens.dialogs.export import ExportScreen, Form
from qood_tui.settings.bindings import bindings
from qood_tui.state import comparison, findings
from qood_tui.state.comparison import MEAN, CellDifference, ComparedRow, Comparison
from qood_tui.state.sources import LiveSource
from qood_tui.state.table_export import as_svg, as_text
from qood_tui.state.view_options import Unit, cycle
from qood_tui.widgets.lines import Lines
from qood_tui.words import clean, clip, squeeze

TICK = 1.0  # seconds between two reads of sessions that are still being written
MOST_SESSIONS = len(comparison.LETTERS)
NAME, CELL = 18, 10
MOST_FIELDS = 4  # of the differences between plans, above the table


class ComparisonView(Enum):
    """What the columns of the table are."""

    SIDE = "side by side"
    CELLS = "all differences"


class ComparisonTable(ScrollingPane):
    """One row per variant."""

    NAME, SLOT = "comparison", "tables"


class CompareScreen(BaseScreen[None]):
    """Show sessions side by side; all are compared with the first."""

    GROUPS = ("Comparison",)
    BINDINGS = bindings("Comparison")
    DEFAULT_CSS = """
    CompareScreen #sessions { height: auto; max-height: 50%; padding: 0 1; }
    """

    def __init__(self, sessions: tuple[Path, ...]) -> None:
        super().__init__()
        if not 1 < len(sessions) <= MOST_SESSIONS:
            raise InputError("sessions", len(sessions), f"give 2 to {MOST_SESSIONS} sessions to compare")
        self.sources = [LiveSource(session) for session in sessions]
        for source in self.sources:
            source.tick(0.0)
        self.measure, self.unit, self.view = AP_OUT, Unit.POINTS, ComparisonView.SIDE
        self.column, self.other, self.by_difference = MEAN, 1, False

    def contents(self) -> ComposeResult:
        """Lay out the sessions above the table."""
        yield Lines(id="sessions")
        yield ComparisonTable()

    def on_mount(self) -> None:
        """Start following the sessions."""
        self.query_one(ComparisonTable).focus()
        self.set_interval(TICK, self._tick)

    def _tick(self) -> None:
        changed = [source.tick(TICK) for source in self.sources]
        if any(changed) and self.is_current:
            self.draw()

    @on(Lines.Resized)
    @on(ScrollingPane.Scrolled)
    def fit(self) -> None:
        """Draw for the new size."""
        self.draw()

    def in_brief(self, width: int) -> list[Text]:
        """Return the findings of each session."""
        lines: list[Text] = []
        for letter, source in zip(comparison.LETTERS, self.sources, strict=False):
            lines += [Text(clip(f"{letter} {clean(source.session.name)}", width))]
            lines += findings.in_brief(source.state, width)
        return lines

    def draw(self) -> None:
        """Draw sessions and table."""
        if not self.is_mounted:
            return
        table = self.query_one(ComparisonTable)
        found = comparison.compared([source.state for source in self.sources], self.measure, self.unit)
        self.draw_frame()
        width = self.query_one("#sessions", Lines).size.width or self.app.size.width - 2
        heading = self._heading(found, width)
        self.query_one("#sessions", Lines).styles.height = len(heading)
        self.query_one("#sessions", Lines).show(heading)
        lines = list(found.lines)
        if self.by_difference:
            lines.sort(key=lambda line: -abs(line.difference(self.other, self.column).value or 0.0))
        if self.view is ComparisonView.SIDE:
            head, rows = self._side(found, lines, table)
        else:
            head, rows = self._cells(found, lines, table)
        part = table.show_all(rows, [head])
        order = " · largest difference first" if self.by_difference else ""
        where = "" if self.view is ComparisonView.CELLS else f" · {comparison.heading(self.column)}"
        title = f"{self.view.value} · {self.measure.delta_label} · {self.unit.value}{where}{order}"
        legend = "▼ ▲ significant against FP32 · ! intervals do not overlap · FP32 rows are values"
        table.caption(title, " · ".join(filter(None, (legend, part))))

    def _heading(self, found: Comparison, width: int) -> list[Text]:
        """Name the sessions and what differs between them."""
        lines = []
        for letter, source in zip(comparison.LETTERS, self.sources, strict=False):
            state = source.state
            line = Text(f"{letter} ", style="bold")
            words = f"{clean(source.session.name)} · {state.phase} · {state.rows:,} images"
            lines.append(line.append(clip(words, width - 2), "not bold"))
        notes = found.words()[: len(found.notes) + MOST_FIELDS]
        if len(found.differing) > MOST_FIELDS:
            notes.append(f"… and {', '.join(list(found.differing)[MOST_FIELDS:])}")
        return [*lines, *(Text(clip(clean(line), width), style="dim") for line in notes)]

    def _side(
        self, found: Comparison, lines: list[ComparedRow], table: ComparisonTable
    ) -> tuple[Text, list[Text]]:
        heads = comparison.column_heads(len(self.sources))
        fits = max((table.inner.width - NAME) // CELL, 1)
        head = Text(
            f"{'variant':<{NAME}}" + "".join(f"{name:>{CELL}}" for name in heads[:fits]), style="bold"
        )
        head.append(" …" if fits < len(heads) else "")
        rows = []
        for line in lines:
            text = self._label(line)
            for place, word in enumerate(comparison.cells(found, line, self.column)[:fits]):
                session = (place + 1) // 2
                is_difference = place > 0 and place % 2 == 0
                difference = line.difference(session, self.column) if is_difference else CellDifference()
                text.append(f"{word:>{CELL}}", self._style(difference, self.column))
            rows.append(text)
        return head, rows

    def _cells(
        self, found: Comparison, lines: list[ComparedRow], table: ComparisonTable
    ) -> tuple[Text, list[Text]]:
        fits = max((table.inner.width - NAME) // CELL, 1)
        columns = [c for c in found.columns if c != MEAN]
        columns = [MEAN, *columns][:fits]
        pair = f"{comparison.LETTERS[self.other]}-{comparison.LETTERS[0]}"
        heads = "".join(f"{clip(comparison.heading(c), CELL - 1):>{CELL}}" for c in columns)
        head = Text(f"{pair:<{NAME}}{heads}", style="bold")
        head.append(" …" if len(columns) < len(found.columns) else "")
        rows = []
        for line in lines:
            text = self._label(line)
            is_value = line.variant.bits.is_float or found.unit is Unit.VALUE
            for column in columns:
                difference = line.difference(self.other, column)
                form = ".3f" if is_value and column != comparison.TOP1 else ".1f"
                words = comparison.difference_words(difference, form)
                text.append(f"{words:>{CELL}}", self._style(difference, column))
            rows.append(text)
        return head, rows

    def _label(self, line: ComparedRow) -> Text:
        colour = style(self.query_one(ComparisonTable).ink.of_bits(str(line.variant.bits)).colour)
        return Text().append(f"{squeeze(line.label, NAME - 1):<{NAME}}", colour)

    def _style(self, difference: CellDifference, column: str) -> str:
        ink = self.query_one(ComparisonTable).ink
        if difference.is_clear and difference.value is not None:
            is_more = difference.value > 0
            is_lost = is_more == (self.measure.larger_is_better or column == comparison.TOP1)
            return style(ink.lost if is_lost else ink.gained, "bold")
        return "" if difference.value is None else "dim"

    def action_compare_set(self, steps: int = 1) -> None:
        """Compare on another column."""
        columns = comparison.compared([s.state for s in self.sources], self.measure, self.unit).columns
        self.column = cycle(self.column, columns, steps)
        self.draw()

    def action_compare_set_back(self) -> None:
        """Compare on the previous column."""
        self.action_compare_set(-1)

    def action_compare_measure(self) -> None:
        """Compare another measure."""
        states = [source.state for source in self.sources]
        shown = [one for one in COMPARED if any(one in state.measures for state in states)]
        self.measure = cycle(self.measure, shown)
        self.draw()

    def action_compare_unit(self) -> None:
        """Compare points, percent of FP32, or values."""
        self.unit = cycle(self.unit, list(Unit))
        self.draw()

    def action_compare_view(self) -> None:
        """Show sessions side by side, or all differences."""
        self.view = cycle(self.view, list(ComparisonView))
        self.draw()

    def action_compare_order(self) -> None:
        """Sort by the difference, or as planned."""
        self.by_difference = not self.by_difference
        self.draw()

    def action_compare_next(self) -> None:
        """Show all differences between the first session and the next one."""
        self.view = ComparisonView.CELLS
        self.other = self.other % (len(self.sources) - 1) + 1
        self.draw()

    def action_compare_copy(self) -> None:
        """Copy the table as text."""
        table = self.query_one(ComparisonTable)
        lines = self._whole()
        self.app.copy_to_clipboard("\n".join(table.plain(line.plain).rstrip() for line in lines))
        self.notify("Copied the comparison.")

    def _whole(self) -> list[Text]:
        """Return the heading and all rows."""
        return [*self.query_one("#sessions", Lines).shown(), *self.query_one(ComparisonTable).whole()]

    def action_compare_export(self) -> None:
        """Ask what to save or copy."""
        table = self.query_one(ComparisonTable)
        found = comparison.compared([s.state for s in self.sources], self.measure, self.unit)
        names = [clean(source.session.name) for source in self.sources]
        lines, width, is_light = self._whole(), table.inner.width, table.ink is LIGHT
        forms = [
            Form(
                "comparison as SVG",
                "-comparison.svg",
                lambda: as_svg(lines, width, "Comparison", is_light=is_light),
            ),
            Form("comparison as text", "-comparison.txt", lambda: as_text(lines)),
            Form("comparison as CSV", "-comparison.csv", partial(comparison.as_csv, found, names)),
            Form(
                "comparison as markdown",
                "-comparison.md",
                partial(comparison.as_markdown, found, names, [self.column]),
            ),
        ]
        self.app.push_screen(ExportScreen(forms, names[0]))
