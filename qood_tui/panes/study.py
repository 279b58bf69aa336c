"""The study pane: what each pretraining loses at each bit width, as bars with intervals."""

from __future__ import annotations

from collections.abc import Collection

from rich.text import Text

from engine import catalog
from engine.measure import means
from engine.measure.measures import AP_OUT
from engine.plan.plan import Plan
from engine.plan.variants import VariantId
from engine.protocol.events import Delta, DeltasMeasured
from engine.report import study
from engine.report.words import interval
from engine.text import counted
from qood_tui.panes.base import PaneInput, ScrollingPane
from qood_tui.plot.palette import style
from qood_tui.state.state import State
from qood_tui.words import clean, clip, verdict

BITS, NAME, NUMBER = 6, 13, 25
LEAST_BAR = 8


class StudyPane(ScrollingPane):
    """Mean AUPR-out lost by pretraining and bit setting, and the difference between pretrainings."""

    NAME, SLOT = "study", "figures"

    def draw(self, data: PaneInput) -> None:
        """Show bars, lowest bits on top."""
        state = data.state
        deltas = state.deltas
        if deltas is None or not deltas.by_pretraining:
            words = "no intervals yet" if deltas is None else "no means by pretraining in this session"
            self.caption("Study · AUPR-out lost, mean of OOD sets and models")
            self.show_all([Text(words, style="dim")])
            return
        lines: list[Text] = []
        width = max(self.inner.width - BITS - NAME - NUMBER - 1, LEAST_BAR)
        most = max((d.high for found in deltas.by_pretraining.values() for d in found.values()), default=0.0)
        for bits in _fewest_first(state.header.plan, deltas):
            for place, (pretraining, found) in enumerate(deltas.by_pretraining.items()):
                if bits in found:
                    line = Text(f"{bits if place == 0 else '':<{BITS}}", style="bold")
                    compared = means.models_at_bits(deltas.variants, bits)
                    models = sum(catalog.pretraining_of(model) == pretraining for model in compared)
                    name = f"{_short(pretraining)} ({models})"
                    line.append(f"{clip(clean(name), NAME - 1):<{NAME}}", "not bold")
                    lines.append(self._bar(line, found[bits], most, width, bits))
            if bits in deltas.twins:
                lines.append(self._twins(deltas.twins[bits], means.models_at_bits(deltas.variants, bits)))
        lines += _stated(state)
        if catalog.note_of(state.header.plan.id_set):
            lines.append(
                Text("a miniature: narrow stands for ImageNet-1k, wide for ImageNet-22k", style="dim")
            )
        score = catalog.label_of(state.header.plan.headline)
        axis = f"{'0':<{width // 2}}{f'{most * 100:.1f} points':>{width - width // 2}}"
        part = self.show_all(lines, [Text(" " * (BITS + NAME) + axis, style="dim")])
        self.caption(
            f"Study · {AP_OUT.label} lost, mean of OOD sets and models · {score}",
            " · ".join(filter(None, ("┃ mean of (n) models, ▒ its 95 % interval", part))),
        )

    def _bar(self, line: Text, delta: Delta, most: float, width: int, bits: str) -> Text:
        def cells(value: float) -> int:
            return round(min(max(value / most, 0.0), 1.0) * width) if most > 0 else 0

        low, value, high = (cells(end) for end in (delta.low, delta.value, delta.high))
        bar = "█" * low + "▒" * (high - low)
        bar = f"{bar[:value]}┃{bar[value + 1 :]}" if delta.value > 0 else bar
        line.append(f"{bar:<{width + 1}}", style(self.ink.of_bits(bits).colour, "not bold"))
        return _numbers(line, delta)

    def _twins(self, delta: Delta, models: Collection[str]) -> Text:
        twins = catalog.twins(models)
        names = {tuple(_short(catalog.pretraining_of(model)) for model in pair) for pair in twins}
        smaller, larger = names.pop() if len(names) == 1 else ("the smaller", "the larger")
        words = f"{larger} minus {smaller}, mean of {counted(len(twins), 'twin pair')}"
        width = max(self.inner.width - BITS - NUMBER, NAME + LEAST_BAR)
        return _numbers(Text(" " * BITS).append(f"{clip(words, width - 1):<{width}}", "italic"), delta)


def _numbers(line: Text, delta: Delta) -> Text:
    line.append(f" {delta.value * 100:+6.1f}{verdict(delta)}", "bold")
    return line.append(f" {interval(delta)}", "not bold")


def _fewest_first(plan: Plan, deltas: DeltasMeasured) -> list[str]:
    known = {str(v.bits): v.bits for v in plan.variants()}
    found = [text for text in known if text in deltas.by_bits]
    return sorted(
        found, key=lambda text: (known[text].weight + known[text].activation, known[text].activation)
    )


def _short(pretraining: str) -> str:
    return pretraining.replace("ImageNet", "IN")


def _stated(state: State) -> list[Text]:
    """Return what the study's abstract states next to what was measured."""
    found = study.beside(state.deltas.variants) if state.deltas else ()
    if not found:
        return []
    lines = [Text(), Text(f"Compared with the {catalog.STATED_BY}:", style="bold")]
    for one in found:
        identity = VariantId.parse(one.variant)
        name = catalog.short_of(identity.model) + (f" #{identity.draw + 1}" if identity.draw else "")
        relative = f", {one.measured.relative:+.1%}" if one.measured.relative is not None else ""
        measured = f"{one.measured.value * 100:+.1f} points{relative}"
        lines.append(Text(f"{name}, {study.label_of(one.measure)}: {measured}; stated {one.stated:.1f} %"))
    return lines
