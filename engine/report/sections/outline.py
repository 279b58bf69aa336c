"""The sections of a report, in order."""

from __future__ import annotations

from engine.measure import means
from engine.measure.measures import MEASURES
from engine.report import definitions
from engine.report.blocks import Items, Section, Text
from engine.report.contents import Document
from engine.report.sections import bits, detection, limits, losses, provenance
from engine.report.words import interval, points
from engine.text import counted

MOST_WRONG = 60  # disagreements that are listed
RELATIVE = "The ends of a relative interval are those of the absolute one divided by the FP32 value."


def sections(document: Document) -> tuple[Section, ...]:
    """Return all sections of a report, urgent ones first."""
    every = (
        disagreement(document),
        _listed("guesses", "At the level of guessing", document.guesses, is_urgent=True),
        losses.headline(document),
        losses.stated(document),
        _listed("limits", "What these numbers cannot tell", limits.limits(document)),
        _listed("failures", "What went wrong", document.failures),
        _listed("warnings", "Warnings", document.warnings),
        losses.spread(document),
        detection.detection(document),
        detection.accuracy(document),
        losses.in_full(document),
        detection.other_scores(document),
        provenance.images(document),
        provenance.models(document),
        provenance.machine(document),
        detection.everything(document),
        bits.bits(document),
        provenance.hashes(document),
        Section("definitions", "Definitions", (Items(meanings(document)),)),
    )
    return tuple(section for section in every if section is not None)


def disagreement(document: Document) -> Section | None:
    """Return the disagreements between journal and arrays; None if there are none."""
    if not document.mismatches:
        return None
    explanation = (
        "This session was changed or damaged after it was written. The report is computed from the rows of "
        "the arrays that are finished according to the journal; 'qood-tui sessions verify' lists all damage."
    )
    return Section(
        "damage",
        "This session is damaged: its journal and its arrays disagree",
        (Text(explanation), Items(wrong(document))),
        is_urgent=True,
    )


def wrong(document: Document) -> tuple[str, ...]:
    """Return the disagreements; beyond MOST_WRONG they are only counted."""
    more = len(document.mismatches) - MOST_WRONG
    rest = (f"and {more:,} more, which the json format lists",) if more > 0 else ()
    return (*document.mismatches[:MOST_WRONG], *rest)


def lead(document: Document) -> tuple[str, ...]:
    """Return the lead of a report in sentences: what it is about, and how much of it was checked."""
    checked = document.checked
    kept = "" if document.intervals == "arrays" else " Intervals are taken from the journal, not recomputed."
    draw = document.calibrations[0] if len(document.calibrations) == 1 else None
    lines = [
        f"{document.note[0].upper()}{document.note[1:]}." if document.note else "",
        f"State: {document.state}, {counted(document.rows, 'image')}, {document.seconds:.0f} s, "
        f"seed {document.seed}.",
        _in_a_sentence(document),
        f"Calibrated on one draw of {counted(len(draw.images), 'image')} (seed {draw.seed})." if draw else "",
        f"Measured again from the arrays: {checked.numbers:,} numbers and {checked.hashes:,} hashes of rows "
        f"were compared with the journal; {len(document.mismatches):,} disagree.{kept}"
        if checked.numbers
        else "Measured from the arrays; the journal has no table for these rows to compare with.",
    ]
    return tuple(line for line in lines if line)


def meanings(document: Document) -> tuple[str, ...]:
    """Return the definition of every number and the source of its formula."""
    return (
        definitions.SCORE,
        definitions.DELTA,
        f"Intervals: {definitions.INTERVAL} {document.resamples:,} resamples, seed {document.seed}.",
        RELATIVE,
        *(measure.described for measure in MEASURES.values()),
        definitions.recompute(document.session),
    )


def _in_a_sentence(document: Document) -> str:
    if not document.by_bits:
        return ""
    bits, mean = max(document.by_bits.items(), key=lambda one: one[1].value)
    loss = f"{points(mean).strip()} points ({interval(mean)}) at {bits}"
    if mean.value > 0:
        start = f"The largest mean loss of AUPR-out is {loss}"
    else:
        start = f"No bit setting lost AUPR-out on average; the largest change is {loss}"
    return (
        f"{start}, over {means.models_in_words(document.deltas, bits)} and "
        f"{means.sets_in_words(document.deltas, document.plan.ood_sets)}."
    )


def _listed(name: str, title: str, items: tuple[str, ...], is_urgent: bool = False) -> Section | None:
    return Section(name, title, (Items(items),), is_urgent=is_urgent) if items else None
