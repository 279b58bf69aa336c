"""What every process that the engine starts for itself does first."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading


def begin(niceness: int = 0) -> None:
    """Leave interrupts to the engine, and end when it does, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if niceness and hasattr(os, "nice"):
        os.nice(niceness)


def _end_with_parent() -> None:
    # A killed parent closes no queue that its children wait at: they would wait for ever.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(0)
