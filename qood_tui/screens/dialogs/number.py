"""The dialog that explains one number of the delta table."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult
from textual.widgets import Static

from engine import catalog
from engine.measure.measure import Measure
from engine.plan.variants import Variant
from engine.report import definitions, study
from engine.text import counted
from qood_tui.screens.dialogs.dialog import Dialog
from qood_tui.state.state import State
from qood_tui.words import clean


class NumberScreen(Dialog[None]):
    """Show definition, source, counts, values, interval and test of one cell."""

    TITLE_WORDS = "Where this number comes from"
    BINDINGS = [("escape,q,d", "dismiss", "Close")]

    def __init__(self, state: State, variant: Variant, ood_set: str, measure: Measure, session: str) -> None:
        super().__init__()
        self.state, self.variant, self.measure = state, variant, measure
        self.ood_set, self.session = ood_set, session

    def contents(self) -> ComposeResult:
        """Lay out one text."""
        yield Static(self._text(), markup=False)

    def _text(self) -> Text:
        plan = self.state.header.plan
        text = Text()
        title = f"{self.variant.key} · {self.ood_set} · {catalog.label_of(plan.headline)}"
        text.append(f"{self.plain(clean(title))}\n", "bold")
        for label, words in (*self._values(), ("", "")):
            text.append(f"{label:<10}", "dim").append(f"{self.plain(clean(words))}\n")
        for words in (
            self.measure.described,
            definitions.SCORE,
            definitions.DELTA,
            f"Intervals: {definitions.INTERVAL}",
            definitions.recompute(clean(self.session)),
        ):
            text.append(self.plain(f"{words}\n\n"))
        text.rstrip()
        return text

    def _values(self) -> list[tuple[str, str]]:
        keys = self.variant.baseline, self.variant.key
        base, own = (self.state.cells_of(key).get(self.ood_set) for key in keys)
        lines = []
        shown = {"FP32": base, str(self.variant.bits): own}
        for label, cell in shown.items():
            if cell is not None:
                value = cell.value(self.measure.id)
                counts = f"{cell.n_id:,} ID and {counted(cell.n_ood, 'OOD image')}"
                text = f"{value:.7f}" if value is not None else f"no value: {cell.problem}"
                lines.append((label, f"{text}, from {counts}"))
        found = self.state.delta_of(self.variant.key)
        delta = found.sets(self.measure.id).get(self.ood_set) if found else None
        if delta is not None and self.state.deltas is not None:
            images = counted(self.state.deltas.rows, "image")
            which = f"all {images}" if self.state.deltas.rows >= self.state.total else f"the first {images}"
            lines.append(("delta", f"{delta.value * 100:+.3f} points, FP32 minus quantized, on {which}"))
            lines.append(("interval", f"{delta.low * 100:+.3f} to {delta.high * 100:+.3f}"))
            if delta.p is not None and delta.p_holm is not None:
                lines.append(("p", f"{delta.p:.3g}; {delta.p_holm:.3g} Holm-corrected across the table"))
        if found is not None:
            for row in study.beside((found,)):
                words = f"{row.stated:.1f} % ({study.label_of(row.measure)}; {catalog.STATED_BY})"
                lines.append(("stated", words))
        if self.state.deltas is not None:
            resamples, seed = self.state.deltas.resamples, self.state.deltas.seed
            lines.append(("bootstrap", f"{resamples:,} resamples, seed {seed}"))
        return lines or [("", "not measured yet")]
