"""The log pane: what happened, the newest at the bottom."""

from __future__ import annotations

from rich.text import Text

from engine.text import counted
from qood_tui.panes.base import PaneInput, ScrollingPane
from qood_tui.plot.palette import style
from qood_tui.state.state import LogLine
from qood_tui.words import clean, clip, duration

MARKS = {"info": " ", "warning": "!", "error": "✗"}


class LogPane(ScrollingPane):
    """Show the log's lines; warnings and errors have a mark."""

    NAME, SLOT = "log", "machine"
    FROM_END = True

    def draw(self, data: PaneInput) -> None:
        """Show the log."""
        lines = data.state.log
        part = self.show_all([self._line(line) for line in lines])
        counts = {level: sum(line.level == level for line in lines) for level in ("warning", "error")}
        words = [counted(count, level) for level, count in counts.items() if count]
        self.caption(" · ".join(["Log", *words]), part)

    def _line(self, line: LogLine) -> Text:
        words = {"warning": "bold", "error": style(self.ink.lost, "bold")}.get(line.level, "")
        text = f"{duration(line.t):>6} {MARKS.get(line.level, ' ')} {clean(line.text)}"
        return Text(clip(text, self.inner.width), style=words)
