"""The list of recorded sessions."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.screen import Screen
from textual.widgets import DataTable, Footer, Static

from engine import sessions
from qood_tui.words import clean

COLUMNS = (("created (UTC)", 17), ("session", 34), ("state", 12), ("images", 14), ("what", 40))


class SessionsScreen(Screen[Path | None]):
    """List sessions, newest first; enter opens one."""

    BINDINGS = [("enter", "select", "Open")]
    DEFAULT_CSS = """
    SessionsScreen > Static { height: auto; padding: 0 1; }
    SessionsScreen > DataTable { height: 1fr; }
    """

    def compose(self) -> ComposeResult:
        """Show a table, filled in the background."""
        yield Static(
            "[bold]Recorded sessions[/]  enter opens one: a running one live, a finished one as a replay"
        )
        yield DataTable(cursor_type="row", zebra_stripes=True)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Make the columns and begin to read."""
        table = self.query_one(DataTable)
        for label, width in COLUMNS:
            table.add_column(label, width=width)
        table.focus()
        self.read_sessions()

    @work(thread=True, exclusive=True)
    def read_sessions(self) -> None:
        """Read all sessions without holding up the screen."""
        for folder in sessions.folders():
            found = sessions.summary(folder)
            self.app.call_from_thread(self._add, found)

    def _add(self, found: sessions.Summary) -> None:
        images = f"{found.rows:,}/{found.total:,}" if found.total else ""
        cells = (found.created, found.path.name, found.state, images, found.title)
        self.query_one(DataTable).add_row(*[Text(clean(cell)) for cell in cells], key=str(found.path))

    @on(DataTable.RowSelected)
    def chosen(self, event: DataTable.RowSelected) -> None:
        """Open the chosen session."""
        if event.row_key.value:
            self.dismiss(Path(event.row_key.value))
