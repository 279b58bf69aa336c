"""`python -m qood_tui.cli.browser_child` is `qood-tui` behind a page: it ends when its server is gone."""

from __future__ import annotations

import os
import signal
import threading
import time

SECONDS = 1.0


def watch(server: int) -> None:
    """Hang up like a terminal that is closed once `server` is not the parent any more."""
    while os.getppid() == server:
        time.sleep(SECONDS)
    os.kill(os.getpid(), signal.SIGHUP)


if __name__ == "__main__":
    from qood_tui.cli.main import main

    # The server may have been started by nohup, which would make this deaf as well.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    threading.Thread(target=watch, args=(os.getppid(),), daemon=True).start()
    main(prog_name="qood-tui")
