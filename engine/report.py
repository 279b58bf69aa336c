"""A finished session as a document: every measure recomputed from the arrays, deltas with intervals."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import msgspec

from engine import catalog, journal
from engine.arrays import Arrays
from engine.errors import InputError, unknown_name
from engine.measure import spread, table
from engine.measure.spread import SpreadRow
from engine.plan import Bits, Variant
from engine.protocol import (
    BitsTabled,
    CalibrationDraw,
    Cell,
    Delta,
    DeltasMeasured,
    Entry,
    ImageUnreadable,
    Measured,
    SessionClosed,
    SetReady,
    SetsPrepared,
    VariantDelta,
    VariantFailed,
    VariantReady,
)
from engine.sessions import state_of
from engine.text import clean

FORMATS = ("json", "md", "csv")
_CONTROL = re.compile("[\x7f-\x9f]")  # JSON allows them, terminals obey them


class VariantRow(msgspec.Struct, frozen=True):
    """One variant with all its measures, as fractions; NLL in nats."""

    model: str
    pretraining: str
    bits: str
    quantizer: str
    draw: int  # of calibration images, from 0
    top1: float | None
    top5: float | None
    nll: float | None
    sets: tuple[Cell, ...]

    @property
    def key(self) -> str:
        """Return the name of the variant."""
        return Variant(self.model, Bits.parse(self.bits), self.quantizer, self.draw).key


class Document(msgspec.Struct, frozen=True):
    """What a session found. Deltas are FP32 minus quantized under the headline score."""

    session: str
    state: str
    seconds: float
    note: str
    identity: str
    headline: str
    seed: int
    rows: int
    images: tuple[SetReady, ...]
    calibrations: tuple[CalibrationDraw, ...]
    variants: tuple[VariantRow, ...]
    deltas: tuple[VariantDelta, ...]
    by_bits: dict[str, Delta]
    spread: tuple[SpreadRow, ...]
    bit_tables: tuple[BitsTabled, ...]
    failures: tuple[str, ...]


def document(session: Path) -> Document:
    """Read a session and measure its finished rows; raise InputError or JournalError."""
    header, entries, _ = journal.read(session)
    rows = journal.finished_rows(entries)
    if not rows:
        raise InputError("session", str(session), "nothing is finished in it yet, there is nothing to report")
    plan = header.plan
    finished = Arrays(session, plan).first(rows)
    classes = {e.event.variant: e.event.classes for e in entries if isinstance(e.event, VariantReady)}
    variants, measured = [], {}
    for position, variant in enumerate(plan.variants()):
        if variant.key not in classes:
            continue
        found = table.measure_variant(finished, position, plan.scores, classes[variant.key])
        measured[variant.key] = found
        variants.append(_row(variant, found))
    deltas = _last_deltas(entries, rows) or table.measure_deltas(finished, 1000, plan.seed)
    prepared = next((e.event for e in entries if isinstance(e.event, SetsPrepared)), None)
    return Document(
        str(session),
        state_of(session, entries),
        entries[-1].t,
        catalog.MINIATURE,
        header.identity,
        plan.headline,
        plan.seed,
        rows,
        prepared.sets if prepared else (),
        prepared.calibrations if prepared else (),
        tuple(variants),
        deltas.variants,
        deltas.by_bits,
        spread.table(plan, measured, deltas.variants),
        tuple({e.event.variant: e.event for e in entries if isinstance(e.event, BitsTabled)}.values()),
        tuple(failures(entries, variants)),
    )


def failures(entries: list[Entry], variants: list[VariantRow]) -> list[str]:
    """List in words everything that went wrong in a session."""
    found = []
    for entry in entries:
        match entry.event:
            case VariantFailed(variant, reason):
                found.append(f"{variant}: {reason}")
            case ImageUnreadable(of_set, name, reason):
                found.append(f"{of_set}: {name}: {reason}")
    closed = next((e.event for e in reversed(entries) if isinstance(e.event, SessionClosed)), None)
    if closed is not None and closed.outcome != "finished":
        found.append(f"the session {closed.outcome}: {closed.reason}")
    small = {c.name: c.n_ood for row in variants for c in row.sets if c.n_ood < 2}
    found += [f"{name}: only {n} image can be measured, so it is in no delta" for name, n in small.items()]
    for row in variants:
        problems = dict.fromkeys(cell.problem for cell in row.sets if cell.problem)
        found += [f"{row.key}: {problem}" for problem in problems]
    return list(dict.fromkeys(found))


def render(found: Document, form: str) -> str:
    """Return the document as `json`, `md` or `csv`."""
    if form not in FORMATS:
        raise unknown_name("format", form, FORMATS)
    if form == "json":
        text = msgspec.json.format(msgspec.json.encode(found), indent=2).decode()
        return _CONTROL.sub(lambda c: f"\\u{ord(c[0]):04x}", text) + "\n"
    text = markdown(found) if form == "md" else comma_separated(found)
    return "\n".join(map(clean, text.split("\n")))


def markdown(found: Document) -> str:
    """Return the delta table and the measures behind it as markdown."""
    label = catalog.label_of(found.headline)
    lines = [
        f"# {Path(found.session).name}",
        "",
        f"{found.note[0].upper()}{found.note[1:]}. State: {found.state}, {found.rows} images, "
        f"{found.seconds:.0f} s, seed {found.seed}.",
        "",
        f"## AUPR-out lost against FP32 ({label}, average precision, percentage points)",
        "",
        "Mean over OOD sets with its paired 95 % bootstrap interval.",
        "",
        *_delta_lines(found),
        "",
        *_spread_lines(found),
        "## Measures",
        "",
        *_measure_lines(found),
        "",
        "## Bits",
        "",
        *_bit_lines(found),
    ]
    if found.failures:
        lines += ["", "## What went wrong", "", *[f"- {line}" for line in found.failures]]
    return "\n".join(lines) + "\n"


def comma_separated(found: Document) -> str:
    """Return one line for every variant, score and OOD set."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    measures = [f for f in Cell.__struct_fields__ if f not in ("name", "score")]
    writer.writerow(
        [
            "model",
            "pretraining",
            "bits",
            "quantizer",
            "draw",
            "top1",
            "top5",
            "nll",
            "set",
            "score",
            *measures,
        ]
    )
    for row in found.variants:
        for cell in row.sets:
            head = [
                row.model,
                row.pretraining,
                row.bits,
                row.quantizer,
                row.draw,
                row.top1,
                row.top5,
                row.nll,
            ]
            writer.writerow([*head, cell.name, cell.score, *[getattr(cell, field) for field in measures]])
    return text.getvalue()


