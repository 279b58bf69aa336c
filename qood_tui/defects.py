"""What happens with a defect: the traceback goes to a log, the user reads where."""

from __future__ import annotations

import sys
import time
import traceback

from engine.system.environment import without_secrets
from engine.system.paths import log_file


def keep_traceback() -> str:
    """Append the exception being handled to the terminal's log and return what to tell the user."""
    told = without_secrets(f"{' '.join(sys.argv)}\n{traceback.format_exc()}\n")
    try:
        path = log_file("terminal")
        with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S %z')} {told}")
    except OSError as error:
        return (
            f"this is a defect, and its log cannot be written ({error.strerror}); set QOOD_LOGS to a folder"
        )
    return f"this is a defect; what happened is in {path}"
