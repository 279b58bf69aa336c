"""What all full screens share: keys in the bottom line, and a message if the terminal is too small."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Generic, TypeVar

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.screen import Screen

from qood_tui.settings.actions import GROUPS, Action, by_id, key_names
from qood_tui.settings.config import UNBOUND
from qood_tui.terminal_size import LEAST, MEDIUM, WIDE
from qood_tui.widgets.lines import Lines
from qood_tui.widgets.strips import Strip, StripPart

T = TypeVar("T")


class BaseScreen(Screen[T], Generic[T]):
    """A screen whose actions are groups of the table of actions."""

    GROUPS: ClassVar[tuple[str, ...]] = ()
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (MEDIUM, "-medium"), (WIDE, "-wide")]
    DEFAULT_CSS = """
    BaseScreen { layout: vertical; }
    BaseScreen #keys { background: $panel; }
    BaseScreen #tiny { display: none; }
    BaseScreen.ascii Input { border: ascii $primary; }
    BaseScreen.-tiny > * { display: none; }
    BaseScreen.-tiny > #tiny { display: block; height: 1fr; }
    """

    def compose(self) -> ComposeResult:
        """Lay out the contents above the keys."""
        yield Lines(id="tiny")
        yield from self.contents()
        yield Strip(id="keys")

    def contents(self) -> ComposeResult:
        """Lay out everything above the keys."""
        raise NotImplementedError

    def in_brief(self, width: int) -> list[Text]:
        """Return what is shown in a terminal that is too small for the screen."""
        return []

    def on_resize(self, event: events.Resize) -> None:
        """Show only a message if the terminal is too small."""
        columns, lines = event.size
        self.set_class(columns < LEAST[0] or lines < LEAST[1], "-tiny")
        self.draw_frame()

    def on_mount(self) -> None:
        """Draw the frame."""
        self.set_class(bool(getattr(self.app, "ascii_only", False)), "ascii")
        self.call_after_refresh(self.draw_frame)

    @on(Lines.Resized)
    def fit_frame(self) -> None:
        """Draw the frame for the new size."""
        self.draw_frame()

    def draw_frame(self) -> None:
        """Draw the keys, or the message of a small terminal."""
        if not self.is_mounted:
            return
        columns, lines = self.app.size
        if self.has_class("-tiny"):
            enlarge = f"enlarge to {LEAST[0]}x{LEAST[1]}"
            message = f"{columns}x{lines} is too small: {enlarge}"
            last = Text(message if columns >= len(message) else enlarge)
            brief = self.in_brief(max(columns, 1))
            self.query_one("#tiny", Lines).show([*brief[: max(lines - 1, 0)], last])
            return
        self.query_one("#keys", Strip).draw(self.key_parts())

    def key_parts(self) -> list[StripPart]:
        """Return the keys for the bottom line, help last."""
        actions = [a for group in (*self.GROUPS, "Everywhere") for a in GROUPS[group] if a.footer]
        bound = [a for a in actions if a.id != "help" and self._keys(a) != UNBOUND]
        return [StripPart(self.key_of(a), a.label, a.id) for a in (*bound, by_id("help"))]

    def key_of(self, action: Action) -> str:
        """Return the first key of an action as configured, nothing if it has none."""
        keys = self._keys(action)
        return "" if keys == UNBOUND else key_names(keys.split(",")[0])

    def _keys(self, action: Action) -> str:
        keymap: Mapping[str, str] = getattr(self.app, "keys", {})
        return keymap.get(action.id, action.keys)

    @on(Strip.Chosen)
    async def run_part(self, event: Strip.Chosen) -> None:
        """Run the action that was clicked."""
        event.stop()
        await self.run_named(event.action)

    async def run_named(self, identity: str) -> None:
        """Run an action by its id, or any other as bindings spell it, on the screen or the app."""
        call = next(
            (a.call for group in GROUPS.values() for a in group if a.id == identity and a.call), identity
        )
        place = "screen" if hasattr(self, f"action_{call.split('(')[0]}") else "app"
        await self.run_action(f"{place}.{call}")
