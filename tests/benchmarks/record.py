"""Record the demo session that ships with the project: `make sessions`."""

from __future__ import annotations

import shutil
from pathlib import Path

from engine import client, sessions
from engine.plan import preset
from engine.resources import Resources

TARGET = Path(__file__).resolve().parents[2] / "sessions" / "demo"


def main() -> None:
    """Sweep the demo plan and put the session in its place."""
    session = sessions.create(preset("demo"), {}, title="demo")
    client.start(session, Resources(devices="cpu"))
    for entries in client.watch(session):
        for entry in entries:
            print(entry.seq, type(entry.event).__name__, flush=True)
    shutil.rmtree(TARGET, ignore_errors=True)
    shutil.rmtree(session / "quantized")  # 8 MB that the demo makes again in seconds
    shutil.move(session, TARGET)
    for folder in (TARGET, TARGET / "arrays"):
        folder.chmod(0o755)


if __name__ == "__main__":
    main()
