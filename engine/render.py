"""A session's document as JSON, markdown or comma-separated values."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec

from engine import catalog, definitions, provenance
from engine.errors import unknown_name
from engine.measure.pair import PairMeasures
from engine.protocol import BitsTabled, Delta, VariantDelta
from engine.report import Document
from engine.text import clean

FORMATS = ("json", "md", "csv")
_CONTROL = re.compile("[\x7f-\x9f]")  # JSON allows them, terminals obey them


def render(found: Document, form: str) -> str:
    """Return the document as `json`, `md` or `csv`."""
    if form not in FORMATS:
        raise unknown_name("format", form, FORMATS)
    if form == "json":
        text = msgspec.json.format(msgspec.json.encode(found), indent=2).decode()
        return _CONTROL.sub(lambda c: f"\\u{ord(c[0]):04x}", text) + "\n"
    text = markdown(found) if form == "md" else comma_separated(found)
    return "\n".join(map(clean, text.split("\n")))


def comma_separated(found: Document) -> str:
    """Return one line for every variant, score and OOD set."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    measures = [
        f for f in PairMeasures.__struct_fields__ if f not in ("name", "score", "auroc_ci", "warnings")
    ]
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


def markdown(found: Document) -> str:
    """Return the delta table and the measures behind it as markdown."""
    label = catalog.label_of(found.headline)
    lines = [
        f"# {Path(found.session).name}",
        "",
        *([f"{found.note[0].upper()}{found.note[1:]}."] if found.note else []),
        f"State: {found.state}, {found.rows} images, {found.seconds:.0f} s, seed {found.seed}.",
        "",
        f"## AUPR-out lost against FP32 ({label}, average precision, percentage points)",
        "",
        "Mean over OOD sets with its paired 95 % interval; a star marks a change (see Definitions).",
        "",
        *_delta_lines(found),
        "",
        *provenance.stated_lines(found),
        *_spread_lines(found),
        "## Detection",
        "",
        *_measure_lines(found),
        "",
        "## Accuracy and calibration",
        "",
        *_accuracy_lines(found),
        "",
        *provenance.provenance_lines(found),
        "",
        "## Bits",
        "",
        *_bit_lines(found),
    ]
    lines += ["", "## Definitions", "", *_definition_lines(found)]
    if found.warnings:
        lines += ["", "## Warnings", "", *[f"- {line}" for line in found.warnings]]
    if found.failures:
        lines += ["", "## What went wrong", "", *[f"- {line}" for line in found.failures]]
    return "\n".join(lines) + "\n"


def points(delta: Delta | None) -> str:
    """Return a delta as signed percentage points, starred where it is distinguishable from no change."""
    if delta is None:
        return "-"
    star = "*" if delta.is_change else " "
    return f"{delta.value * 100:+.1f}{star}"


def interval(delta: Delta) -> str:
    """Return the ends of a delta's interval in percentage points."""
    return f"{delta.low * 100:+.1f} to {delta.high * 100:+.1f}"


def mean_of(deltas: Sequence[VariantDelta], bits: str) -> str:
    """Name the mean over models and draws at a bit setting by how many variants it covers."""
    covered = sum(f" {bits} " in f"{delta.variant} " for delta in deltas)
    return f"mean of {covered} {bits}"


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
    blanks = " | ".join("" for _ in names)
    means = {mean_of(found.deltas, bits): mean for bits, mean in found.by_bits.items()}
    for pretraining, of_bits in found.by_pretraining.items():
        means |= {f"{pretraining} models {bits}": mean for bits, mean in of_bits.items()}
    means |= {f"larger pretraining minus its twin, {bits}": mean for bits, mean in found.twins.items()}
    return lines + [
        f"| {name} | {blanks} | {points(mean)} | {interval(mean)} | | |" for name, mean in means.items()
    ]


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
        "| variant | score | set | n ID | n OOD | chance | AUPR-out | AUPR-in | AUROC | 95 % interval "
        "| FPR95 (OOD+) | FPR95 (ID+) | detection error | partial AUROC | distinct |",
        "|---" * 15 + "|",
    ]
    for row in found.variants:
        for cell in row.sets:
            between = " to ".join(f"{end:.4f}" for end in cell.auroc_ci) if cell.auroc_ci else "no value"
            texts = (
                row.key,
                cell.score,
                cell.name,
                str(cell.n_id),
                str(cell.n_ood),
                *map(_fraction, (cell.chance_aupr_out, cell.ap_out, cell.ap_in, cell.auroc)),
                between,
                _fraction(cell.fpr95_ood_positive),
                _fraction(cell.fpr95_id_positive),
                _fraction(cell.detection_error),
                _fraction(cell.partial_auroc),
                _fraction(cell.unique_share),
            )
            lines.append(f"| {' | '.join(texts)} |")
    warned = [
        f"- {r.key}, {c.score}, {c.name}: {w}" for r in found.variants for c in r.sets for w in c.warnings
    ]
    return [*lines, "", *warned] if warned else lines


def _accuracy_lines(found: Document) -> list[str]:
    lines = [
        "| variant | top-1 | top-5 | NLL (nats) | Brier | ECE | ECE, equal mass | AURC |",
        "|---" * 8 + "|",
    ]
    for row in found.variants:
        values = (row.top1, row.top5, row.nll, row.brier, row.ece, row.ece_adaptive, row.aurc)
        lines.append(f"| {row.key} | {' | '.join(map(_fraction, values))} |")
    return lines


def _definition_lines(found: Document) -> list[str]:
    texts = (
        definitions.SCORE,
        definitions.DELTA,
        f"Intervals: {definitions.INTERVAL}",
        *definitions.MEASURES.values(),
        definitions.recompute(Path(found.session).name),
    )
    return [f"- {text}" for text in texts]


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
            f"| {bits.variant} | {bits.packed_bytes:,} | {share:.1%} | {bits.float_bytes:,} bytes | {least} |"
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
        scales = "per tensor" if r.scales == 1 else f"{r.scales} scales"
        error = "exact" if r.sqnr is None else f"{r.sqnr:.1f}"
        cells = (r.tensor, r.method, r.bits, scales, r.low, r.high, f"{r.clipped:.2%}", error, f"{r.bytes:,}")
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    share = table.packed_bytes / max(table.float32_bytes, 1)
    return [
        *lines,
        "",
        f"Packed {table.packed_bytes:,} bytes, {share:.1%} of {table.float32_bytes:,} in float32. "
        f"Left in floating point ({table.float_bytes:,} bytes): {', '.join(grouped(table.floats))}; "
        "and all LayerNorm, softmax, GELU and residual arithmetic.",
    ]


def grouped(names: tuple[str, ...]) -> list[str]:
    """Return names with those that differ in the block alone put together, and counted."""
    counts = Counter(re.sub(r"^blocks\.\d+\.", "blocks.*.", name) for name in names)
    return [f"{name} ({count}x)" if count > 1 else name for name, count in counts.items()]


def _fraction(value: float | None) -> str:
    return "no value" if value is None else f"{value:.4f}"
