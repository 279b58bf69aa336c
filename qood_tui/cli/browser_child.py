"""`python -m qood_tui.cli.browser_child` is `qood-tui` behind a web page: it ends with its server."""

from __future__ import annotations

import os
import signal
import threading
import time

SECONDS = 1.0


def watch(server: int) -> None:
    """Send SIGHUP, as a closing terminal does, once `server` is no longer the parent."""
    while os.getppid() == server:
        time.sleep(SECONDS)
    os.kill(os.getpid(), signal.SIGHUP)


if __name__ == "__main__":
    from qood_tui.cli.main import main

    # Under nohup the server ignores SIGHUP, and its children would inherit that.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    threading.Thread(target=watch, args=(os.getppid(),), daemon=True).start()
    main(prog_name="qood-tui")
