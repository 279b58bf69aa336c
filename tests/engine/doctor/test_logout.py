from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from engine.doctor.logout import logout
from tests.engine.doctor.surroundings import file


@pytest.mark.parametrize(
    ("group", "main", "drop_in", "lingers", "level", "words"),
    [
        ("/user.slice/session-3.scope", "#KillUserProcesses=no", "", False, "good", ""),
        ("/user.slice/session-3.scope", "#KillUserProcesses=yes", "", False, "warning", "enable-linger"),
        ("/user.slice/session-3.scope", "KillUserProcesses=yes", "", False, "warning", "systemd-run"),
        ("/user.slice/session-3.scope", "KillUserProcesses=yes", "", True, "warning", "systemd-run"),
        ("/user.slice/session-3.scope", "KillUserProcesses=yes", "KillUserProcesses=no", False, "good", ""),
        (
            "/user.slice/session-3.scope",
            "KillUserProcesses=no",
            "KillUserProcesses=1",
            False,
            "warning",
            "yes",
        ),
        ("/user.slice/session-3.scope", "", "", False, "warning", "default"),
        ("/user.slice/user@7.service/tmux-spawn-1.scope", "", "", False, "warning", "enable-linger"),
        ("/user.slice/user@7.service/tmux-spawn-1.scope", "KillUserProcesses=yes", "", True, "good", ""),
        ("/", "KillUserProcesses=yes", "", False, "good", ""),
    ],
)
def test_what_logging_out_does_to_the_engine(
    group: str, main: str, drop_in: str, lingers: bool, level: str, words: str, tmp_path: Path
) -> None:
    own = file(tmp_path / "cgroup", f"0::{group}\n")
    vendor, local = tmp_path / "vendor", tmp_path / "local"
    file(vendor / "logind.conf", f"[Login]\n{main}\n")
    file(local / "logind.conf.d" / "50-local.conf", f"[Login]\n{drop_in}\n")
    if lingers:
        file(tmp_path / "linger" / pwd.getpwuid(os.getuid()).pw_name, "")
    [found] = logout(own, (vendor, local), tmp_path / "linger")
    assert found.level == level and words in f"{found.found} {found.do}"
