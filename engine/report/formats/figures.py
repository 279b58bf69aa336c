"""The figures of a report: losses by pretraining and bits, ROC curves, distributions of scores."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import msgspec

from engine import catalog
from engine.catalog import BITS
from engine.plan.variants import VariantId
from engine.protocol.events import Curve, Delta
from engine.report.blocks import Figure, Panel
from engine.report.contents import Document, ScoreHistogram
from engine.report.formats.svg import STYLES, drawing, element, line, number, path, shortened, words
from engine.report.words import interval, points
from engine.text import short

MOST_PANELS = 60  # of one figure
MOST_CURVES = STYLES
SIDE, LEFT, TOP, BOTTOM = 200.0, 42.0, 24.0, 32.0  # of a panel
ROW, LABELS, VALUES, ACROSS = 21.0, 150.0, 150.0, 420.0  # of the bars


class Bar(msgspec.Struct, frozen=True):
    """One bar: its group, its own name, its place among the names, and the loss."""

    group: str
    name: str
    place: int
    delta: Delta


def losses(document: Document) -> Figure | None:
    """Draw the mean loss at every bit setting, by pretraining if there are several."""
    groups: Mapping[str, Mapping[str, Delta]] = document.by_pretraining
    if len(groups) < 2:
        groups = {"all models": document.by_bits}
    every = [bits for bits in document.by_bits if any(bits in of_bits for of_bits in groups.values())]
    bars = [
        Bar(bits, name, place, groups[name][bits])
        for bits in every
        for place, name in enumerate(groups)
        if bits in groups[name]
    ]
    if not bars:
        return None
    title = "Mean AUPR-out lost, in percentage points, with 95 % intervals"
    description = "; ".join(
        f"{bar.group}, {bar.name}: {points(bar.delta).strip()} ({interval(bar.delta)})" for bar in bars
    )
    height = TOP + ROW * len(bars) + 8 * (len(every) - 1) + BOTTOM
    svg = drawing("losses", title, description, (LABELS + ACROSS + VALUES, height), list(_bars(bars, height)))
    caption = "Mean AUPR-out lost over OOD sets and models, by bit setting"
    caption += " and pretraining" if len(groups) > 1 else ""
    return Figure(
        f"{caption}; whiskers are 95 % intervals, a star marks a significant change.",
        (Panel(svg),),
        is_wide=True,
    )


def _bars(bars: list[Bar], height: float) -> Iterator[str]:
    ends = [end for bar in bars for end in _ends(bar.delta)]
    low, high, step = scale(min(0.0, *ends), max(0.0, *ends))
    across = ACROSS / (high - low)
    zero = LABELS - low * across
    for tick in range(round((high - low) / step) + 1):
        value = low + tick * step
        x = LABELS + (value - low) * across
        yield line(x, TOP - 6, x, height - BOTTOM, "zero" if abs(value) < step / 2 else "grid")
        yield words(
            x, height - BOTTOM + 14, f"{value:+g}" if abs(value) > step / 2 else "0", "tick", "middle"
        )
    yield words(LABELS + ACROSS / 2, height - 3, "percentage points lost", "tick", "middle")
    y, group = TOP, ""
    for bar in bars:
        y += 8 if group and bar.group != group else 0
        if bar.group != group:
            yield words(0, y + 13, shortened(bar.group, 9), "strong")
        group = bar.group
        value, *ends_at = _ends(bar.delta)
        yield words(LABELS - 8, y + 13, shortened(bar.name, 14), "", "end")
        yield element(
            "rect",
            x=number(zero + min(value, 0) * across),
            y=number(y + 3),
            width=number(abs(value) * across),
            height=number(ROW - 6),
            class_=f"bar b{bar.place % STYLES}",
        )
        x1, x2 = (zero + end * across for end in ends_at)
        middle = y + ROW / 2
        yield line(x1, middle, x2, middle, "whisker")
        yield from (line(x, middle - 4, x, middle + 4, "whisker") for x in (x1, x2))
        text = f"{points(bar.delta).strip()}  ({interval(bar.delta)})"
        yield words(LABELS + ACROSS + 8, y + 13, text, "value")
        y += ROW


def _ends(delta: Delta) -> tuple[float, float, float]:
    """Return value and interval in points; impossible values from a journal are clipped."""
    value, low, high = (100 * min(max(end, -1.0), 1.0) for end in (delta.value, delta.low, delta.high))
    return value, low, high


def scale(low: float, high: float) -> tuple[float, float, float]:
    """Return ends and step of an axis with a few round numbers around `low` and `high`."""
    span = max(high - low, 0.1)
    step = next(
        base * 10**power
        for power in range(-2, 4)
        for base in (1, 2, 5)
        if span / (base * 10**power) <= 7 or (power, base) == (3, 5)
    )
    return step * (low // step), -step * (-high // step), step


def roc(document: Document) -> Iterator[Figure]:
    """Draw the ROC curves: one figure per model, one panel per OOD set, one curve per bit setting."""
    drawn = 0
    label = catalog.label_of(document.headline)
    for number_, model in enumerate(document.plan.models):
        rows = [row for row in document.variants if row.model == model and not row.draw][:MOST_CURVES]
        curves = {one.variant: {curve.set: curve for curve in one.curves} for one in document.curves}
        panels = []
        for place, name in enumerate(document.plan.ood_sets):
            shown = [
                (row.bits, auroc, curves[row.key][name])
                for row in rows
                if (cell := row.cell(document.headline, name)) is not None
                and (auroc := cell.value("auroc")) is not None
                and name in curves.get(row.key, {})
            ]
            if shown and drawn < MOST_PANELS:
                drawn += 1
                panels.append(Panel(_roc(f"roc-{number_}-{place}", f"{model}, {name}", name, shown)))
        if panels:
            yield Figure(
                f"{model}: ROC curves under {label} at every bit setting; numbers are AUROC.", tuple(panels)
            )


def _roc(name: str, title: str, of_set: str, shown: list[tuple[str, float, Curve]]) -> str:
    description = "; ".join(f"{bits}: AUROC {auroc:.4f}" for bits, auroc, _ in shown)
    parts = [*_square(of_set, "false positive rate", "true positive rate")]
    parts.append(line(LEFT, TOP + SIDE, LEFT + SIDE, TOP, "grid"))
    for bits, _, curve in shown:
        along = ((LEFT + x * SIDE, TOP + (1 - y) * SIDE) for x, y in zip(curve.fpr, curve.tpr, strict=True))
        parts.append(path(along, f"line s{style_of(bits)}"))
    y = TOP + SIDE - 8 - 13 * (len(shown) - 1)
    for bits, auroc, _ in shown:
        parts.append(line(LEFT + SIDE - 108, y - 4, LEFT + SIDE - 82, y - 4, f"line s{style_of(bits)}"))
        parts.append(words(LEFT + SIDE - 77, y, bits))
        parts.append(words(LEFT + SIDE - 5, y, f"{auroc:.3f}", "value", "end"))
        y += 13
    return drawing(name, f"ROC curves: {title}", description, (LEFT + SIDE + 8, TOP + SIDE + BOTTOM), parts)


def style_of(bits: str) -> int:
    """Return the style of a bit setting: always the same for those of the catalog."""
    if bits in BITS:
        return BITS.index(bits)
    return len(BITS) + sum(map(ord, bits)) % (STYLES - len(BITS))


def _square(title: str, below: str, beside: str, ticks: bool = True) -> Iterator[str]:
    yield words(LEFT, TOP - 9, shortened(title, 30), "strong")
    for share in (0, 0.5, 1) if ticks else ():
        x, y = LEFT + share * SIDE, TOP + (1 - share) * SIDE
        yield line(x, TOP, x, TOP + SIDE, "grid")
        yield line(LEFT, y, LEFT + SIDE, y, "grid")
        yield words(x, TOP + SIDE + 13, f"{share:g}", "tick", "middle")
        yield words(LEFT - 5, y + 4, f"{share:g}", "tick", "end")
    yield element("rect", x=LEFT, y=TOP, width=SIDE, height=SIDE, class_="frame")
    yield words(LEFT + SIDE / 2, TOP + SIDE + 27, below, "tick", "middle")
    middle = TOP + SIDE / 2
    turned = element(
        "text",
        beside,
        x=number(LEFT - 30),
        y=number(middle),
        class_="tick",
        text_anchor="middle",
        transform=f"rotate(-90 {number(LEFT - 30)} {number(middle)})",
    )
    yield turned


def scores(document: Document) -> Figure | None:
    """Draw the distribution of the headline score in FP32 and at the fewest bits of every model."""
    panels = [
        Panel(_scores(f"scores-{place}", one, document))
        for place, one in enumerate(document.histograms[:MOST_PANELS])
        if any(map(any, one.shares.values()))
    ]
    if not panels:
        return None
    label = catalog.label_of(document.headline)
    return Figure(
        f"Distribution of {label} in FP32 and at the fewest bits: the share of each set's images in "
        f"{len_of(document)} bins, the same for both, as square roots (Tukey's rootogram), since most ID "
        "images fall into few bins. The ID set is filled; a larger score looks more out-of-distribution.",
        tuple(panels),
    )


def len_of(document: Document) -> int:
    """Return the number of bins of the histograms."""
    return max((len(one.edges) - 1 for one in document.histograms), default=0)


def _scores(name: str, one: ScoreHistogram, document: Document) -> str:
    highest = max(
        share
        for other in document.histograms
        if _same_model(one, other)
        for s in other.shares.values()
        for share in s
    )
    low, high = one.edges[0], one.edges[-1]
    beyond = "; ".join(f"{n} {share:.1%}" for n, share in one.beyond.items() if share > 0)
    description = f"From {short(low, 4)} to {short(high, 4)}, at most {highest:.1%} in a bin."
    description += f" Outside: {beyond}." if beyond else ""
    parts = [
        *_square(
            one.variant,
            catalog.label_of(document.headline),
            f"root of the share, up to {highest:.0%}",
            ticks=False,
        )
    ]
    parts.append(words(LEFT, TOP + SIDE + 13, short(low), "tick"))
    parts.append(words(LEFT + SIDE, TOP + SIDE + 13, short(high), "tick", "end"))
    y = TOP + 14
    room = SIDE - 12 - 13 * min(len(one.shares), MOST_CURVES)  # below the key
    for place, (of_set, shares) in enumerate(one.shares.items()):
        kind = "id" if of_set == document.plan.id_set else f"line s{_of_set(place)}"
        parts.append(path(_steps(shares, highest, room, closed=kind == "id"), kind))
        if place < MOST_CURVES:
            parts.append(line(LEFT + 62, y - 4, LEFT + 84, y - 4, "id-sample" if kind == "id" else kind))
            parts.append(words(LEFT + 88, y, shortened(of_set, 18)))
            y += 13
    size = (LEFT + SIDE + 8, TOP + SIDE + BOTTOM)
    return drawing(name, f"Scores: {one.variant}", description, size, parts)


def _of_set(place: int) -> int:
    """Return a style for an OOD set, the strongest first."""
    return (5, 1, 2, 3, 4, 6, 7)[(place - 1) % 7]


def _same_model(one: ScoreHistogram, other: ScoreHistogram) -> bool:
    return VariantId.parse(one.variant).model == VariantId.parse(other.variant).model


def _steps(
    shares: tuple[float, ...], highest: float, room: float, *, closed: bool
) -> Iterator[tuple[float, float]]:
    """Yield the outline of a histogram."""
    wide, floor = SIDE / len(shares), TOP + SIDE
    if closed:
        yield LEFT, floor
    for place, share in enumerate(shares):
        y = floor - math.sqrt(share / highest) * room
        yield LEFT + place * wide, y
        yield LEFT + (place + 1) * wide, y
    if closed:
        yield LEFT + SIDE, floor
