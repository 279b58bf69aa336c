"""Bit tables: how many bits every tensor has, and what that costs and saves."""

from __future__ import annotations

from engine.protocol.events import BitsTabled
from engine.report.blocks import Row, Section, Table, Text
from engine.report.contents import Document
from engine.report.words import grouped
from engine.text import short

COLUMNS = ("tensor", "quantizer", "bits", "scales", "low", "high", "clipped", "SQNR (dB)", "bytes")


def bits(document: Document) -> Section:
    """Return a summary of all bit tables, followed by each table."""
    columns = ("variant", "packed bytes", "of float32", "left in float, bytes", "lowest weight SQNR (dB)")
    rows: list[Row] = []
    for table in document.bit_tables:
        weights = [r.sqnr for r in table.rows if r.tensor.endswith(".weight") and r.sqnr is not None]
        least = f"{min(weights):.1f}" if weights else "exact"
        rows.append(
            (titled(table), f"{table.packed_bytes:,}", _share(table), f"{table.float_bytes:,}", least)
        )
    blocks: list[Table | Text] = [Table("Size of every variant", columns, (tuple(rows),))]
    for table in document.bit_tables:
        blocks += [bit_table(table), Text(floats(table))]
    return Section("bits", "Bits", tuple(blocks))


def bit_table(table: BitsTabled) -> Table:
    """Return one bit table."""
    rows = tuple(
        (
            r.tensor,
            r.quantizer,
            str(r.bits),
            "per tensor" if r.scales == 1 else f"{r.scales} scales",
            short(r.low, 6),
            short(r.high, 6),
            f"{r.clipped:.2%}",
            "exact" if r.sqnr is None else f"{r.sqnr:.1f}",
            f"{r.bytes:,}",
        )
        for r in table.rows
    )
    return Table(titled(table), COLUMNS, (rows,), texts=2, folded=True)


def titled(table: BitsTabled) -> str:
    """Return the name of a variant, with the share of its weights left in floating point."""
    share = f", {table.float_share:.1%} of the weights in floating point" if table.float_share else ""
    return f"{table.variant}{share}"


def floats(table: BitsTabled) -> str:
    """Describe the packed size of a variant, and what is left in floating point."""
    return (
        f"Packed {table.packed_bytes:,} bytes, {_share(table)} of {table.float32_bytes:,} in float32. "
        f"Left in floating point ({table.float_bytes:,} bytes): {', '.join(grouped(table.floats))}, "
        "and all LayerNorm, softmax, GELU and residual arithmetic."
    )


def _share(table: BitsTabled) -> str:
    return f"{table.packed_bytes / max(table.float32_bytes, 1):.1%}"
