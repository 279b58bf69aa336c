"""The bit pane: how the variant that is pointed at was calibrated, and every tensor of it."""

from __future__ import annotations

from rich.text import Text

from engine import catalog
from engine.protocol.events import BitsTabled, TensorRow
from engine.report.words import grouped
from engine.text import short
from qood_tui.panes.base import PaneInput, ScrollingPane
from qood_tui.state.state import State
from qood_tui.state.view_options import ViewOptions
from qood_tui.words import clean, clip, size, squeeze

TENSOR = 25
COLUMNS = (  # what matters most first: a narrow pane shows fewer, and says so
    ("bits", 5),
    ("SQNR dB", 8),
    ("clipped", 8),
    ("bytes", 10),
    ("quantizer", 22),
    ("scales", 7),
    ("range", 22),
)


class BitTablePane(ScrollingPane):
    """A row a tensor: its width, signal to quantization noise, what was clipped, bytes, quantizer, range."""

    NAME, LABEL, SLOT = "bits", "Bits", "tables"

    def draw(self, moment: PaneInput) -> None:
        """Show the variant that is pointed at."""
        state, look = moment.state, moment.look
        variant = look.pointed
        name = f"{catalog.short_of(variant.model)} {variant.bits}"
        found = state.bits.get(variant.key)
        lines = [Text(clip(line, self.inner.width)) for line in _calibration(state, look)]
        if found is None:
            why = "FP32 is not quantized" if variant.bits.is_float else "no bit table yet"
            if variant.key in state.failed:
                why = f"left out: {clean(state.failed[variant.key])}"
            part = self.show_all([*lines, Text(why, style="dim")])
            self.caption(f"Calibration and bits · {name}", part)
            return
        fits = _fitting(self.inner.width)
        hidden = len(COLUMNS) - fits
        lines += [Text(clip(line, self.inner.width), style="dim") for line in _sizes(found)]
        head = f"{'tensor':<{TENSOR}}" + "".join(f"{label:>{width}}" for label, width in COLUMNS[:fits])
        head += " …" if hidden else ""
        rows = [_line(row, fits) for row in found.rows]
        heading = (
            [*lines, Text(head, style="bold")] if self.inner.height > len(lines) + 4 else [Text(head, "bold")]
        )
        part = self.show_all(rows, heading)
        more = f"{hidden} more columns: z maximises" if hidden else ""
        self.caption(f"Calibration and bits · {name}", " · ".join(filter(None, (part, more))))


def _fitting(width: int) -> int:
    """Return how many columns fit beside the tensor's name."""
    used, count = TENSOR + 2, 0
    for _, column in COLUMNS:
        used += column
        count += used <= width
    return count


def _line(row: TensorRow, fits: int) -> Text:
    cells = (
        str(row.bits),
        "exact" if row.sqnr is None else f"{row.sqnr:.1f}",
        f"{row.clipped:.2%}",
        f"{row.bytes:,}",
        clean(row.quantizer),
        "tensor" if row.scales == 1 else f"{row.scales}",
        f"{short(row.low)} to {short(row.high)}",
    )
    line = Text(f"{squeeze(clean(row.tensor), TENSOR):<{TENSOR}}")
    for cell, (_, width) in zip(cells[:fits], COLUMNS, strict=False):
        line.append(f"{clip(cell, width - 1):>{width}}")
    return line


def _calibration(state: State, look: ViewOptions) -> list[str]:
    """Say on what a variant was calibrated, and how long that took."""
    variant, plan = look.pointed, state.header.plan
    lines = []
    if not variant.bits.is_float:
        images = f"{plan.calibration_images} images of {plan.calibration_set}"
        draws = state.prepared.calibrations if state.prepared else ()
        if variant.draw < len(draws):
            images += f", seed {draws[variant.draw].seed}, SHA-256 {draws[variant.draw].digest[:12]}"
        lines.append(clean(f"{variant.method}, calibrated on {images}"))
    ready = state.ready.get(variant.key)
    if ready is not None:
        took = f" in {ready.seconds:.2f} s" if ready.seconds else ""
        lines.append(clean(f"ready{took}, {ready.classes:,} classes, state SHA-256 {ready.digest[:12]}"))
    return lines


def _sizes(table: BitsTabled) -> list[str]:
    share = table.packed_bytes / max(table.float32_bytes, 1)
    floats = ", ".join(clean(name) for name in grouped(table.floats)[:4])
    kept = f"; {table.float_share:.1%} of the weights in floating point" if table.float_share else ""
    return [
        f"packed {size(table.packed_bytes)}, {share:.0%} of {size(table.float32_bytes)} in float32{kept}",
        f"left in floating point: {len(table.floats)} tensors, {size(table.float_bytes)} ({floats}, …), "
        "and LayerNorm, softmax, GELU and residual arithmetic",
    ]
