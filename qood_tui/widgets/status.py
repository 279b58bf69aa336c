"""The top of the session screen: where it is, how far it is, and the finding in one sentence."""

from __future__ import annotations

from rich.text import Text

from engine import catalog
from qood_tui.sources import LiveSource, ReplaySource, Source
from qood_tui.store import State
from qood_tui.widgets.lines import Lines
from qood_tui.words import bar, clean, clip, duration, verdict


class Status(Lines):
    """Three lines: session, progress or timeline, finding."""

    def draw(self, source: Source) -> None:
        """Show the moment that `source` shows."""
        width = self.size.width
        state = source.state
        second = _timeline(source, width) if isinstance(source, ReplaySource) else _progress(state, width)
        lost = isinstance(source, LiveSource) and source.lost
        resume = f"The engine ended before the sweep; go on with: qood-tui run --resume {source.session.name}"
        third = Text(clip(resume, width), style="bold red") if lost else finding(state, width)
        self.show([_title(source, width), second, third])


def _title(source: Source, width: int) -> Text:
    state = source.state
    kind = "LIVE" if source.is_live and not state.closed else "REPLAY" if not source.is_live else "DONE"
    if source.is_live and state.closed and state.closed.outcome != "finished":
        kind = state.closed.outcome.upper()
    if isinstance(source, LiveSource) and source.lost:
        kind = "ENGINE LOST"
    line = Text.assemble((f" {kind} ", "bold reverse"))
    note = catalog.note_of(state.header.plan.id_set)
    note = "miniature, not ImageNet" if note and width < 100 else note
    name = clip(clean(source.session.name), max(width - len(kind) - len(note) - 7, 8))
    return line.append(f" {name} ", "bold").append(f" {note}", "dim")


def _progress(state: State, width: int) -> Text:
    share = state.rows / state.total if state.total else 0.0
    told = f" {share:4.0%}  {state.rows:,}/{state.total:,} images · {state.phase}"
    if state.seconds_left is not None:
        told += f" · {duration(state.seconds_left)} left"
    if state.failed or state.unreadable:
        told += f" · {len(state.failed)} variants, {state.unreadable} images left out"
    done = bar(share, max(width - len(told) - 1, 5))
    return Text.assemble((done, "rgb(0,158,115)"), clip(told, width))


def _timeline(source: ReplaySource, width: int) -> Text:
    share = source.position / source.length if source.length else 1.0
    state = "playing" if source.playing else "paused"
    told = (
        f" {duration(source.position)} of {duration(source.length)} · {state} {source.speed:g}x · "
        f"{source.state.rows:,}/{source.state.total:,} images"
    )
    if source.reader.skipped or source.reader.torn:
        told += f" · {source.reader.skipped} damaged events"
    played = bar(share, max(width - len(told) - 1, 5))
    return Text.assemble((played, "rgb(86,180,233)"), clip(told, width))


def finding(state: State, width: int) -> Text:
    """Return the study's headline at this moment as one sentence."""
    if state.closed and state.closed.outcome in ("failed", "refused"):
        words = f"{state.closed.outcome.capitalize()}: {state.closed.reason}"
        return Text(clip(clean(words), width), style="bold red")
    if state.phase == "paused":
        return Text(clip(clean(f"Paused: {state.note}"), width), style="bold yellow")
    plan = state.header.plan
    known = {str(v.bits): v.bits for v in plan.variants()}
    measured = [text for text in (state.deltas.by_bits if state.deltas else ()) if text in known]
    if state.deltas is None or not measured:
        if state.measured:
            return Text(
                clip("First numbers of the first images; intervals come with more of them.", width), "dim"
            )
        return Text(clip("Deltas appear once every set has some images.", width), style="dim")
    bits = min(measured, key=lambda text: (known[text].weight + known[text].activation, text))
    mean = state.deltas.by_bits[bits]
    model_of = {v.key: v.model for v in plan.variants() if str(v.bits) == bits}
    of_bits = [d for d in state.deltas.variants if d.variant in model_of]
    if not of_bits:
        return Text("No variant could be compared with its FP32 reference.", style="dim")
    known_top1 = [d.top1.value for d in of_bits if d.top1 is not None]
    line = Text(f"{bits} costs " if mean.is_change else f"{bits}: no clear cost, ")
    line.append(f"{mean.value * 100:+.1f} points of AUPR-out", "bold")
    line.append(f" ({mean.low * 100:+.1f} to {mean.high * 100:+.1f}{verdict(mean).strip()})")
    if known_top1:
        line.append(f" and {sum(known_top1) / len(known_top1) * 100:+.1f} of top-1")
    if width >= 110:
        label = catalog.label_of(plan.headline)
        models = len({model_of[d.variant] for d in of_bits})
        line.append(f", mean of {models} models and {len(plan.ood_sets)} OOD sets, {label}", "dim")
    return line
