"""The bit table of one variant: every tensor with its width, range and error, and the true size."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.markup import escape
from textual.screen import ModalScreen
from textual.widgets import DataTable, Static

from engine.protocol import BitsTabled
from engine.render import grouped
from qood_tui.words import clean, size

COLUMNS = (  # what matters most first: a narrow terminal shows no more
    ("tensor", 25),
    ("bits", 4),
    ("SQNR dB", 7),
    ("clipped", 7),
    ("bytes", 9),
    ("method", 21),
    ("scales", 6),
    ("range", 18),
)


class BitsScreen(ModalScreen[None]):
    """Show one bit table; escape closes it."""

    BINDINGS = [("escape,q,b", "dismiss", "Close")]
    DEFAULT_CSS = """
    BitsScreen { align: center middle; }
    BitsScreen > Vertical { width: 98%; height: 98%; border: round $primary; background: $surface; }
    BitsScreen DataTable { height: 1fr; background: $surface; }
    BitsScreen Static { height: auto; max-height: 5; padding: 0 1; color: $text-muted; }
    """

    def __init__(self, table: BitsTabled) -> None:
        super().__init__()
        self.table = table

    def compose(self) -> ComposeResult:
        """Show the table and, below it, what stays in floating point."""
        with Vertical():
            yield DataTable(cursor_type="row", zebra_stripes=True)
            yield Static(Text(self._summary()))

    def on_mount(self) -> None:
        """Fill the table."""
        widget = self.query_one(DataTable)
        frame = self.query_one(Vertical)
        frame.border_title = escape(f"Bit table · {clean(self.table.variant)}")
        frame.border_subtitle = "escape closes"
        for label, width in COLUMNS:
            widget.add_column(label, width=width)
        for row in self.table.rows:
            cells = (
                clean(row.tensor),
                str(row.bits),
                "exact" if row.sqnr is None else f"{row.sqnr:.1f}",
                f"{row.clipped:.2%}",
                f"{row.bytes:,}",
                clean(row.method),
                "tensor" if row.scales == 1 else f"{row.scales}",
                f"{row.low:.3g} to {row.high:.3g}",
            )
            widget.add_row(*[Text(cell) for cell in cells])

    def _summary(self) -> str:
        table = self.table
        share = table.packed_bytes / max(table.float32_bytes, 1)
        floats = ", ".join(clean(name) for name in grouped(table.floats)[:4])
        return (
            f"Packed {size(table.packed_bytes)}, {share:.0%} of {size(table.float32_bytes)} in float32. "
            f"Left in floating point: {len(table.floats)} tensors, {size(table.float_bytes)} ({floats}, …), "
            "and LayerNorm, softmax, GELU and residual arithmetic."
        )
