"""The help screen, made from the table of actions."""

from __future__ import annotations

from rich.table import Table
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from qood_tui.actions import GROUPS

KEY_NAMES = {
    "question_mark": "?",
    "comma": ",",
    "full_stop": ".",
    "minus": "-",
    "plus": "+",
    "equals_sign": "=",
    "left": "←",
    "right": "→",
}


class HelpScreen(ModalScreen[None]):
    """List all keys; any of escape, q and ? closes it."""

    BINDINGS = [("escape,q,question_mark,f1", "dismiss", "Close")]
    DEFAULT_CSS = """
    HelpScreen { align: center middle; }
    HelpScreen > VerticalScroll {
        width: 84; max-width: 96%; height: auto; max-height: 90%;
        border: round $primary; background: $surface; padding: 0 1;
    }
    HelpScreen Static { height: auto; }
    """

    def compose(self) -> ComposeResult:
        """Show one table."""
        with VerticalScroll() as scroll:
            scroll.border_title = "Keys"
            scroll.border_subtitle = "escape closes"
            yield Static(_table())


def _table() -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1), expand=True)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for group, members in GROUPS.items():
        table.add_row(f"[underline]{group}[/]", "")
        for action in members:
            table.add_row(key_names(action.keys), action.help)
    table.add_row("↑ ↓", "Move in a table or list; tab goes to the next one")
    return table


def key_names(keys: str) -> str:
    """Return keys as they stand on the keyboard."""
    return " ".join(KEY_NAMES.get(key, key.replace("ctrl+", "^")) for key in keys.split(","))
