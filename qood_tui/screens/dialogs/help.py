"""The help screen: every action with its keys, from the table of actions; choosing one runs it."""

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
    ("tab", "Next pane or group; shift+tab: the previous one"),
    ("↑ ↓", "Move in a table or list, as do page keys and the mouse wheel"),
    ("1-9", "Go to a group of the set-up screen, or a pane of a session"),
)
READING = (
    ("+5.2▼", "significant loss; ▲ significant gain; no mark: may be chance"),
    ("italic", "a difference without an interval yet; · no number yet"),
    ("±0.4", "standard deviation over draws of calibration images"),
    ("▇▅▃▁", "how the 95 % interval of the mean has narrowed"),
    ("~", "provisional: few images, and more to come"),
)


class HelpScreen(Dialog[str | None]):
    """List all keys, those of the current screen first, and return the chosen action."""

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
        """Lay out one list."""
        here = [*self.groups, "Everywhere"]
        options: list[Option] = []
        for group in [*here, *[name for name in GROUPS if name not in here]]:
            where = "" if group in here else " (on another screen)"
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
        """Focus the list."""
        self.query_one(OptionList).focus()

    @on(OptionList.OptionSelected)
    def chosen(self, event: OptionList.OptionSelected) -> None:
        """Return the action."""
        self.dismiss(event.option.id)


def _heading(words: str) -> Option:
    return Option(Text(words, style="underline"), disabled=True)
