"""The engine pane: what runs where, how loaded the machine is, how far each part has come."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from engine.protocol.events import DeviceLoad
from qood_tui.panes.base import PaneInput, ScrollingPane
from qood_tui.plot.palette import style
from qood_tui.state.state import State
from qood_tui.words import clean, clip, duration, fitted, size, sparkline

LEAST_WAIT = 0.05  # of the time; less is not worth a word


class EnginePane(ScrollingPane):
    """Show devices, load, pace and what was left out."""

    NAME, LABEL, SLOT = "engine", "Engine", "machine"

    def draw(self, moment: PaneInput) -> None:
        """Show the pane at this moment."""
        state = moment.state
        lines = [_pace(state), self._load(state), *self._devices(state), _worker(state), *_parts(state)]
        self.caption("Engine", self.show_all([fitted(line, self.inner.width) for line in lines]))

    def _load(self, state: State) -> Text:
        if not state.telemetry:
            return Text("load not measured yet", style="dim")
        now = state.telemetry[-1]
        line = Text(f"processor {now.processor:3.0f} % ")
        line.append(self._trail([t.processor for t in state.telemetry]), style(self.ink.gained))
        return line.append(
            f"  memory {size(now.memory)} of {size(now.memory_total)}, worker {size(now.worker_memory)}"
        )

    def _devices(self, state: State) -> list[Text]:
        """Return a line an accelerator: use, memory, power, temperature."""
        if not state.telemetry:
            return []
        names = list(state.worker.accelerators.values()) if state.worker else []
        lines = []
        for place, device in enumerate(state.telemetry[-1].devices):
            name = clean(names[place]) if place < len(names) else f"device {place}"
            use = "  ?" if device.use is None else f"{device.use:3.0f}"
            line = Text(f"{clip(name, 16):<16} {use} % ")
            trail = [t.devices[place].use or 0.0 for t in state.telemetry if place < len(t.devices)]
            line.append(self._trail(trail), style(self.ink.gained))
            lines.append(line.append(f"  {_told(device)}"))
        return lines

    def _trail(self, values: Sequence[float]) -> str:
        return sparkline(values, max(min(self.inner.width - 66, 40), 8))


def _told(device: DeviceLoad) -> str:
    """Say what a device tells of its memory, power and temperature."""
    words = []
    if device.memory is not None:
        of_all = f" of {size(device.memory_total)}" if device.memory_total else ""
        words.append(f"{size(device.memory)}{of_all}")
    if device.power is not None:
        limit = f" of {device.power_limit:.0f}" if device.power_limit else ""
        words.append(f"{device.power:.0f}{limit} W")
    if device.temperature is not None:
        words.append(f"{device.temperature:.0f} °C")
    return ", ".join(words)


def _worker(state: State) -> Text:
    if state.worker is None:
        return Text("no worker yet", style="dim")
    worker = state.worker
    torch = clean(worker.versions.get("torch", "?"))
    return Text(f"{clean(worker.device)} · {worker.threads} threads · torch {torch}")


def _pace(state: State) -> Text:
    if len(state.pace) < 2:
        return Text(clean(f"{state.phase} {state.note}").rstrip(), style="bold")
    (start, before), (end, rows) = state.pace[0], state.pace[-1]
    rate = (rows - before) / max(end - start, 1e-9)
    line = Text(clean(state.phase), style="bold")
    line.append(f" · {rate:.0f} images/s · {rate * len(state.ready):,.0f} forward passes/s", "not bold")
    if state.seconds_left is not None:
        line.append(f" · {duration(state.seconds_left)} left", "not bold")
    if state.share_waited > LEAST_WAIT:
        line.append(f" · waits for images {state.share_waited:.0%} of the time", "yellow not bold")
    return line


def _parts(state: State) -> list[Text]:
    """Say how many variants are ready, what was left out, and how many images each set has."""
    plan = state.header.plan
    total = len(plan.variants())
    line = Text(f"{len(state.ready)} of {total} variants ready, {state.rows:,} of {state.total:,} images")
    if state.failed or state.unreadable:
        line.append(f" · left out: {len(state.failed)} variants, {state.unreadable} images", "yellow")
    sets = state.prepared.sets if state.prepared else ()
    told = " · ".join(f"{clean(one.name)} {one.count:,}" for one in sets)
    return [line, Text(told, style="dim")] if told else [line]
