"""Defects: the traceback goes to a log file, whose place is shown to the user."""

from __future__ import annotations

import sys
import time
import traceback

from engine.system.environment import without_secrets
from engine.system.paths import log_file


def keep_traceback() -> str:
    """Append the exception being handled to the terminal's log and return the message for the user."""
    entry = without_secrets(f"{' '.join(sys.argv)}\n{traceback.format_exc()}\n")
    try:
        path = log_file("terminal")
        with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S %z')} {entry}")
    except OSError as error:
        reason = f"its log cannot be written ({error.strerror})"
        return f"a defect in qood-tui, and {reason}; set QOOD_LOGS to a folder"
    return f"a defect in qood-tui; details are in {path}"
