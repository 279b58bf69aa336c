"""What all full screens have in common: keys at the bottom, and a word where the terminal is too small."""

from __future__ import annotations

from typing import ClassVar, Generic, TypeVar

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.screen import Screen

from qood_tui.settings.actions import GROUPS, by_id, key_names
from qood_tui.settings.config import UNBOUND
from qood_tui.widgets.lines import Lines
from qood_tui.widgets.strips import Strip, StripPart

LEAST_COLUMNS, LEAST_LINES = 60, 16
T = TypeVar("T")


class BaseScreen(Screen[T], Generic[T]):
    """A screen whose actions come from groups of the table of actions."""

    GROUPS: ClassVar[tuple[str, ...]] = ()
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-normal"), (140, "-wide")]
    DEFAULT_CSS = """
    BaseScreen { layout: vertical; }
    BaseScreen #keys { background: $panel; }
    BaseScreen #tiny { display: none; }
    BaseScreen.ascii Input { border: ascii $primary; }
    BaseScreen.-tiny > * { display: none; }
    BaseScreen.-tiny > #tiny { display: block; height: 1fr; }
    """

    def compose(self) -> ComposeResult:
        """Put the contents above the keys."""
        yield Lines(id="tiny")
        yield from self.contents()
        yield Strip(id="keys")

    def contents(self) -> ComposeResult:
        """Lay out what is above the keys."""
        raise NotImplementedError

    def in_brief(self, width: int) -> list[Text]:
        """Return what a terminal shows that is too small for more."""
        return []

    def on_resize(self, event: events.Resize) -> None:
        """Show a few words alone where nothing else fits."""
        columns, lines = event.size
        self.set_class(columns < LEAST_COLUMNS or lines < LEAST_LINES, "-tiny")
        self.draw_frame()

    def on_mount(self) -> None:
        """Draw what does not depend on a session."""
        self.set_class(bool(getattr(self.app, "ascii_only", False)), "ascii")
        self.call_after_refresh(self.draw_frame)

    @on(Lines.Resized)
    def fit_frame(self) -> None:
        """Draw the frame for the new size."""
        self.draw_frame()

    def draw_frame(self) -> None:
        """Draw the keys, or the few words of a small terminal."""
        if not self.is_mounted:
            return
        columns, lines = self.app.size
        if self.has_class("-tiny"):
            told = f"{columns}x{lines} is too small: enlarge to {LEAST_COLUMNS}x{LEAST_LINES}"
            first = Text(told if columns >= len(told) else f"enlarge to {LEAST_COLUMNS}x{LEAST_LINES}")
            brief = self.in_brief(max(columns, 1))
            self.query_one("#tiny", Lines).show([*brief[: max(lines - 1, 0)], first])
            return
        self.query_one("#keys", Strip).draw(self.key_parts())

    def key_parts(self) -> list[StripPart]:
        """Return the keys for the bottom line, the help last."""
        keymap = getattr(self.app, "keys", {})
        parts = [
            StripPart(key_names(keymap.get(a.id, a.keys).split(",")[0]), a.label, a.id)
            for group in (*self.GROUPS, "Everywhere")
            for a in GROUPS[group]
            if a.footer and a.id != "help" and keymap.get(a.id) != UNBOUND
        ]
        of_help = by_id("help")
        keys = keymap.get(of_help.id, of_help.keys).split(",")[0]
        return [*parts, StripPart(key_names(keys), of_help.label, of_help.id)]

    @on(Strip.Chosen)
    async def run_part(self, event: Strip.Chosen) -> None:
        """Run the action that was clicked."""
        event.stop()
        await self.run_named(event.action)

    async def run_named(self, identity: str) -> None:
        """Run an action of the table by its id, or any other as bindings name it, wherever it is defined."""
        call = next(
            (a.call for group in GROUPS.values() for a in group if a.id == identity and a.call), identity
        )
        place = "screen" if hasattr(self, f"action_{call.split('(')[0]}") else "app"
        await self.run_action(f"{place}.{call}")
