"""The engine pane: what runs where, how loaded the machine is, and the log."""

from __future__ import annotations

from rich.text import Text

from qood_tui.store import Line, State
from qood_tui.widgets.lines import Lines
from qood_tui.words import clean, duration, size, sparkline

LEAST_WAIT = 0.05  # of the time; less is not worth a word
LEVELS = {"info": "", "warning": "yellow", "error": "bold red"}


class Engine(Lines):
    """Show device, load and the newest log lines."""

    def draw(self, state: State) -> None:
        """Show the pane at this moment."""
        self.caption("Engine")
        width = self.size.width
        lines = [_device(state), _load(state, width), _pace(state)]
        space = max(self.size.height - len(lines), 0)
        lines += [_log_line(line) for line in state.log[len(state.log) - space :]] if space else []
        self.show(lines)


def _device(state: State) -> Text:
    if state.worker is None:
        return Text("no worker yet", style="dim")
    worker = state.worker
    torch = clean(worker.versions.get("torch", "?"))
    return Text(f"{clean(worker.device)} · {worker.threads} threads · torch {torch}")


def _load(state: State, width: int) -> Text:
    if not state.telemetry:
        return Text("load not measured yet", style="dim")
    now = state.telemetry[-1]
    line = Text(f"processor {now.processor:3.0f} % ")
    line.append(
        sparkline([t.processor for t in state.telemetry], max(min(width - 60, 40), 8)), "rgb(86,180,233)"
    )
    line.append(f"  memory {size(now.memory)} of {size(now.memory_total)}, worker {size(now.worker_memory)}")
    if now.accelerator is not None:
        memory = size(now.accelerator_memory or 0)
        line.append(f"  GPU {now.accelerator:.0f} % {memory} {now.accelerator_power or 0:.0f} W")
    return line


def _pace(state: State) -> Text:
    if len(state.pace) < 2:
        return Text(f"{state.phase} {clean(state.note)}".rstrip())
    (start, before), (end, rows) = state.pace[0], state.pace[-1]
    rate = (rows - before) / max(end - start, 1e-9)
    variants = len(state.ready)
    line = Text(f"{state.phase} · {rate:.0f} images/s · {rate * variants:,.0f} forward passes/s")
    if state.share_waited > LEAST_WAIT:
        line.append(f" · waits for images {state.share_waited:.0%} of the time", "yellow")
    return line


def _log_line(line: Line) -> Text:
    return Text(f"{duration(line.t):>6}  {clean(line.text)}", style=LEVELS.get(line.level, ""))
