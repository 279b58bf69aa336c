"""Whether the engine in the background survives a logout."""

from __future__ import annotations

import os
import pwd
import re
from pathlib import Path

from engine.doctor.findings import Finding, content
from engine.doctor.machine import OWN_GROUP

SYSTEMD = (Path("/usr/lib/systemd"), Path("/run/systemd"), Path("/etc/systemd"))
LINGER = Path("/var/lib/systemd/linger")


def logout(
    own: Path = OWN_GROUP, systemd: tuple[Path, ...] = SYSTEMD, lingering: Path = LINGER
) -> list[Finding]:
    """Report whether the engine in the background continues when its user logs out."""
    group = content(own)
    lingers = _lingers(lingering)
    if re.search(r"/user@\d+\.service", group):
        if lingers:
            return [Finding("good", "logout", "the engine continues after it: linger is enabled")]
        found = (
            "the engine may end with your last login session: it runs under your user manager without linger"
        )
        return [Finding("warning", "logout", found, "let it continue: loginctl enable-linger")]
    setting = _kill_setting(systemd)
    if re.search(r"/session-[^/\n]*\.scope", group) and setting != "no":
        found = f"systemd ends the engine with your login session: KillUserProcesses is {setting}"
        do = "start it outside the session: systemd-run --user --scope qood-tui"
        return [Finding("warning", "logout", found, do if lingers else f"loginctl enable-linger, then {do}")]
    return [Finding("good", "logout", "the engine continues after it")]


def _kill_setting(systemd: tuple[Path, ...]) -> str:
    """Return logind's setting: drop-ins override the main file, whose comments name the default."""
    main = [text for folder in systemd if (text := content(folder / "logind.conf"))][-1:]
    more = {p.name: p for folder in systemd for p in (folder / "logind.conf.d").glob("*.conf")}
    text = "\n".join([*main, *(content(more[name]) for name in sorted(more))])
    values = re.findall(r"^\s*KillUserProcesses\s*=\s*(\w+)", text, re.MULTILINE)
    values = values or re.findall(r"^\s*#\s*KillUserProcesses\s*=\s*(\w+)", text, re.MULTILINE)
    if not values:
        return "not set, and systemd's own default is yes"
    return "no" if values[-1].lower() in ("no", "false", "off", "0", "n", "f") else "yes"


def _lingers(lingering: Path) -> bool:
    try:
        return (lingering / pwd.getpwuid(os.getuid()).pw_name).exists()
    except KeyError:  # a user without a name, as in containers
        return False
