"""Where things lie on this machine; every place can be moved by an environment variable."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from platformdirs import user_data_path, user_log_path, user_state_path

from engine.errors import InputError


class Location(NamedTuple):
    """A folder and what named it: an option, a variable, the configuration, or the program itself."""

    folder: Path
    named_by: str


class SessionsPlace:
    """Where sessions lie: option, then `QOOD_SESSIONS`, then configuration, then the user's data directory.

    A command line sets the first and says how the third is read, which happens only if it matters.
    """

    def __init__(self) -> None:
        self.option: Path | None = None
        self.configured: Callable[[], str] = str  # an empty string where nothing is configured

    def find(self) -> Location:
        """Return the folder; raise InputError if it cannot be one."""
        if self.option is not None:
            return _place(str(self.option), "--session-dir")
        if value := os.environ.get("QOOD_SESSIONS"):
            return _place(value, "QOOD_SESSIONS")
        if value := self.configured():
            return _place(value, "the configuration")
        return Location(user_data_path("qood-tui") / "sessions", "the user's data directory")


sessions_place = SessionsPlace()


def _place(value: str, named_by: str) -> Location:
    try:
        return Location(Path(value).expanduser(), named_by)
    except RuntimeError as error:
        raise InputError(named_by, value, f"give a folder ({error})") from None


def program() -> str:
    """Return the folder that this program runs from."""
    return str(Path(__file__).resolve().parents[1])


def sessions_folder() -> Path:
    """Return the folder where sessions are stored and looked up."""
    return sessions_place.find().folder


def resources_file(session: str) -> Path:
    """Return where this machine keeps the paths that the session of that id was run with."""
    return user_state_path("qood-tui") / "resources" / f"{Path(session).name}.json"


def choice_file(kind: str) -> Path:
    """Return where this machine keeps the last choice of the set-up screen, by kind: demo or real."""
    value = os.environ.get("QOOD_STATE")
    folder = Path(value).expanduser() if value else user_state_path("qood-tui")
    return folder / f"last-{kind}.toml"


def log_file(name: str) -> Path:
    """Return the log file `name` outside every session (`QOOD_LOGS` moves the folder)."""
    value = os.environ.get("QOOD_LOGS")
    folder = Path(value).expanduser() if value else user_log_path("qood-tui")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder / f"{name}.log"
