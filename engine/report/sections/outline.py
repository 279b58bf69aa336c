"""The sections of a report in their order."""

from __future__ import annotations

from engine.measure import means
from engine.measure.measures import MEASURES
from engine.report import definitions
from engine.report.blocks import Items, Section, Text
from engine.report.contents import Document
from engine.report.sections import bits, detection, limits, losses, provenance
from engine.report.words import interval, points
from engine.text import counted

MOST_WRONG = 60  # lines of what does not agree
RELATIVE = "The ends of a relative interval are those of the absolute one over the FP32 value."


def sections(found: Document) -> tuple[Section, ...]:
    """Return everything that a report says, the urgent first."""
    every = (
        disagreement(found),
        _listed("guesses", "At the level of guessing", found.guesses, is_urgent=True),
        losses.headline(found),
        losses.stated(found),
        _listed("limits", "What these numbers cannot tell", limits.limits(found)),
        _listed("failures", "What went wrong", found.failures),
        _listed("warnings", "Warnings", found.warnings),
        losses.spread(found),
        detection.detection(found),
        detection.accuracy(found),
        losses.in_full(found),
        detection.other_scores(found),
        provenance.images(found),
        provenance.models(found),
        provenance.machine(found),
        detection.everything(found),
        bits.bits(found),
        provenance.hashes(found),
        Section("definitions", "Definitions", (Items(meanings(found)),)),
    )
    return tuple(section for section in every if section is not None)


def disagreement(found: Document) -> Section | None:
    """Return what the journal says otherwise than the arrays; None if all agrees."""
    if not found.mismatches:
        return None
    told = (
        "This session was changed or damaged after it was written. The report says what the arrays say of "
        "the rows that the journal knows to be finished; 'qood-tui sessions verify' names everything."
    )
    return Section(
        "damage",
        "This session is damaged: its journal and its arrays disagree",
        (Text(told), Items(wrong(found))),
        is_urgent=True,
    )


def wrong(found: Document) -> tuple[str, ...]:
    """Return what does not agree, the last of very many counted alone."""
    more = len(found.mismatches) - MOST_WRONG
    told = (f"and {more:,} more, all of them in the format json",) if more > 0 else ()
    return (*found.mismatches[:MOST_WRONG], *told)


def lead(found: Document) -> tuple[str, ...]:
    """Return in sentences what a report is of, and how far it was checked."""
    checked = found.checked
    kept = "" if found.intervals == "arrays" else " Intervals are taken from the journal, not recomputed."
    draw = found.calibrations[0] if len(found.calibrations) == 1 else None
    lines = [
        f"{found.note[0].upper()}{found.note[1:]}." if found.note else "",
        f"State: {found.state}, {counted(found.rows, 'image')}, {found.seconds:.0f} s, seed {found.seed}.",
        _in_a_sentence(found),
        f"Calibrated on one draw of {counted(len(draw.images), 'image')} (seed {draw.seed})." if draw else "",
        f"Measured again from the arrays: {checked.numbers:,} numbers and {checked.hashes:,} hashes of rows "
        f"were compared with the journal, {len(found.mismatches):,} disagree.{kept}"
        if checked.numbers
        else "Measured from the arrays; the journal has no table of these rows to compare with.",
    ]
    return tuple(line for line in lines if line)


def meanings(found: Document) -> tuple[str, ...]:
    """Return what every number is and where its formula is from."""
    return (
        definitions.SCORE,
        definitions.DELTA,
        f"Intervals: {definitions.INTERVAL} {found.resamples:,} resamples, seed {found.seed}.",
        RELATIVE,
        *(measure.described for measure in MEASURES.values()),
        definitions.recompute(found.session),
    )


def _in_a_sentence(found: Document) -> str:
    if not found.by_bits:
        return ""
    bits, mean = max(found.by_bits.items(), key=lambda one: one[1].value)
    loss = f"{points(mean).strip()} points ({interval(mean)}) at {bits}"
    if mean.value > 0:
        start = f"The largest mean loss of AUPR-out is {loss}"
    else:
        start = f"No bit setting lost AUPR-out on average; the largest change is {loss}"
    return (
        f"{start}, over {means.models_in_words(found.deltas, bits)} and "
        f"{means.sets_in_words(found.deltas, found.plan.ood_sets)}."
    )


def _listed(name: str, title: str, items: tuple[str, ...], is_urgent: bool = False) -> Section | None:
    return Section(name, title, (Items(items),), is_urgent=is_urgent) if items else None
