"""The top of the session screen: session, progress and findings."""

from __future__ import annotations

from rich.text import Text
from textual import events
from textual.message import Message

from engine import catalog
from engine.text import counted
from qood_tui.plot.palette import style
from qood_tui.state.findings import headline, largest_loss, trouble
from qood_tui.state.markers import SIGNS, Kind, on_line
from qood_tui.state.sources import LiveSource, ReplaySource, SessionSource
from qood_tui.state.state import State
from qood_tui.terminal_size import MEDIUM
from qood_tui.widgets.lines import Lines
from qood_tui.words import bar, clean, clip, duration, fitted


class StatusLine(Lines):
    """Four lines: session, progress or timeline, headline, largest loss."""

    class WorstAsked(Message):
        """The largest loss was clicked."""

    class Sought(Message):
        """The timeline was clicked, at this share of its length."""

        def __init__(self, share: float) -> None:
            super().__init__()
            self.share = share

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._bar = 0  # its width in cells

    def draw(self, source: SessionSource) -> None:
        """Show the current state of a source."""
        width = self.inner.width
        state = source.state
        is_replay = isinstance(source, ReplaySource)
        second = self._timeline(source) if isinstance(source, ReplaySource) else self._progress(state)
        lost = isinstance(source, LiveSource) and source.lost
        resume = f"The engine died during the sweep. Resume with: qood-tui run --resume {source.session.name}"
        third = Text(resume, style="bold red") if lost else trouble(state) or headline(state, width)
        title = _title(source, width, is_replay=is_replay)
        self.show([title, second, fitted(third, width), fitted(largest_loss(state, width), width)])

    def on_click(self, event: events.Click) -> None:
        """Go to the largest loss, or to a place on the timeline."""
        if event.y == 3:
            self.post_message(self.WorstAsked())
        elif event.y == 1 and self._bar and event.x <= self._bar:
            self.post_message(self.Sought(event.x / self._bar))

    def _progress(self, state: State) -> Text:
        width = self.inner.width
        share = state.rows / state.total if state.total else 0.0
        text = f" {share:4.0%}  {state.rows:,}/{state.total:,} images · {state.phase}"
        if state.seconds_left is not None:
            text += f" · {duration(state.seconds_left)} left"
        if state.failed or state.unreadable:
            text += (
                f" · left out: {counted(len(state.failed), 'variant')}, {counted(state.unreadable, 'image')}"
            )
        self._bar = 0
        done = bar(share, max(width - len(text) - 1, 5))
        return Text.assemble((done, style(self.ink.done)), clip(text, width - len(done)))

    def _timeline(self, source: ReplaySource) -> Text:
        width = self.inner.width
        share = source.position / source.length if source.length else 1.0
        state = "playing" if source.playing else "paused"
        text = f" {duration(source.state.t)} of {duration(source.ends)} · {state} {source.speed:g}x · "
        images = f"{source.state.rows:,}/{source.state.total:,} images"
        if source.damaged:
            images += f" · {counted(source.damaged, 'damaged event')}"
        # The timeline keeps its length whether or not there is a marker to describe.
        is_wide = width >= MEDIUM
        self._bar = max(min(width - len(text) - len(images) - 1, width // 2 if is_wide else width), 5)
        marker = None if source.playing else source.marker
        event = f"{SIGNS[marker.kind]} {marker.text}" if marker else ""
        text += " · ".join(filter(None, (images, event))) if is_wide or not marker else event
        line = Text(bar(share, self._bar), style(self.ink.played))
        line = self._marked(line, on_line(source.markers, source.length, self._bar))
        return line.append(clip(clean(text), width - self._bar), "")

    def _marked(self, line: Text, cells: dict[int, Kind]) -> Text:
        """Return the timeline with its markers."""
        signs = list(line.plain)
        for cell, kind in cells.items():
            signs[cell] = SIGNS[kind]
        marked = Text("".join(signs), line.style)
        for cell, kind in cells.items():
            if kind is Kind.WARNING:
                marked.stylize(style(self.ink.lost), cell, cell + 1)
        return marked


def _title(source: SessionSource, width: int, *, is_replay: bool) -> Text:
    state = source.state
    kind = "REPLAY" if is_replay else "LIVE"
    if not is_replay and state.closed:
        kind = "DONE" if state.closed.outcome == "finished" else state.closed.outcome.upper()
    if isinstance(source, LiveSource):
        kind = "ENGINE LOST" if source.lost else f"{kind}, SCREEN FROZEN" if source.paused else kind
    line = Text.assemble((f" {kind} ", "bold reverse"))
    note = catalog.note_of(state.header.plan.id_set)
    note = "miniature, not ImageNet" if note and width < MEDIUM else note
    name = clip(clean(source.session.name), max(width - len(kind) - len(note) - 7, 8))
    return line.append(f" {name} ", "bold").append(clip(f" {note}", max(width - line.cell_len, 0)), "dim")
