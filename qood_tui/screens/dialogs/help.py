"""The help screen: every action with its key, made from the table of actions; choosing one runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from qood_tui.screens.dialogs.dialog import Dialog
from qood_tui.settings.actions import GROUPS, key_names
from qood_tui.settings.config import UNBOUND

KEYS = 12  # cells
MOVING = (
    ("tab", "Go to the next pane or group, shift+tab to the one before"),
    ("↑ ↓", "Move in a table or list; page keys and the mouse wheel do too"),
    ("1-9", "Go to a group of the set-up screen, or to a pane of a session"),
)
READING = (
    ("+5.2▼", "lost, and distinguishable from no change; ▲ gained; no mark: may be chance"),
    ("italic", "a difference that has no interval yet; · is no number yet"),
    ("±0.4", "standard deviation over draws of calibration images"),
    ("▇▅▃▁", "how the 95 % interval of the mean narrowed so far"),
    ("~", "provisional: few images, and more to come"),
)


class HelpScreen(Dialog[str | None]):
    """List all keys, those of the screen it was called from first, and return the action that is chosen."""

    TITLE_WORDS = "Keys"
    HINT = "enter or a click runs an action · escape closes"
    BINDINGS = [("escape,q,question_mark,f1", "dismiss", "Close")]
    DEFAULT_CSS = """
    HelpScreen > VerticalScroll { height: 98%; }
    HelpScreen OptionList, HelpScreen OptionList:focus {
        height: 1fr; border: none; background: transparent; padding: 0;
    }
    """

    def __init__(self, groups: Sequence[str] = (), keys: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.groups, self.keys = groups, keys or {}

    def contents(self) -> ComposeResult:
        """Show one list."""
        here = [*self.groups, "Everywhere"]
        options: list[Option] = []
        for group in [*here, *[name for name in GROUPS if name not in here]]:
            where = "" if group in here else " (on its own screen)"
            options.append(_heading(f"{group}{where}"))
            for action in GROUPS[group]:
                keys = self.keys.get(action.id, action.keys)
                line = self._line(key_names(keys) if keys != UNBOUND else "-", action.help)
                options.append(Option(line, id=action.id, disabled=group not in here))
        for title, rows in (("Moving", MOVING), ("Reading numbers", READING)):
            options.append(_heading(title))
            options += [Option(self._line(left, right), disabled=True) for left, right in rows]
        yield OptionList(*options)

    def _line(self, left: str, right: str) -> Text:
        return Text.assemble((f"{self.plain(left):<{KEYS}}", "bold"), self.plain(right))

    def on_mount(self) -> None:
        """Begin at the first action."""
        self.query_one(OptionList).focus()

    @on(OptionList.OptionSelected)
    def chosen(self, event: OptionList.OptionSelected) -> None:
        """Return the action."""
        self.dismiss(event.option.id)


def _heading(words: str) -> Option:
    return Option(Text(words, style="underline"), disabled=True)
