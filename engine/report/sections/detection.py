"""Sections on how well every variant detects, and how accurate and calibrated it is."""

from __future__ import annotations

from engine import catalog
from engine.measure.measures import BY_SET, COMPARED, OF_LABELS
from engine.report.blocks import Items, Row, Section, Table, Text
from engine.report.contents import Document
from engine.report.sections.losses import by_model
from engine.report.words import NO_VALUE, fraction, titled
from engine.text import counted


def detection(document: Document) -> Section:
    """Return one table per measure for the headline score: every set, and the mean over sets."""
    label = catalog.label_of(document.headline)
    sizes = {cell.name: (cell.n_id, cell.n_ood) for row in document.variants for cell in row.sets}
    names = document.plan.ood_sets
    counts = "; ".join(
        f"{name}: {counted(n_ood, 'image')} beside {n_id:,} of the ID set, chance for AUPR-out "
        f"{n_ood / max(n_id + n_ood, 1):.3f}"
        for name, (n_id, n_ood) in sizes.items()
    )
    tables = []
    for measure in COMPARED:
        rows: list[Row] = []
        for row in document.variants:
            cells = (*(row.cell(document.headline, name) for name in names), row.mean(document.headline))
            rows.append((row.key, *(fraction(cell.value(measure.id) if cell else None) for cell in cells)))
        tables.append(Table(f"{measure.label}, {label}", ("variant", *names, "mean"), by_model(rows)))
    return Section("detection", f"Detection ({label})", (Text(f"{counts}."), *tables))


def other_scores(document: Document) -> Section | None:
    """Return the means over OOD sets under every score; None if there is only one score."""
    if len(document.plan.scores) < 2:
        return None
    rows: list[Row] = []
    for row in document.variants:
        for mean in row.means:
            values = (fraction(mean.value(measure.id)) for measure in COMPARED)
            rows.append((row.key, catalog.label_of(mean.score), *values))
    columns = ("variant", "score", *(measure.label for measure in COMPARED))
    table = Table("Mean over OOD sets under every score", columns, by_model(rows), texts=2)
    return Section("scores", "Every score", (table,))


def everything(document: Document) -> Section:
    """Return every measure of every variant, score and OOD set."""
    labels = [measure.label for measure in BY_SET]
    columns = (
        "variant",
        "score",
        "set",
        "n ID",
        "n OOD",
        "chance",
        *labels,
        "AUROC, 95 % interval",
        "distinct",
    )
    rows: list[Row] = []
    for row in document.variants:
        for cell in row.sets:
            between = " to ".join(f"{end:.4f}" for end in cell.auroc_ci) if cell.auroc_ci else NO_VALUE
            head = (row.key, cell.score, cell.name, str(cell.n_id), str(cell.n_ood))
            values = (cell.chance_aupr_out, *(cell.value(measure.id) for measure in BY_SET))
            rows.append((*head, *map(fraction, values), between, fraction(cell.unique_share)))
    warned = tuple(
        f"{row.key}, {cell.score}, {cell.name}: {warning}"
        for row in document.variants
        for cell in row.sets
        for warning in cell.warnings
    )
    table = Table("Every measure of every score and set", columns, by_model(rows), texts=3, folded=True)
    return Section("everything", "Every measure", (table, *([Items(warned)] if warned else [])))


def accuracy(document: Document) -> Section:
    """Return accuracy and calibration on the ID images that have a label."""
    columns = ("variant", *map(titled, OF_LABELS))
    rows: list[Row] = [
        (row.key, *(fraction(row.value(measure.id)) for measure in OF_LABELS)) for row in document.variants
    ]
    table = Table("Accuracy and calibration on ID images", columns, by_model(rows))
    return Section("accuracy", "Accuracy and calibration", (table,))
