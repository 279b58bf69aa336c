"""The top of the session screen: where it is, how far it is, and what was found."""

from __future__ import annotations

from rich.text import Text
from textual import events
from textual.message import Message

from engine import catalog
from qood_tui.plot.palette import style
from qood_tui.state.findings import headline, most_lost, trouble
from qood_tui.state.markers import SIGNS, Kind, on_line
from qood_tui.state.sources import LiveSource, ReplaySource, Source
from qood_tui.state.state import State
from qood_tui.widgets.lines import Lines
from qood_tui.words import bar, clean, clip, duration, fitted


class StatusLine(Lines):
    """Four lines: session, progress or timeline, the headline, what was lost most."""

    class WorstAsked(Message):
        """The user clicked on what was lost most."""

    class Sought(Message):
        """The user clicked on the timeline, at this share of it."""

        def __init__(self, share: float) -> None:
            super().__init__()
            self.share = share

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._bar = 0  # its width in cells

    def draw(self, source: Source) -> None:
        """Show the moment that `source` shows."""
        width = self.inner.width
        state = source.state
        is_replay = isinstance(source, ReplaySource)
        second = self._timeline(source) if isinstance(source, ReplaySource) else self._progress(state)
        lost = isinstance(source, LiveSource) and source.lost
        resume = f"The engine ended before the sweep; go on with: qood-tui run --resume {source.session.name}"
        third = Text(resume, style="bold red") if lost else trouble(state) or headline(state, width)
        title = _title(source, width, is_replay=is_replay)
        self.show([title, second, fitted(third, width), fitted(most_lost(state, width), width)])

    def on_click(self, event: events.Click) -> None:
        """Go to what was lost most, or to a place of the timeline."""
        if event.y == 3:
            self.post_message(self.WorstAsked())
        elif event.y == 1 and self._bar and event.x <= self._bar:
            self.post_message(self.Sought(event.x / self._bar))

    def _progress(self, state: State) -> Text:
        width = self.inner.width
        share = state.rows / state.total if state.total else 0.0
        told = f" {share:4.0%}  {state.rows:,}/{state.total:,} images · {state.phase}"
        if state.seconds_left is not None:
            told += f" · {duration(state.seconds_left)} left"
        if state.failed or state.unreadable:
            told += f" · {len(state.failed)} variants, {state.unreadable} images left out"
        self._bar = 0
        done = bar(share, max(width - len(told) - 1, 5))
        return Text.assemble((done, style(self.ink.done)), clip(told, width - len(done)))

    def _timeline(self, source: ReplaySource) -> Text:
        width = self.inner.width
        share = source.position / source.length if source.length else 1.0
        state = "playing" if source.playing else "paused"
        told = f" {duration(source.state.t)} of {duration(source.ends)} · {state} {source.speed:g}x · "
        images = f"{source.state.rows:,}/{source.state.total:,} images"
        if source.damaged:
            images += f" · {source.damaged} damaged events"
        # The timeline keeps its length, whether there is something to be said of this moment or not.
        is_wide = width >= 100
        self._bar = max(min(width - len(told) - len(images) - 1, width // 2 if is_wide else width), 5)
        marker = None if source.playing else source.marker
        what = f"{SIGNS[marker.kind]} {marker.text}" if marker else ""
        told += " · ".join(filter(None, (images, what))) if is_wide or not marker else what
        line = Text(bar(share, self._bar), style(self.ink.played))
        line = self._marked(line, on_line(source.markers, source.length, self._bar))
        return line.append(clip(clean(told), width - self._bar), "")

    def _marked(self, line: Text, cells: dict[int, Kind]) -> Text:
        """Return the timeline with its markers in it."""
        signs = list(line.plain)
        for cell, kind in cells.items():
            signs[cell] = SIGNS[kind]
        marked = Text("".join(signs), line.style)
        for cell, kind in cells.items():
            if kind is Kind.WARNING:
                marked.stylize(style(self.ink.lost), cell, cell + 1)
        return marked


def _title(source: Source, width: int, *, is_replay: bool) -> Text:
    state = source.state
    kind = "REPLAY" if is_replay else "LIVE"
    if not is_replay and state.closed:
        kind = "DONE" if state.closed.outcome == "finished" else state.closed.outcome.upper()
    if isinstance(source, LiveSource):
        kind = "ENGINE LOST" if source.lost else f"{kind}, SCREEN PAUSED" if source.paused else kind
    line = Text.assemble((f" {kind} ", "bold reverse"))
    note = catalog.note_of(state.header.plan.id_set)
    note = "miniature, not ImageNet" if note and width < 100 else note
    name = clip(clean(source.session.name), max(width - len(kind) - len(note) - 7, 8))
    return line.append(f" {name} ", "bold").append(clip(f" {note}", max(width - line.cell_len, 0)), "dim")
