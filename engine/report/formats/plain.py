"""A document as JSON and as comma-separated values."""

from __future__ import annotations

import csv
import io
import re

import msgspec

from engine.measure.pair import PairMeasures
from engine.protocol.events import Delta, VariantDelta
from engine.report.contents import Document, VariantRow
from engine.text import clean

OF_VARIANT = ("model", "pretraining", "bits", "method", "draw", "top1", "top5", "nll", "brier", "ece")
OF_SET = tuple(
    field
    for field in PairMeasures.__struct_fields__
    if field not in ("name", "score", "auroc_ci", "warnings")
)
LOST = ("ap_out", "auroc", "ap_in", "fpr95", "top1", "nll")
OF_DELTA = tuple(field for field in Delta.__struct_fields__ if field != "value")
MEAN = "(mean)"  # no set can have this name
_CONTROL = re.compile("[\x7f-\x9f]")  # JSON allows them, terminals obey them
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_json(found: Document) -> str:
    """Return the whole document as JSON."""
    text = msgspec.json.format(msgspec.json.encode(found), indent=2).decode()
    return _CONTROL.sub(lambda c: f"\\u{ord(c[0]):04x}", text) + "\n"


def as_csv(found: Document) -> str:
    """Return one line for every variant, score and OOD set, and one for their mean.

    Under the headline score a line has what was lost, too: of its set, or of the mean.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    lost = [f"{name}_lost{'' if not part else '_' + part}" for name in LOST for part in ("", *OF_DELTA)]
    titles = [*OF_VARIANT, "set", "score", *OF_SET, *lost]
    writer.writerow(titles)
    deltas = {row.variant: row for row in found.deltas}
    for row in found.variants:
        for cells in _lines(found, row, deltas.get(row.key)):
            rest = [None] * (len(titles) - len(cells))
            writer.writerow([harmless(cell) for cell in (*cells, *rest)])
    return text.getvalue()


def _lines(found: Document, row: VariantRow, delta: VariantDelta | None) -> list[list[object]]:
    head = [getattr(row, field) for field in OF_VARIANT]
    lines: list[list[object]] = []
    for cell in row.sets:
        lost = _lost(delta, cell.name) if delta is not None and cell.score == found.headline else []
        lines.append([*head, cell.name, cell.score, *(getattr(cell, field) for field in OF_SET), *lost])
    for mean in row.means:
        lost = _lost(delta, "") if delta is not None and mean.score == found.headline else []
        lines.append([*head, MEAN, mean.score, *(getattr(mean, field, None) for field in OF_SET), *lost])
    return lines


def _lost(delta: VariantDelta, of_set: str) -> list[object]:
    """Return what was lost on one set; of the mean for no set, and of accuracy only there."""
    cells: list[object] = []
    for name in LOST:
        if name in ("top1", "nll"):
            one = None if of_set else getattr(delta, name)
        else:
            one = getattr(delta, name).get(of_set) if of_set else getattr(delta, f"{name}_mean")
        cells += [getattr(one, field, None) for field in ("value", *OF_DELTA)]
    return cells


def harmless(cell: object) -> object:
    """Return a cell that no spreadsheet takes for a formula."""
    if not isinstance(cell, str):
        return cell
    text = clean(cell)
    return f"'{text}" if text.startswith(_FORMULA) else text
