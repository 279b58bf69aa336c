"""The one table of actions: key bindings, footer, help screen and command palette are made from it."""

from __future__ import annotations

from typing import NamedTuple

from textual.binding import Binding, BindingType


class Action(NamedTuple):
    """Something the user can do: `keys` as Textual names them, `footer` shows it at the bottom."""

    id: str
    keys: str
    label: str
    help: str
    footer: bool = False
    display: str | None = None


SETUP = (
    Action("start", "s,ctrl+g", "Start", "Start the sweep as chosen", True, "s"),
    Action("sessions", "l,ctrl+l", "Sessions", "List recorded sessions and open one", True, "l"),
    Action("add_folder", "f,ctrl+f", "Add folder", "Add a folder of images as one more OOD set", True, "f"),
)

SESSION = (
    Action("next_model", "m", "Model", "Show the curves of the next model", True),
    Action("previous_model", "M", "Previous model", "Show the curves of the model before"),
    Action("next_set", "o", "OOD set", "Show the next OOD set", True),
    Action("previous_set", "O", "Previous OOD set", "Show the OOD set before"),
    Action("next_score", "c", "Score", "Draw the curves of the next score"),
    Action("next_view", "x", "Axes", "Draw ROC curves, with a logarithmic axis, or precision over recall"),
    Action("next_measure", "a", "Measure", "Show the next measure in the delta table"),
    Action("toggle_relative", "r", "Relative", "Show deltas in points or relative to FP32"),
    Action("show_bits", "b", "Bits", "Show the bit table of the variant under the table's cursor", True),
    Action("show_number", "d", "Source", "Show where the number under the cursor comes from", True),
    Action("show_curves", "1", "Pane", "Show the curves, alone in a small terminal", True, "1-3"),
    Action("show_deltas", "2", "Deltas", "Show the delta table"),
    Action("show_engine", "3", "Engine", "Show engine, load and log"),
    Action("toggle_maximise", "z", "Maximise", "Give the chosen pane the whole screen, and back"),
)

LIVE = (Action("cancel", "K", "Stop sweep", "Stop the sweep; what is finished is kept", True),)

REPLAY = (
    Action("toggle_play", "space", "Play", "Play or pause the replay", True),
    Action("back", "left", "Back", "Go 5 seconds back", True),
    Action("forward", "right", "Forward", "Go 5 seconds on", True),
    Action("step_back", "comma", "Event back", "Go one event back"),
    Action("step_forward", "full_stop", "Event on", "Go one event on"),
    Action("slower", "minus", "Slower", "Play at half the speed"),
    Action("faster", "plus,equals_sign", "Faster", "Play at twice the speed"),
    Action("to_start", "home", "Start", "Go to the start"),
    Action("to_end", "end", "End", "Go to the end"),
)

EVERYWHERE = (
    Action("help", "question_mark,f1", "Help", "Show all keys", True),
    Action("close", "escape", "Back", "Go back to the screen before"),
    Action("quit", "q", "Quit", "Leave; a running sweep goes on in the background", True),
)

GROUPS = {
    "Set-up": SETUP,
    "Session": SESSION,
    "While a sweep runs": LIVE,
    "Replay": REPLAY,
    "Everywhere": EVERYWHERE,
}


def bindings(*groups: tuple[Action, ...], prefix: str = "") -> list[BindingType]:
    """Return the key bindings of some groups of actions."""
    return [
        Binding(
            a.keys, f"{prefix}{a.id}", a.label, show=a.footer, tooltip=a.help, id=a.id, key_display=a.display
        )
        for group in groups
        for a in group
    ]
