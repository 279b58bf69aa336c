"""The bit pane: how the selected variant was calibrated, and how each of its tensors was quantized."""

from __future__ import annotations

from rich.text import Text

from engine import catalog
from engine.protocol.events import BitsTabled, TensorRow
from engine.report.words import grouped
from engine.text import counted, in_bytes, short
from qood_tui.panes.base import PaneInput, ScrollingPane
from qood_tui.state.state import State
from qood_tui.state.view_options import ViewOptions
from qood_tui.words import clean, clip, squeeze

TENSOR = 25
COLUMNS = (  # most important first: a narrow pane shows fewer, and says so
    ("bits", 5),
    ("SQNR dB", 8),
    ("clipped", 8),
    ("bytes", 10),
    ("quantizer", 22),
    ("scales", 7),
    ("range", 22),
)


class BitTablePane(ScrollingPane):
    """One row per tensor: bits, signal-to-quantization-noise ratio, clipped share, quantizer, range."""

    NAME, SLOT = "bits", "tables"

    def draw(self, data: PaneInput) -> None:
        """Show the selected variant."""
        state, options = data.state, data.options
        variant = options.pointed
        name = f"{catalog.short_of(variant.model)} {variant.bits}"
        table = state.bits.get(variant.key)
        lines = [Text(clip(line, self.inner.width)) for line in _calibration(state, options)]
        if table is None:
            why = "FP32 is not quantized" if variant.bits.is_float else "no bit table yet"
            if variant.key in state.failed:
                why = f"left out: {clean(state.failed[variant.key])}"
            part = self.show_all([*lines, Text(why, style="dim")])
            self.caption(f"Calibration and bits · {name}", part)
            return
        fits = _fitting(self.inner.width)
        hidden = len(COLUMNS) - fits
        lines += [Text(clip(line, self.inner.width), style="dim") for line in _sizes(table)]
        head = f"{'tensor':<{TENSOR}}" + "".join(f"{label:>{width}}" for label, width in COLUMNS[:fits])
        head += " …" if hidden else ""
        rows = [_line(row, fits) for row in table.rows]
        heading = (
            [*lines, Text(head, style="bold")] if self.inner.height > len(lines) + 4 else [Text(head, "bold")]
        )
        part = self.show_all(rows, heading)
        more = f"{counted(hidden, 'more column')}: press z" if hidden else ""
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


def _calibration(state: State, options: ViewOptions) -> list[str]:
    """Say on which images a variant was calibrated, and how long that took."""
    variant, plan = options.pointed, state.header.plan
    lines = []
    if not variant.bits.is_float:
        images = f"{counted(plan.calibration_images, 'image')} of {plan.calibration_set}"
        draws = state.prepared.calibrations if state.prepared else ()
        if variant.draw < len(draws):
            images += f", seed {draws[variant.draw].seed}, SHA-256 {draws[variant.draw].digest[:12]}"
        lines.append(clean(f"{variant.method}, calibrated on {images}"))
    ready = state.ready.get(variant.key)
    if ready is not None:
        seconds = f" in {ready.seconds:.2f} s" if ready.seconds else ""
        classes = counted(ready.classes, "class", "classes")
        lines.append(clean(f"ready{seconds}, {classes}, state SHA-256 {ready.digest[:12]}"))
    return lines


def _sizes(table: BitsTabled) -> list[str]:
    share = table.packed_bytes / max(table.float32_bytes, 1)
    floats = ", ".join(clean(name) for name in grouped(table.floats)[:4])
    packed, float32 = in_bytes(table.packed_bytes), in_bytes(table.float32_bytes)
    kept = f"; {table.float_share:.1%} of the weights in floating point" if table.float_share else ""
    tensors = counted(len(table.floats), "tensor")
    return [
        f"packed: {packed}, {share:.0%} of {float32} in float32{kept}",
        f"in floating point: {tensors}, {in_bytes(table.float_bytes)} ({floats}, …), "
        "and LayerNorm, softmax, GELU and residual arithmetic",
    ]
