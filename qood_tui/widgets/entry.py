"""A text input whose cursor does not blink, as a blinking one writes to the terminal all the time."""

from __future__ import annotations

from textual.widgets import Input


class TextEntry(Input):
    """An Input that writes nothing while nobody types."""

    def on_mount(self) -> None:
        """Stop the blinking."""
        self.cursor_blink = False
