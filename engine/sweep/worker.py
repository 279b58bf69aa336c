"""The worker process: torch lives here. Jobs come in on standard input, events go out on standard output."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import closing
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING

import msgspec

from engine import catalog
from engine.errors import InputError, QoodError
from engine.protocol.events import AnyEvent, WorkerStarted
from engine.protocol.messages import Cancel, Ended, Idle, Job, Message
from engine.sweep.retry import Cancelled, RetryControl
from engine.system.environment import arithmetic, without_secrets
from engine.system.machine import usable_cores, versions

if TYPE_CHECKING:
    from engine.sweep.workers import Workers

NICENESS = 10  # the terminal goes first
WORDS = ("text", "note", "reason", "origin")  # fields of events that may quote a library


class Channel:
    """Messages to the daemon, one per line; safe to use from several threads."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._lock = threading.Lock()

    def send(self, message: Message) -> None:
        """Write one message, without the environment's secrets in its texts."""
        words = {name: getattr(message, name) for name in WORDS if hasattr(message, name)}
        clean = {name: without_secrets(text) for name, text in words.items()}
        message = msgspec.structs.replace(message, **clean) if clean != words else message
        line = msgspec.json.encode(message) + b"\n"
        with self._lock:
            self._file.write(line)
            self._file.flush()


class Requests:
    """What the daemon asks for, read in a thread so that a cancel arrives during a sweep."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._decoder = msgspec.json.Decoder(Job | Cancel)
        self._arrived = threading.Condition()
        self._jobs: list[Job] = []
        self._cancelled: set[str] = set()
        threading.Thread(target=self._listen, daemon=True).start()

    def next_job(self) -> Job:
        """Wait for the next job."""
        with self._arrived:
            while not self._jobs:
                self._arrived.wait()
            return self._jobs.pop(0)

    def is_cancelled(self, session: str) -> bool:
        """Return whether the session should stop."""
        return session in self._cancelled

    def _listen(self) -> None:
        for line in self._file:
            request = self._decoder.decode(line)
            with self._arrived:
                if isinstance(request, Job):
                    self._cancelled.discard(request.session)
                    self._jobs.append(request)
                else:
                    self._cancelled.add(request.session)
                self._arrived.notify()
        os._exit(0)  # the daemon is gone: nobody would read another event


def main() -> None:
    """Serve jobs until standard input closes."""
    channel = Channel(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)  # whatever a library prints goes to the log, not between the events
    requests = Requests(sys.stdin.buffer)
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    # Making the demo images and importing torch take seconds each: do both at once.
    maker = subprocess.Popen([sys.executable, "-m", "engine.images.demo"], stdin=subprocess.DEVNULL)
    load()
    maker.wait()
    channel.send(Idle())
    while True:
        job = requests.next_job()
        channel.send(run(job, channel.send, partial(requests.is_cancelled, job.session)))


def load() -> None:
    """Import what a sweep needs, torch above all, so that a job can begin at once."""
    gc.disable()  # an import makes a million objects and no garbage
    import_module("engine.sweep.sweep")
    gc.freeze()
    gc.enable()


def run(job: Job, emit: Callable[[AnyEvent], None], is_cancelled: Callable[[], bool]) -> Ended:
    """Run one job and return how it ended; the traceback of a defect goes to standard error only."""
    from engine.sweep.devices.backend import is_out_of_memory

    try:
        _sweep(job, emit, is_cancelled)
    except Cancelled:
        return Ended("cancelled", "stopped by the user")
    except InputError as error:
        return Ended("failed" if job.first_row else "refused", job.resources.without_paths(str(error)))
    except QoodError as error:
        return Ended("failed", job.resources.without_paths(str(error)))
    except OSError as error:
        traceback.print_exc()
        where = job.resources.without_paths(str(error.filename or Path(job.session).name))
        return Ended("failed", f"{error.strerror or error}: {Path(where).name}")
    except Exception as error:
        traceback.print_exc()
        if is_out_of_memory(error):
            right = "out of memory, whatever the batch size; use fewer models or calibration_images"
            return Ended("failed", f"{job.resources.devices} is {right}")
        reason = job.resources.without_paths(f"{type(error).__name__}: {error}")
        return Ended("failed", f"a defect in the engine ({reason})")
    return Ended("finished")


def _sweep(job: Job, emit: Callable[[AnyEvent], None], is_cancelled: Callable[[], bool]) -> None:
    """Gather devices, threads and decoders for a job, and run it."""
    from engine.images.decoders import Decoders
    from engine.sweep.devices.choice import choose
    from engine.sweep.sweep import sweep
    from engine.sweep.workers import workers

    chosen = choose(job.resources.devices)
    devices = [one.device for one in chosen]
    cores = max(1, usable_cores() // len(devices))
    with (
        closing(Decoders(cores, job.plan.most_pixels)) as decoders,
        workers(devices, cores, decoders, tf32=job.plan.tf32) as own,
    ):
        identities = {one.uuid: one.name for one in chosen if one.uuid}
        sweep(job, started(job, own, identities), own, RetryControl(emit, is_cancelled))


def started(job: Job, own: Workers, identities: dict[str, str]) -> WorkerStarted:
    """Describe what of this process may change a number; `identities` are the GPUs' names by UUID."""
    libraries = {**versions(), **catalog.METHODS[job.plan.method].package}
    devices = ",".join(own.devices)
    return WorkerStarted(devices, own.threads, libraries, job.first_row, identities, arithmetic())


if __name__ == "__main__":
    main()
