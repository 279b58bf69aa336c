"""What a session has found so far, in sentences: for the top of the screen and for tiny terminals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rich.text import Text

from engine import catalog
from engine.measure import means
from engine.measure.guessing import warning
from engine.plan.variants import VariantId, VariantKey
from engine.protocol.events import Delta
from engine.report.words import interval
from qood_tui.state.state import State
from qood_tui.words import clean, verdict, wrapped

WIDEST = 1000  # cells: everything fits


class Worst(NamedTuple):
    """The largest loss of AUPR-out in the table: on which set, of which variant."""

    variant: VariantKey
    ood_set: str
    delta: Delta


def worst(state: State) -> Worst | None:
    """Return the largest loss, None if nothing has been compared yet."""
    compared = state.deltas.variants if state.deltas else ()
    every = [
        Worst(one.variant, name, delta)
        for one in compared
        for name, delta in one.main.sets.items()
        if name in state.header.plan.ood_sets
    ]
    return max(every, key=lambda found: found.delta.value, default=None)


def trouble(state: State) -> Text | None:
    """Return why a session failed, is paused or is suspect, None if all is well."""
    if state.closed and state.closed.outcome in ("failed", "refused"):
        words = f"{state.closed.outcome.capitalize()}: {state.closed.reason}"
        return Text(clean(words), style="bold red")
    if state.phase == "paused":
        return Text(clean(f"Paused: {state.note}"), style="bold yellow")
    if guess := next(filter(None, _guesses(state)), ""):
        return Text(clean(guess), style="bold yellow")
    return None


def _guesses(state: State) -> Iterator[str]:
    """Yield a warning for each model that is no better than guessing."""
    images = next((one.count for one in state.prepared.sets if one.role == "id"), 0) if state.prepared else 0
    for variant in state.header.plan.variants():
        ready, measured = state.ready.get(variant.key), state.measured.get(variant.key)
        if not variant.bits.is_float or ready is None or measured is None or not state.total:
            continue
        seen = round(images * measured.rows / state.total)
        top1 = measured.value("top1")
        if top1 is not None and measured.value("nll") is not None:
            yield warning(variant.model, top1, seen, ready.classes)


def headline(state: State, width: int = WIDEST) -> Text:
    """Return the mean cost of the lowest bits as a sentence, shortened to fit."""
    plan = state.header.plan
    known = {str(v.bits): v.bits for v in plan.variants()}
    measured = [text for text in (state.deltas.by_bits if state.deltas else ()) if text in known]
    if state.deltas is None or not measured:
        if state.measured:
            return Text("First numbers; intervals follow with more images.", "dim")
        return Text("Deltas appear once every set has some images.", "dim")
    bits = min(measured, key=lambda text: (known[text].weight + known[text].activation, text))
    mean = state.deltas.by_bits[bits]
    of_bits = means.at_bits(state.deltas.variants, bits)
    if not of_bits:
        return Text("No variant could be compared with its FP32 reference.", "dim")
    known_top1 = [d.of_labels["top1"].value for d in of_bits if "top1" in d.of_labels]
    line = Text(f"{bits} costs " if mean.is_change else f"{bits}: no clear cost, ")
    line.append(f"{mean.value * 100:+.1f} points of AUPR-out", "bold")
    line.append(f" ({interval(mean)}{verdict(mean).strip()})")
    if known_top1:
        line.append(f" and {sum(known_top1) / len(known_top1) * 100:+.1f} of top-1")
    over = f", mean of {means.models_in_words(of_bits, bits)}"
    sets = means.sets_in_words(of_bits, plan.ood_sets)
    return _with_tail(line, width, f"{over} and {sets}, {catalog.label_of(plan.headline)}", over)


def largest_loss(state: State, width: int = WIDEST) -> Text:
    """Return the largest loss, and whether it is significant, as a sentence that fits."""
    found = worst(state)
    if found is None:
        return Text()
    if found.delta.value <= 0:
        return Text("No variant lost on any OOD set.", "dim")
    identity = VariantId.parse(found.variant)
    p = found.delta.p_holm
    tails = [
        "▼ so far: the 95 % interval excludes zero, valid however often you look, not corrected",
        "▼ so far",
        "▼",
    ]
    if p is not None:
        chance = "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
        tails = [f"▼, significant: {chance}, Holm-corrected", f"▼, {chance}", "▼"]
    if not found.delta.is_change:
        tails = [", may be chance", ", chance?"]
    name = f"{catalog.short_of(identity.model)} {identity.setting} on {clean(found.ood_set)}"
    for between in (f" points ({interval(found.delta)})", f" ({interval(found.delta)})", " points"):
        line = Text("Largest loss: ")
        line.append(name, "bold").append(f" {found.delta.value * 100:+.1f}{between}")
        if line.cell_len + len(tails[-1]) <= width:
            break
    return _with_tail(line, width, *tails)


def _with_tail(line: Text, width: int, *tails: str) -> Text:
    """Append the first of several endings that fits."""
    for tail in tails:
        if line.cell_len + len(tail) <= width:
            return line.append(tail, "dim")
    return line


def in_brief(state: State, width: int) -> list[Text]:
    """Return the findings as lines for a tiny terminal."""
    first = trouble(state) or headline(state)
    return [*wrapped(first, width), *wrapped(largest_loss(state), width)]
