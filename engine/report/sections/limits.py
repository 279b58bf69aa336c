"""What the numbers of a session cannot tell, given how it went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from engine import catalog
from engine.catalog.models import UNKNOWN
from engine.measure.measure import Deltas
from engine.measure.measures import MEASURES
from engine.plan.variants import VariantId
from engine.report.contents import Document
from engine.report.sections.provenance import fit_images
from engine.text import counted, short

FEW_IMAGES = 1000  # in a set; with fewer, FPR95 and AUPR move in visible steps
WIDE = 0.02  # of a mean's interval: two points
MUCH_LOST = 0.01
MUCH_IN_FLOAT = 0.05  # of a model's weights
LITTLE, NAMED = 0.55, 4  # AUROC that is barely above chance; how many are named


def limits(document: Document) -> tuple[str, ...]:
    """Return the caveats on these numbers, in sentences."""
    return (
        *_of_images(document),
        *_of_intervals(document),
        *_of_quantization(document),
        *_of_scores(document),
        *_of_run(document),
    )


def _of_images(document: Document) -> Iterator[str]:
    plan = document.plan
    if document.note:
        yield (
            f"It is {document.note}: its micro models and sets were made to demonstrate the method. It does "
            "not show how much a vision transformer loses on ImageNet."
        )
    few = {c.name: c.n_ood for row in document.variants for c in row.sets if c.n_ood < FEW_IMAGES}
    if few:
        least = min(few, key=lambda name: few[name])
        one_image = f"; one image of {least} is {short(100 / few[least], 2)} points" if few[least] else ""
        yield (
            f"{len(few)} of {counted(len(plan.ood_sets), 'OOD set')} {'has' if len(few) == 1 else 'have'} "
            f"fewer than {FEW_IMAGES:,} images ({least}: {few[least]}). FPR95 and AUPR are coarse at such "
            f"counts{one_image}."
        )
    ratios = {
        c.chance_aupr_out for row in document.variants for c in row.sets if c.chance_aupr_out is not None
    }
    if ratios:
        yield (
            f"AUPR depends on the ratio of OOD to ID images. Chance for AUPR-out is "
            f"{min(ratios):.3f}{f' to {max(ratios):.3f}' if max(ratios) - min(ratios) > 5e-4 else ''} here; "
            "numbers at other ratios cannot be compared with these."
        )
    shares = [one for one in document.images if one.available and one.count < one.available]
    if shares:
        listed = ", ".join(f"{one.name} {one.count:,} of {one.available:,}" for one in shares)
        yield f"Sets are evaluated as samples drawn with seed {plan.seed}: {listed}."
    notes = [f"{one.name}: {note}" for one in document.images for note in one.notes]
    notes += [
        f"{name}: {catalog.SETS[name].note}"
        for name in plan.ood_sets
        if name in catalog.SETS and catalog.SETS[name].note
    ]
    if notes:
        yield (
            "OOD images may show ID classes, and labels may be wrong. Known for these sets: "
            f"{'; '.join(dict.fromkeys(notes))}."
        )
    if document.unreadable:
        lost = ", ".join(f"{n} of {name}" for name, n in document.unreadable.items())
        yield f"Unreadable images are not counted ({lost}); their scores are unknown."
    if any(row.value("top1") is None for row in document.variants):
        yield "The ID images have no labels, so there is no accuracy, NLL or calibration error."
    else:
        # A model that diverged has no NLL, and is wrong on every image only for that reason.
        alive = [row for row in document.variants if row.bits == "FP32" and row.value("nll") is not None]
        right = [top1 for row in alive if (top1 := row.value("top1")) is not None]
        if right:
            yield (
                f"In FP32 the models misclassify {1 - max(right):.1%} to {1 - min(right):.1%} of the ID "
                "images. These still count as ID, although confidence-based scores tend to rate them as OOD."
            )


def only_at_the_end() -> str:
    """Name the measures whose deltas are measured only at the end."""
    *names, last = (one.label for one in MEASURES.values() if one.deltas is Deltas.AT_THE_END)
    return f"{', '.join(names)} and {last}"


def _of_intervals(document: Document) -> Iterator[str]:
    wide = [row for row in document.deltas if row.main.mean.high - row.main.mean.low > WIDE]
    if wide:
        yield (
            f"The mean's interval is wider than {WIDE * 100:g} points for {len(wide)} of "
            f"{counted(len(document.deltas), 'variant')}: losses smaller than half of that cannot be "
            "distinguished from chance."
        )
    unclear = [row for row in document.deltas if not row.main.mean.is_change]
    if unclear:
        large = sum(row.main.mean.value >= MUCH_LOST for row in unclear)
        yield (
            f"{len(unclear)} of {len(document.deltas)} mean losses are not significant, "
            f"{large} of them {MUCH_LOST * 100:g} point or more. That does not prove that nothing was lost."
        )
    if document.sequential:
        yield (
            f"It ended after {document.rows:,} of {document.planned:,} images. Intervals are valid however "
            "often you look, and therefore wider. There are no tests, and "
            f"{only_at_the_end()} have no deltas."
        )
    yield (
        "Intervals cover only the draw of images from the same sets. They say nothing about other OOD sets, "
        "other training runs of the models or other calibration images."
    )
    if document.intervals == "journal":
        yield "Intervals and tests are taken from the journal; they were not recomputed from the arrays."


def _of_quantization(document: Document) -> Iterator[str]:
    plan = document.plan
    if all(row.bits == "FP32" for row in document.variants):
        return
    draws = len(document.calibrations)
    if draws == 1:
        count = counted(len(document.calibrations[0].images), "image")
        yield (
            f"Quantizers were calibrated on one draw of {count}: how much another draw would change these "
            "numbers is unknown (see calibration_draws in a plan)."
        )
    elif draws > 1:
        yield f"Quantizers were calibrated on {draws} draws; each delta is for one of them (see the spread)."
    yield (
        f"Quantization ({plan.method}) is simulated: values are rounded to the grid of their bits, and "
        "arithmetic is in floating point. An integer kernel may round differently, and these numbers say "
        "nothing about speed or memory."
    )
    floating = {VariantId.parse(table.variant).model: table.float_share for table in document.bit_tables}
    floating = {model: share for model, share in floating.items() if share > MUCH_IN_FLOAT}
    if floating:
        listed = ", ".join(f"{share:.1%} of {model}" for model, share in floating.items())
        yield f"Weights that stay in floating point ({listed}) lose nothing; models differ in this."
    if any(not row.pretraining for row in document.variants):
        yield f"The pretraining of some models is unknown; they are listed under {UNKNOWN}."
    groups = Counter({row.model: row.pretraining or "unknown" for row in document.variants}.values())
    if len(groups) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in groups.items())
        yield (
            f"Pretrainings are compared on few models ({listed}), each trained once: a difference may be due "
            "to the models rather than their pretraining."
        )


def _of_scores(document: Document) -> Iterator[str]:
    names = document.plan.scores
    if len(names) > 1:
        others = len(names) - 1
        when = "which the plan chose beforehand"
        if document.headline != document.chosen:
            when = f"chosen after the sweep: the plan had chosen {catalog.label_of(document.chosen)}"
        yield (
            f"Deltas and tests are for {catalog.label_of(document.headline)}, {when}. The other "
            f"{counted(others, 'score')} {'has' if others == 1 else 'have'} no intervals, and picking the "
            "best one afterwards would be biased."
        )
    weak = [
        f"{row.key} on {cell.name} {auroc:.3f}"
        for row in document.variants
        for cell in row.sets
        if row.bits == "FP32" and cell.score == document.headline
        if (auroc := cell.value("auroc")) is not None and auroc < LITTLE
    ]
    if weak:
        more = f" and {len(weak) - NAMED} more" if len(weak) > NAMED else ""
        yield (
            f"{catalog.label_of(document.headline)} detects OOD barely better than chance, or worse, before "
            f"quantization (AUROC of {', '.join(weak[:NAMED])}{more}), so there is little to lose."
        )
    noted = [f"{catalog.label_of(n)}: {catalog.SCORES[n].note}" for n in names if n in catalog.SCORES]
    noted = [text for text in noted if not text.endswith(": ")]
    if noted:
        yield f"The assumptions of scores may not hold here ({'; '.join(noted)})."
    if images := fit_images(document):
        yield f"Fitted scores were fitted once, on {images}."


def _of_run(document: Document) -> Iterator[str]:
    if document.state != "finished":
        yield f"The session is {document.state}: these are the results of {counted(document.rows, 'image')}."
    absent = [v.key for v in document.plan.variants() if document.row(v.key) is None]
    if absent:
        yield f"No results for {', '.join(absent)}: they are in no mean, test or correction."
    for line in document.interruptions:
        yield f"It was interrupted: {line}. Finished rows were kept unchanged."
    if not document.checked.numbers:
        yield "The journal has no table for this number of images to compare these numbers with."
