"""The one table of actions: key bindings, footer, help screen, palette and configuration are made from it.

It is data alone, so that the command line can read it without loading the terminal.
"""

from __future__ import annotations

from typing import NamedTuple


class Action(NamedTuple):
    """Something the user can do: `keys` as Textual names them, `footer` shows it at the bottom.

    `call` is what runs, where that is not the method of the action's own name.
    """

    id: str
    keys: str
    label: str
    help: str
    footer: bool = False
    call: str = ""


SETUP = (
    Action("start", "s,ctrl+g", "Start", "Start the sweep as chosen", True),
    Action("search", "slash", "Search", "Search all choices by name", True),
    Action("sessions", "l", "Sessions", "List recorded sessions and open one", True),
    Action("open_plan", "o", "Open", "Open a plan from a TOML file", True),
    Action("save_plan", "w", "Save", "Save the plan to a TOML file", True),
    Action("data", "d", "Data", "Point at the folder that holds ImageNet and OOD sets", True),
    Action("add_folder", "f", "Add folder", "Add a folder of images as one more OOD set", True),
    Action("add_model", "k", "Add model", "Add a checkpoint of your own, or any plain ViT of timm"),
    Action("all", "a", "All", "Choose everything in this group that can be chosen"),
    Action("none", "n", "None", "Choose nothing in this group"),
    Action("headline", "h", "Headline", "Make the score under the cursor the headline score"),
)

SESSION = (
    Action("next_variant", "j", "Variant", "Go to the next variant"),
    Action("previous_variant", "k", "Variant before", "Go to the variant before"),
    Action("next_model", "m", "Model", "Go to the next model", True),
    Action("previous_model", "M", "Model before", "Go to the model before"),
    Action("next_bits", "w", "Bits", "Go to the next bit setting of this model"),
    Action("previous_bits", "W", "Bits before", "Go to the bit setting before"),
    Action("next_set", "o", "OOD set", "Show the next OOD set", True),
    Action("previous_set", "O", "OOD set before", "Show the OOD set before"),
    Action("next_score", "c", "Score", "Draw curves and histograms of the next score"),
    Action("next_view", "x", "Axes", "Draw ROC curves, with a logarithmic axis, or precision over recall"),
    Action("next_measure", "a", "Measure", "Show the next measure in tables and figures", True),
    Action("next_unit", "r", "Unit", "Show points lost, percent of FP32 lost, or the values themselves"),
    Action("next_order", "s", "Sort", "Sort the table: as planned, by the mean, by this OOD set, by top-1"),
    Action("filter", "slash", "Filter", "Show the variants whose names hold what is typed"),
    Action("toggle_changes", "t", "Changes", "Show only variants whose loss is distinguishable from none"),
    Action(
        "next_curves", "g", "Curves of", "Draw the curves of a model, of a bit setting, or the marked ones"
    ),
    Action("mark", "v", "Mark", "Mark or unmark a variant, to draw marked ones over each other"),
    Action("unmark", "V", "Unmark all", "Take all marks away"),
    Action("show_number", "d", "Why?", "Show where the number under the cursor comes from", True),
    Action("worst", "L", "Most lost", "Point at the variant and OOD set that lost most", True),
    Action("compare", "C", "Compare", "Compare this session with another one"),
    Action("copy", "y", "Copy", "Copy the chosen pane as text, over SSH too"),
    Action(
        "export",
        "e",
        "Export",
        "Save or copy the pane as SVG or text, the table as CSV, markdown, LaTeX",
        True,
    ),
    Action("toggle_maximise", "z", "Maximise", "Give the chosen pane the whole screen, and back"),
    Action("pane_curves", "1", "Curves", "Choose the curves", call="pane('curves')"),
    Action(
        "pane_histogram",
        "2",
        "Histogram",
        "Choose the score histograms, ID against OOD",
        call="pane('histogram')",
    ),
    Action(
        "pane_matrix", "3", "Matrix", "Choose the heat map of models and bit settings", call="pane('matrix')"
    ),
    Action(
        "pane_study",
        "4",
        "Study",
        "Choose the study's figure: pretraining and bit width",
        call="pane('study')",
    ),
    Action("pane_deltas", "5", "Deltas", "Choose the delta table", call="pane('deltas')"),
    Action("pane_bits", "6", "Bits", "Choose calibration and bit table of the variant", call="pane('bits')"),
    Action("pane_engine", "7", "Engine", "Choose engine and devices", call="pane('engine')"),
    Action("pane_log", "8", "Log", "Choose the log", call="pane('log')"),
)

