"""The groups of the set-up screen in a narrow terminal: one line per group with what is chosen."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual import events

from qood_tui.widgets.strips import Strip, StripPart
from qood_tui.words import fitted


class PlanSummary(Strip):
    """One clickable line per group."""

    DEFAULT_CSS = "PlanSummary { height: auto; }"

    def draw(self, parts: Sequence[StripPart]) -> None:
        """Show every group with what is chosen."""
        self._actions = [part.action for part in parts]
        self.styles.height = len(parts)
        lines = []
        for part in parts:
            line = Text(f" {part.key} ", style="bold")
            lines.append(fitted(line.append(part.label, part.style or "not bold"), max(self.inner.width, 1)))
        self.show(lines)

    def on_click(self, event: events.Click) -> None:
        """Go to the clicked group."""
        event.stop()
        if 0 <= event.y < len(self._actions):
            self.post_message(self.Chosen(self._actions[event.y]))
