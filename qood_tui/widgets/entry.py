"""A line to type into whose cursor stands still: a blinking one writes while nothing happens."""

from __future__ import annotations

from textual.widgets import Input


class TextEntry(Input):
    """An Input that writes nothing while nobody types."""

    def on_mount(self) -> None:
        """Show the cursor, and leave it."""
        self.cursor_blink = False