LIVE = (
    Action(
        "pause", "space", "Hold screen", "Hold the screen still and let go; the sweep goes on meanwhile", True
    ),
    Action("cancel", "K", "Stop sweep", "Stop the sweep, after a question; what is finished is kept"),
)

REPLAY = (
    Action("toggle_play", "space", "Play", "Play or pause the replay", True),
    Action("back", "left", "5 s back", "Go 5 seconds back"),
    Action("forward", "right", "5 s on", "Go 5 seconds on"),
    Action("step_back", "comma", "Event back", "Go one event back"),
    Action("step_forward", "full_stop", "Event on", "Go one event on"),
    Action("next_marker", "n,right_square_bracket", "Next mark", "Go to the next mark of the timeline", True),
    Action("previous_marker", "N,left_square_bracket", "Mark before", "Go to the mark before"),
    Action("marker_kind", "i", "Marks", "Jump to all marks, or to phases, variants or warnings alone"),
    Action("go_to_time", "G", "Go to", "Go to a time that is typed"),
    Action("slower", "minus", "Slower", "Play at half the speed"),
    Action("faster", "plus,equals_sign", "Faster", "Play at twice the speed"),
    Action("to_start", "home", "Start", "Go to the start"),
    Action("to_end", "end", "End", "Go to the end", True),
    Action("no_cancel", "K", "Stop sweep", "Nothing runs in a replay, so there is nothing to stop"),
)

SESSIONS = (
    Action(
        "open_session", "enter", "Open", "Open the session: a running one live, another as a replay", True
    ),
    Action("mark_session", "space,v", "Mark", "Mark or unmark a session, to compare marked ones", True),
    Action("compare_marked", "c,C", "Compare", "Compare the marked sessions", True),
    Action("filter_sessions", "slash", "Filter", "Show the sessions whose lines hold what is typed", True),
    Action("note_session", "n", "Note", "Write a note about the session", True),
    Action("rename_session", "R", "Rename", "Give the session another name"),
    Action("export_session", "e", "Export", "Put the session into one file that others can import", True),
    Action("verify_session", "V", "Check", "Check every line, row, file and number of the session", True),
    Action("delete_session", "D", "Delete", "Delete the session, after a question"),
)

COMPARE = (
    Action("compare_set", "o", "OOD set", "Compare on the next OOD set, or on their mean", True),
    Action("compare_set_back", "O", "OOD set before", "Compare on the OOD set before"),
    Action("compare_measure", "a", "Measure", "Compare the next measure", True),
    Action("compare_unit", "r", "Unit", "Compare points lost, percent of FP32 lost, or the values", True),
    Action("compare_view", "x", "View", "Sessions side by side, or the difference of every cell", True),
    Action("compare_order", "s", "Sort", "Sort by the difference, or as planned", True),
    Action("compare_next", "n", "Other", "Compare the first session with the next of the others"),
    Action("compare_copy", "y", "Copy", "Copy the table as text, over SSH too"),
    Action("compare_export", "e", "Export", "Save or copy the comparison", True),
)

EVERYWHERE = (
    Action("help", "question_mark,f1", "Help", "Show all keys", True),
    Action("command_palette", "ctrl+p,colon", "Palette", "Find an action by its name"),
    Action("toggle_theme", "T", "Theme", "Change between dark, light and the terminal's own colours"),
    Action("suspend_process", "ctrl+z", "Suspend", "Put qood-tui aside; fg brings it back"),
    Action("close", "escape", "Back", "Go back to the screen before"),
    Action("quit", "q", "Quit", "Leave; a running sweep goes on in the background", True),
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

# Groups that are active on one screen: a key can stand for one of their actions only.
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
    """Return keys as they stand on the keyboard."""
    return " ".join(KEY_NAMES.get(key, key.replace("ctrl+", "^")) for key in keys.split(",") if key)
