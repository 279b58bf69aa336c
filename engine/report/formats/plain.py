"""A document as JSON and as comma-separated values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from engine.measure.measures import BY_SET, COMPARED, COMPARED_OF_LABELS, OF_LABELS
from engine.measure.pair import PairMeasures, flat
from engine.protocol.events import Delta, VariantDelta
from engine.report.contents import Document, MeanMeasures, VariantRow
from engine.report.formats import tables

OF_VARIANT = ("model", "pretraining", "bits", "method", "draw")
OF_SET = ("n_id", "n_ood", "chance_aupr_out")
AFTER_SET = ("unique_share", "problem")
OF_DELTA = Delta.__struct_fields__
LOST = (*COMPARED, *COMPARED_OF_LABELS)
MEAN = "(mean)"  # no set can have this name
_CONTROL = re.compile("[\x7f-\x9f]")  # JSON allows them, terminals obey them


def as_json(document: Document) -> str:
    """Return the whole document as JSON, each measure under its id."""
    plain = msgspec.to_builtins(document)
    plain["variants"] = [_variant(row) for row in plain["variants"]]
    plain["deltas"] = [_deltas(row) for row in document.deltas]
    text = msgspec.json.format(msgspec.json.encode(plain), indent=2).decode()
    return _CONTROL.sub(lambda c: f"\\u{ord(c[0]):04x}", text) + "\n"


def _variant(row: dict[str, Any]) -> dict[str, Any]:
    return {**flat(row), "sets": list(map(flat, row["sets"])), "means": list(map(flat, row["means"]))}


def _deltas(row: VariantDelta) -> dict[str, Any]:
    """Return the deltas of a variant: of labels, by OOD set, and their means."""
    plain: dict[str, Any] = {"variant": row.variant}
    plain |= {one.name_of_delta: row.of_labels.get(one.id) for one in COMPARED_OF_LABELS}
    plain |= {one.name_of_delta: row.sets(one.id) for one in COMPARED if one.id in row.by_set}
    plain |= {f"{one.name_of_delta}_mean": row.mean(one.id) for one in COMPARED if one.id in row.by_set}
    return plain


def as_csv(document: Document) -> str:
    """Return one line per variant, score and OOD set, and one for the mean over sets.

    Lines of the headline score also have the losses: on their set, or in the mean.
    """
    lost = [
        f"{measure.name_of_delta}_lost{'' if part == 'value' else f'_{part}'}"
        for measure in LOST
        for part in OF_DELTA
    ]
    of_labels, by_set = ([measure.id for measure in kind] for kind in (OF_LABELS, BY_SET))
    columns = [*OF_VARIANT, *of_labels, "set", "score", *OF_SET, *by_set, *AFTER_SET, *lost]
    deltas = {row.variant: row for row in document.deltas}
    lines = (line for row in document.variants for line in _lines(document, row, deltas.get(row.key)))
    return tables.comma_separated(columns, lines)


def _lines(document: Document, row: VariantRow, delta: VariantDelta | None) -> Iterator[list[object]]:
    head = [getattr(row, field) for field in OF_VARIANT] + [row.value(measure.id) for measure in OF_LABELS]
    cells: tuple[PairMeasures | MeanMeasures, ...] = (*row.sets, *row.means)
    for cell in cells:
        of_set = "" if isinstance(cell, MeanMeasures) else cell.name
        yield [
            *(*head, of_set or MEAN, cell.score),
            *(getattr(cell, field, None) for field in OF_SET),
            *(cell.value(measure.id) for measure in BY_SET),
            *(getattr(cell, field, None) for field in AFTER_SET),
            *_lost(delta if cell.score == document.headline else None, of_set),
        ]


def _lost(delta: VariantDelta | None, of_set: str) -> Iterator[object]:
    """Yield the losses on one set, or, without a set, those in the mean and of labels."""
    for measure in LOST:
        one = None
        if delta is not None:
            one = delta.sets(measure.id).get(of_set) if of_set else delta.whole(measure.id)
        yield from (getattr(one, field, None) for field in OF_DELTA)