def points(delta: Delta | None) -> str:
    """Return a delta as signed percentage points, starred where its interval excludes zero."""
    if delta is None:
        return "-"
    star = "*" if delta.low > 0 or delta.high < 0 else " "
    return f"{delta.value * 100:+.1f}{star}"


def interval(delta: Delta) -> str:
    """Return the ends of a delta's interval in percentage points."""
    return f"{delta.low * 100:+.1f} to {delta.high * 100:+.1f}"


def _delta_lines(found: Document) -> list[str]:
    names = [s.name for s in found.images if s.role == "ood"]
    lines = [
        "| variant | " + " | ".join(names) + " | mean | 95 % interval | relative | top-1 |",
        "|---" * (len(names) + 5) + "|",
    ]
    for row in found.deltas:
        mean = row.ap_out_mean
        cells = " | ".join(points(row.ap_out.get(name)) for name in names)
        relative = f"{mean.relative:+.1%}" if mean.relative is not None else "-"
        between = interval(mean)
        lines.append(
            f"| {row.variant} | {cells} | {points(mean)} | {between} | {relative} | {points(row.top1)} |"
        )
    for bits, mean in found.by_bits.items():
        between = interval(mean)
        blanks = " | ".join("" for _ in names)
        lines.append(f"| all models {bits} | {blanks} | {points(mean)} | {between} | | |")
    return lines


