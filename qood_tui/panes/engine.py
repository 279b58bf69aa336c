"""The engine pane: what runs where, machine load, and progress."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from engine.protocol.events import DeviceLoad
from engine.text import counted, in_bytes
from qood_tui.panes.base import PaneInput, ScrollingPane
from qood_tui.plot.palette import style
from qood_tui.state.state import State
from qood_tui.words import clean, clip, duration, fitted, sparkline

LEAST_WAIT = 0.05  # of the time; less is not shown


class EnginePane(ScrollingPane):
    """Show devices, load, pace and failures."""

    NAME, SLOT = "engine", "machine"

    def draw(self, data: PaneInput) -> None:
        """Show the current state."""
        state = data.state
        lines = [_pace(state), self._load(state), *self._devices(state), _worker(state), *_parts(state)]
        self.caption("Engine", self.show_all([fitted(line, self.inner.width) for line in lines]))

    def _load(self, state: State) -> Text:
        if not state.telemetry:
            return Text("no load measured yet", style="dim")
        now = state.telemetry[-1]
        line = Text(f"processor {now.processor:3.0f} % ")
        line.append(self._trail([t.processor for t in state.telemetry]), style(self.ink.gained))
        total, worker = in_bytes(now.memory_total), in_bytes(now.worker_memory)
        return line.append(f"  memory {in_bytes(now.memory)} of {total}, worker {worker}")

    def _devices(self, state: State) -> list[Text]:
        """Return one line per accelerator: use, memory, power, temperature."""
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
            lines.append(line.append(f"  {_load_of(device)}"))
        return lines

    def _trail(self, values: Sequence[float]) -> str:
        return sparkline(values, max(min(self.inner.width - 72, 40), 8))


def _load_of(device: DeviceLoad) -> str:
    """Return memory, power and temperature, as far as the device reports them."""
    words = []
    if device.memory is not None:
        of_all = f" of {in_bytes(device.memory_total)}" if device.memory_total else ""
        words.append(f"{in_bytes(device.memory)}{of_all}")
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
    return Text(f"{clean(worker.device)} · {counted(worker.threads, 'thread')} · torch {torch}")


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
        line.append(f" · waiting for images {state.share_waited:.0%} of the time", "yellow not bold")
    return line


def _parts(state: State) -> list[Text]:
    """Return how many variants are ready, what failed, and how many images each set has."""
    plan = state.header.plan
    total = len(plan.variants())
    line = Text(f"{len(state.ready)} of {total} variants ready, {state.rows:,} of {state.total:,} images")
    if state.failed or state.unreadable:
        line.append(
            f" · left out: {counted(len(state.failed), 'variant')}, {counted(state.unreadable, 'image')}",
            "yellow",
        )
    sets = state.prepared.sets if state.prepared else ()
    counts = " · ".join(f"{clean(one.name)} {one.count:,}" for one in sets)
    return [line, Text(counts, style="dim")] if counts else [line]
