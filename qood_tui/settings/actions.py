"""The one table of actions: key bindings, footer, help screen, palette and configuration are made from it.

It is only data, so that the command line can read it without loading Textual.
"""

from __future__ import annotations

from typing import NamedTuple


class Action(NamedTuple):
    """Something the user can do: `keys` as Textual names them, `footer` shows it in the bottom line.

    `call` is the method call to run, if it is not the method named after the action.
    """

    id: str
    keys: str
    label: str
    help: str
    footer: bool = False
    call: str = ""


SETUP = (
    Action("start", "s,ctrl+g", "Start", "Start the sweep", True),
    Action("search", "slash", "Search", "Search all choices by name", True),
    Action("sessions", "l", "Sessions", "List recorded sessions", True),
    Action("open_plan", "o", "Open", "Open a plan from a TOML file", True),
    Action("save_plan", "w", "Save", "Save the plan to a TOML file", True),
    Action("data", "d", "Data", "Choose the folder that holds ImageNet and the OOD sets", True),
    Action("add_folder", "f", "Add folder", "Add a folder of images as an OOD set", True),
    Action("add_model", "k", "Add model", "Add your own checkpoint, or any plain ViT from timm"),
    Action("all", "a", "All", "Select everything in this group"),
    Action("none", "n", "None", "Clear the selection in this group"),
    Action("headline", "h", "Headline", "Make the score under the cursor the headline score"),
)


def _pane(name: str, key: str, label: str, help: str) -> Action:
    """Return the action that shows a pane; its label is the pane's name in tabs and exports."""
    return Action(f"pane_{name}", key, label, help, call=f"pane('{name}')")


SESSION = (
    Action("next_variant", "j", "Next variant", "Next variant"),
    Action("previous_variant", "k", "Previous variant", "Previous variant"),
    Action("next_model", "m", "Model", "Next model", True),
    Action("previous_model", "M", "Previous model", "Previous model"),
    Action("next_bits", "w", "Bits", "Next bit setting of this model"),
    Action("previous_bits", "W", "Previous bits", "Previous bit setting of this model"),
    Action("next_set", "o", "OOD set", "Next OOD set", True),
    Action("previous_set", "O", "Previous OOD set", "Previous OOD set"),
    Action("next_score", "c", "Score", "Next score for curves and histograms"),
    Action("next_view", "x", "Axes", "Switch axes: ROC, logarithmic ROC, precision-recall"),
    Action("next_measure", "a", "Measure", "Next measure for tables and figures", True),
    Action("next_unit", "r", "Unit", "Switch units: points lost, percent of FP32 lost, values"),
    Action("next_order", "s", "Sort", "Sort the table: as planned, by mean, by this OOD set, by top-1"),
    Action("filter", "slash", "Filter", "Filter variants by name"),
    Action("toggle_changes", "t", "Changes", "Show only variants with a significant change, or all"),
    Action(
        "next_curves", "g", "Curves of", "Switch curves: of a model, of a bit setting, of marked variants"
    ),
    Action("mark", "v", "Mark", "Mark or unmark the variant, to draw marked ones together"),
    Action("unmark", "V", "Unmark all", "Clear all marks"),
    Action("show_number", "d", "Why?", "Explain the number under the cursor", True),
    Action("worst", "L", "Largest loss", "Go to the variant and OOD set with the largest loss", True),
    Action("compare", "C", "Compare", "Compare this session with another"),
    Action("copy", "y", "Copy", "Copy the current pane as text, over SSH too"),
    Action(
        "export", "e", "Export", "Save or copy the pane (SVG, text) or table (CSV, markdown, LaTeX)", True
    ),
    Action("toggle_maximise", "z", "Maximise", "Maximise the current pane, or restore the layout"),
    _pane("curves", "1", "Curves", "Show the curves"),
    _pane("histogram", "2", "Histogram", "Show the score histograms, ID against OOD"),
    _pane("matrix", "3", "Matrix", "Show the heat map of models and bit settings"),
    _pane("study", "4", "Study", "Show the study's figure: pretraining and bit width"),
    _pane("deltas", "5", "Deltas", "Show the delta table"),
    _pane("bits", "6", "Bits", "Show calibration and bit table of the variant"),
    _pane("engine", "7", "Engine", "Show engine and devices"),
    _pane("log", "8", "Log", "Show the log"),
)

LIVE = (
    Action("pause", "space", "Freeze", "Freeze the screen, or resume; the sweep continues", True),
    Action("cancel", "K", "Stop sweep", "Stop the sweep (asks first); finished work is kept"),
)