def _spread_lines(found: Document) -> list[str]:
    """Return what the draws of calibration images alone change, if there were several."""
    count = len(found.calibrations[0].images) if found.calibrations else 0
    seeds = ", ".join(str(draw.seed) for draw in found.calibrations)
    if len(found.calibrations) < 2:
        return [f"Calibrated on one draw of {count} images (seed {seeds}).", ""] if count else []
    lines = [
        "## Spread over calibration draws",
        "",
        f"{len(found.calibrations)} draws of {count} images (seeds {seeds}), everything else equal: mean, "
        "standard deviation, smallest and largest value.",
        "",
        "| variant | measure | set | score | mean | SD | smallest | largest |",
        "|---" * 8 + "|",
    ]
    for row in found.spread:
        s = row.spread
        numbers = " | ".join(f"{value:.4f}" for value in (s.mean, s.deviation, s.low, s.high))
        lines.append(f"| {row.model} {row.bits} | {row.measure} | {row.set} | {row.score} | {numbers} |")
    return [*lines, ""]


def _measure_lines(found: Document) -> list[str]:
    lines = [
        "| variant | score | set | n ID | n OOD | chance | AUPR-out | AUPR-in | AUROC "
        "| FPR95 (OOD+) | top-1 | NLL |",
        "|---" * 12 + "|",
    ]
    for row in found.variants:
        for cell in row.sets:
            chance = cell.n_ood / max(1, cell.n_id + cell.n_ood)
            values = (chance, cell.ap_out, cell.ap_in, cell.auroc, cell.fpr95_ood_positive, row.top1, row.nll)
            lines.append(
                f"| {row.key} | {cell.score} | {cell.name} | {cell.n_id} | {cell.n_ood} | "
                + " | ".join(_fraction(value) for value in values)
                + " |"
            )
    return lines


def _bit_lines(found: Document) -> list[str]:
    """Return a summary of all bit tables, then each of them whole."""
    lines = [
        "| variant | packed bytes | of float32 | left in float | least weight SQNR (dB) |",
        "|---" * 5 + "|",
    ]
    for bits in found.bit_tables:
        weights = [r.sqnr for r in bits.rows if r.tensor.endswith(".weight") and r.sqnr is not None]
        least = f"{min(weights):.1f}" if weights else "exact"
        share = bits.packed_bytes / max(bits.float32_bytes, 1)
        lines.append(
            f"| {bits.variant} | {bits.packed_bytes} | {share:.1%} | {bits.float_bytes} bytes | {least} |"
        )
    for bits in found.bit_tables:
        lines += ["", f"### {bits.variant}", "", *table_lines(bits)]
    return lines


def table_lines(table: BitsTabled) -> list[str]:
    """Return one bit table as markdown."""
    lines = [
        "| tensor | method | bits | scales | low | high | clipped | SQNR (dB) | bytes |",
        "|---" * 9 + "|",
    ]
    for r in table.rows:
        scales = "per tensor" if r.scales == 1 else f"{r.scales} channels"
        error = "exact" if r.sqnr is None else f"{r.sqnr:.1f}"
        cells = (r.tensor, r.method, r.bits, scales, r.low, r.high, f"{r.clipped:.2%}", error, r.bytes)
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    floats = f"Left in floating point ({table.float_bytes} bytes): {', '.join(table.floats)}."
    return [*lines, "", f"Packed {table.packed_bytes} bytes; {table.float32_bytes} in float32. {floats}"]


def _fraction(value: float | None) -> str:
    return "no value" if value is None else f"{value:.4f}"


def _row(variant: Variant, found: Measured) -> VariantRow:
    known = catalog.MODELS.get(variant.model)
    return VariantRow(
        variant.model,
        known.pretraining if known else "",
        str(variant.bits),
        variant.quantizer,
        variant.draw,
        found.top1,
        found.top5,
        found.nll,
        found.cells,
    )


def _last_deltas(entries: list[Entry], rows: int) -> DeltasMeasured | None:
    for entry in reversed(entries):
        if isinstance(entry.event, DeltasMeasured) and entry.event.rows == rows:
            return entry.event
    return None
