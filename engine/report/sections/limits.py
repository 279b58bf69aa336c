"""What the numbers of a session cannot tell, from how it went."""

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
from engine.text import short

FEW_IMAGES = 1000  # in a set, below which FPR95 and AUPR move in visible steps
WIDE = 0.02  # of a mean's interval: two points
MUCH_LOST = 0.01
MUCH_IN_FLOAT = 0.05  # of a model's weights
LITTLE, NAMED = 0.55, 4  # AUROC that is hardly above chance; how many are named


def limits(found: Document) -> tuple[str, ...]:
    """Return in sentences what must be kept in mind with these numbers."""
    return (
        *_of_images(found),
        *_of_intervals(found),
        *_of_quantization(found),
        *_of_scores(found),
        *_of_run(found),
    )


def _of_images(found: Document) -> Iterator[str]:
    plan = found.plan
    if found.note:
        yield (
            f"It is {found.note}: its micro models and sets were made to show the method at work. How much a "
            "vision transformer loses on ImageNet cannot be read from it."
        )
    few = {c.name: c.n_ood for row in found.variants for c in row.sets if c.n_ood < FEW_IMAGES}
    if few:
        least = min(few, key=lambda name: few[name])
        one_image = f"; one image of {least} is {short(100 / few[least], 2)} points" if few[least] else ""
        yield (
            f"{len(few)} of {len(plan.ood_sets)} OOD sets have fewer than {FEW_IMAGES:,} images "
            f"({least}: {few[least]}): FPR95 and AUPR at such counts are coarse{one_image}."
        )
    ratios = {c.chance_aupr_out for row in found.variants for c in row.sets if c.chance_aupr_out is not None}
    if ratios:
        yield (
            f"AUPR depends on the ratio of OOD to ID images. Chance for AUPR-out is "
            f"{min(ratios):.3f}{f' to {max(ratios):.3f}' if max(ratios) - min(ratios) > 5e-4 else ''} here; "
            "numbers at other ratios cannot be compared with these."
        )
    shares = [one for one in found.images if one.available and one.count < one.available]
    if shares:
        told = ", ".join(f"{one.name} {one.count:,} of {one.available:,}" for one in shares)
        yield f"Sets are evaluated as samples drawn with seed {plan.seed}: {told}."
    notes = [f"{one.name}: {note}" for one in found.images for note in one.notes]
    notes += [
        f"{name}: {catalog.SETS[name].note}"
        for name in plan.ood_sets
        if name in catalog.SETS and catalog.SETS[name].note
    ]
    if notes:
        yield (
            "OOD images may show ID classes, and labels may be wrong. Known of these sets: "
            f"{'; '.join(dict.fromkeys(notes))}."
        )
    if found.unreadable:
        lost = ", ".join(f"{n} of {name}" for name, n in found.unreadable.items())
        yield f"Unreadable images are not counted ({lost}); their scores are unknown."
    if any(row.value("top1") is None for row in found.variants):
        yield "The ID images have no labels, so there is no accuracy, NLL or calibration error."
    else:
        # One that diverged has no NLL, and errs on every image for that reason alone.
        alive = [row for row in found.variants if row.bits == "FP32" and row.value("nll") is not None]
        right = [top1 for row in alive if (top1 := row.value("top1")) is not None]
        if right:
            yield (
                f"In FP32 the models err on {1 - max(right):.1%} to {1 - min(right):.1%} of the ID images. "
                "These still count as ID, although confidence-based scores take them for OOD."
            )


def only_at_the_end() -> str:
    """Name the measures whose deltas are measured only at the end."""
    *names, last = (one.label for one in MEASURES.values() if one.deltas is Deltas.AT_THE_END)
    return f"{', '.join(names)} and {last}"