REPLAY = (
    Action("toggle_play", "space", "Play", "Play or pause the replay", True),
    Action("back", "left", "5 s back", "Go back 5 seconds"),
    Action("forward", "right", "5 s forward", "Go forward 5 seconds"),
    Action("step_back", "comma", "Previous event", "Go back one event"),
    Action("step_forward", "full_stop", "Next event", "Go forward one event"),
    Action("next_marker", "n,right_square_bracket", "Next mark", "Next mark on the timeline", True),
    Action("previous_marker", "N,left_square_bracket", "Previous mark", "Previous mark on the timeline"),
    Action("marker_kind", "i", "Marks", "Choose the marks to jump to: all, phases, variants or warnings"),
    Action("go_to_time", "G", "Go to", "Go to a time"),
    Action("slower", "minus", "Slower", "Halve the speed"),
    Action("faster", "plus,equals_sign", "Faster", "Double the speed"),
    Action("to_start", "home", "Start", "Go to the start"),
    Action("to_end", "end", "End", "Go to the end", True),
    Action("no_cancel", "K", "Stop sweep", "Nothing to stop: a replay runs no sweep"),
)

SESSIONS = (
    Action("open_session", "enter", "Open", "Open the session: live if running, otherwise as a replay", True),
    Action("mark_session", "space,v", "Mark", "Mark or unmark the session for comparison", True),
    Action("compare_marked", "c,C", "Compare", "Compare the marked sessions", True),
    Action("filter_sessions", "slash", "Filter", "Filter the list of sessions", True),
    Action("note_session", "n", "Note", "Write a note about the session", True),
    Action("rename_session", "R", "Rename", "Rename the session"),
    Action("export_session", "e", "Export", "Export the session to one file that others can import", True),
    Action("verify_session", "V", "Verify", "Verify every line, row, file and number of the session", True),
    Action("delete_session", "D", "Delete", "Delete the session (asks first)"),
)

COMPARE = (
    Action("compare_set", "o", "OOD set", "Next OOD set, or the mean of all", True),
    Action("compare_set_back", "O", "Previous OOD set", "Previous OOD set"),
    Action("compare_measure", "a", "Measure", "Next measure", True),
    Action("compare_unit", "r", "Unit", "Switch units: points lost, percent of FP32 lost, values", True),
    Action("compare_view", "x", "View", "Switch views: sessions side by side, or every difference", True),
    Action("compare_order", "s", "Sort", "Sort by difference, or as planned", True),
    Action("compare_next", "n", "Next session", "Compare the first session with the next one"),
    Action("compare_copy", "y", "Copy", "Copy the table as text, over SSH too"),
    Action("compare_export", "e", "Export", "Save or copy the comparison", True),
)

EVERYWHERE = (
    Action("help", "question_mark,f1", "Help", "Show all keys", True),
    Action("command_palette", "ctrl+p,colon", "Palette", "Find an action by name"),
    Action("toggle_theme", "T", "Theme", "Switch themes: dark, light, the terminal's own colours"),
    Action("suspend_process", "ctrl+z", "Suspend", "Suspend; fg resumes"),
    Action("close", "escape", "Back", "Go back to the previous screen"),
    Action("quit", "q", "Quit", "Quit; a running sweep continues in the background", True),
)

GROUPS: dict[str, tuple[Action, ...]] = {
    "Set-up": SETUP,
    "Session": SESSION,
    "While a sweep runs": LIVE,
    "Replay": REPLAY,
    "List of sessions": SESSIONS,
    "Comparison": COMPARE,
    "Everywhere": EVERYWHERE,
}

# The groups that are active together on one screen: within them a key stands for one action.
SCREENS: tuple[tuple[str, ...], ...] = (
    ("Set-up", "Everywhere"),
    ("Session", "While a sweep runs", "Everywhere"),
    ("Session", "Replay", "Everywhere"),
    ("List of sessions", "Everywhere"),
    ("Comparison", "Everywhere"),
)

KEY_NAMES = {
    "question_mark": "?",
    "slash": "/",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "colon": ":",
    "comma": ",",
    "full_stop": ".",
    "minus": "-",
    "plus": "+",
    "equals_sign": "=",
    "left": "←",
    "right": "→",
    "up": "↑",
    "down": "↓",
    "escape": "esc",
}


def by_id(identity: str) -> Action:
    """Return an action; raise KeyError."""
    for group in GROUPS.values():
        for action in group:
            if action.id == identity:
                return action
    raise KeyError(identity)


def key_names(keys: str) -> str:
    """Return keys as they are printed on a keyboard."""
    return " ".join(KEY_NAMES.get(key, key.replace("ctrl+", "^")) for key in keys.split(",") if key)
