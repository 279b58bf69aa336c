"""Sections on how well every variant detects, and how accurate and calibrated it is."""

from __future__ import annotations

from engine import catalog
from engine.report.blocks import Items, Row, Section, Table, Text
from engine.report.contents import Document
from engine.report.sections.losses import by_model
from engine.report.words import NO_VALUE, fraction

MEASURES = {
    "auroc": "AUROC",
    "ap_out": "AUPR-out",
    "ap_in": "AUPR-in",
    "fpr95_ood_positive": "FPR95 (OOD+)",
}


def detection(found: Document) -> Section:
    """Return, for the headline score, one table a measure: every set, and the mean over them."""
    label = catalog.label_of(found.headline)
    sizes = {cell.name: (cell.n_id, cell.n_ood) for row in found.variants for cell in row.sets}
    names = found.plan.ood_sets
    told = "; ".join(
        f"{name} {n_ood:,} images beside {n_id:,} of the ID set, chance for AUPR-out "
        f"{n_ood / max(n_id + n_ood, 1):.3f}"
        for name, (n_id, n_ood) in sizes.items()
    )
    tables = []
    for measure, title in MEASURES.items():
        rows: list[Row] = []
        for row in found.variants:
            cells = [row.cell(found.headline, name) for name in names]
            mean = row.mean(found.headline)
            values = [getattr(one, measure) if one else None for one in (*cells, mean)]
            rows.append((row.key, *map(fraction, values)))
        tables.append(Table(f"{title}, {label}", ("variant", *names, "mean"), by_model(rows)))
    return Section(f"Detection ({label})", (Text(f"{told}."), *tables))


def other_scores(found: Document) -> Section | None:
    """Return the means over OOD sets under every score; None where there is one score alone."""
    if len(found.plan.scores) < 2:
        return None
    rows: list[Row] = []
    for row in found.variants:
        for mean in row.means:
            values = [getattr(mean, measure) for measure in MEASURES]
            rows.append((row.key, catalog.label_of(mean.score), *map(fraction, values)))
    columns = ("variant", "score", *MEASURES.values())
    return Section(
        "Every score",
        (Table("Mean over OOD sets under every score", columns, by_model(rows), texts=2),),
    )


def everything(found: Document) -> Section:
    """Return every measure of every variant, score and OOD set."""
    columns = (
        "variant",
        "score",
        "set",
        "n ID",
        "n OOD",
        "chance",
        "AUPR-out",
        "AUPR-in",
        "AUROC",
        "95 % interval",
        "FPR95 (OOD+)",
        "FPR95 (ID+)",
        "detection error",
        "partial AUROC",
        "distinct",
    )
    rows: list[Row] = []
    for row in found.variants:
        for cell in row.sets:
            between = " to ".join(f"{end:.4f}" for end in cell.auroc_ci) if cell.auroc_ci else NO_VALUE
            measured = (cell.chance_aupr_out, cell.ap_out, cell.ap_in, cell.auroc)
            more = (
                cell.fpr95_ood_positive,
                cell.fpr95_id_positive,
                cell.detection_error,
                cell.partial_auroc,
                cell.unique_share,
            )
            head = (row.key, cell.score, cell.name, str(cell.n_id), str(cell.n_ood))
            rows.append((*head, *map(fraction, measured), between, *map(fraction, more)))
    warned = tuple(
        f"{row.key}, {cell.score}, {cell.name}: {warning}"
        for row in found.variants
        for cell in row.sets
        for warning in cell.warnings
    )
    table = Table("Every measure of every score and set", columns, by_model(rows), texts=3, folded=True)
    return Section("Every measure", (table, *([Items(warned)] if warned else [])))


def accuracy(found: Document) -> Section:
    """Return accuracy and calibration on the ID images that have a label."""
    columns = ("variant", "top-1", "top-5", "NLL (nats)", "Brier", "ECE", "ECE, equal mass", "AURC")
    rows: list[Row] = []
    for row in found.variants:
        values = (row.top1, row.top5, row.nll, row.brier, row.ece, row.ece_adaptive, row.aurc)
        rows.append((row.key, *map(fraction, values)))
    return Section(
        "Accuracy and calibration",
        (Table("Accuracy and calibration on ID images", columns, by_model(rows)),),
    )