def _of_intervals(found: Document) -> Iterator[str]:
    wide = [row for row in found.deltas if row.main.mean.high - row.main.mean.low > WIDE]
    if wide:
        yield (
            f"The mean's interval is wider than {WIDE * 100:g} points for {len(wide)} of {len(found.deltas)} "
            "variants: losses smaller than half of that cannot be distinguished from chance."
        )
    unclear = [row for row in found.deltas if not row.main.mean.is_change]
    if unclear:
        large = sum(row.main.mean.value >= MUCH_LOST for row in unclear)
        yield (
            f"{len(unclear)} of {len(found.deltas)} mean losses are not significant, "
            f"{large} of them {MUCH_LOST * 100:g} point or more. That does not prove that nothing was lost."
        )
    if found.sequential:
        yield (
            f"It ended after {found.rows:,} of {found.planned:,} images: intervals are valid however often "
            f"one looks, and therefore wider; there are no tests, and {only_at_the_end()} have no deltas."
        )
    yield (
        "Intervals cover only the draw of images from the same sets. They say nothing about other OOD sets, "
        "other trainings of the models or other calibration images."
    )
    if found.intervals == "journal":
        yield "Intervals and tests are taken from the journal; they were not recomputed from the arrays."


def _of_quantization(found: Document) -> Iterator[str]:
    plan = found.plan
    if all(row.bits == "FP32" for row in found.variants):
        return
    draws = len(found.calibrations)
    if draws == 1:
        yield (
            f"Quantizers were calibrated on one draw of {len(found.calibrations[0].images)} images: how far "
            "another draw would change these numbers is unknown (see calibration_draws in a plan)."
        )
    elif draws > 1:
        yield f"Quantizers were calibrated on {draws} draws; each delta is of one of them (see the spread)."
    yield (
        f"Quantization ({plan.method}) is simulated: values are rounded to the grid of their bits, and "
        "the arithmetic is in floating point. An integer kernel may round differently, and nothing follows "
        "for speed or memory."
    )
    floating = {VariantId.parse(table.variant).model: table.float_share for table in found.bit_tables}
    floating = {model: share for model, share in floating.items() if share > MUCH_IN_FLOAT}
    if floating:
        told = ", ".join(f"{share:.1%} of {model}" for model, share in floating.items())
        yield f"Weights that stay in floating point ({told}) lose nothing; models differ in this."
    if any(not row.pretraining for row in found.variants):
        yield f"The pretraining of some models is unknown; they are listed under {UNKNOWN}."
    groups = Counter({row.model: row.pretraining or "not known" for row in found.variants}.values())
    if len(groups) > 1:
        told = ", ".join(f"{name} {count}" for name, count in groups.items())
        yield (
            f"Pretrainings are compared on few models ({told}), each trained once: a difference may come "
            "from the models rather than their pretraining."
        )


def _of_scores(found: Document) -> Iterator[str]:
    names = found.plan.scores
    if len(names) > 1:
        chosen = catalog.label_of(found.chosen)
        when = f", chosen after the sweep: the plan had chosen {chosen}"
        yield (
            f"Deltas and tests are of {catalog.label_of(found.headline)}"
            f"{', which the plan chose beforehand' if found.headline == found.chosen else when}. The other "
            f"{len(names) - 1} scores have no intervals, and picking the best one afterwards would be biased."
        )
    weak = [
        f"{row.key} on {cell.name} {auroc:.3f}"
        for row in found.variants
        for cell in row.sets
        if row.bits == "FP32" and cell.score == found.headline
        if (auroc := cell.value("auroc")) is not None and auroc < LITTLE
    ]
    if weak:
        more = f" and {len(weak) - NAMED} more" if len(weak) > NAMED else ""
        yield (
            f"{catalog.label_of(found.headline)} detects OOD hardly better than chance, or worse, before "
            f"quantization (AUROC of {', '.join(weak[:NAMED])}{more}): there is little to lose."
        )
    noted = [f"{catalog.label_of(n)}: {catalog.SCORES[n].note}" for n in names if n in catalog.SCORES]
    noted = [text for text in noted if not text.endswith(": ")]
    if noted:
        yield f"The assumptions of scores may not hold here ({'; '.join(noted)})."
    if images := fit_images(found):
        yield f"Fitted scores were fitted once, on {images}."


def _of_run(found: Document) -> Iterator[str]:
    if found.state != "finished":
        yield f"The session is {found.state}: these are the results of {found.rows:,} images."
    absent = [v.key for v in found.plan.variants() if found.row(v.key) is None]
    if absent:
        yield f"No results for {', '.join(absent)}: they are in no mean, test or correction."
    for line in found.interruptions:
        yield f"It was interrupted: {line}. Finished rows were kept unchanged."
    if not found.checked.numbers:
        yield "The journal has no table of as many images, so there was nothing to compare the numbers with."
