"""The worker process: torch lives here. Jobs come in on standard input, events go out on a pipe."""

from __future__ import annotations

import gc
import os
import platform
import subprocess
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import msgspec

from engine import catalog
from engine.protocol.events import WorkerStarted
from engine.protocol.messages import Cancel, Ended, Idle, Job, Message
from engine.system.environment import arithmetic, without_secrets

NICENESS = 10  # the terminal goes first
WORDS = ("text", "note", "reason", "origin")  # fields of events that libraries may have a say in


class Channel:
    """The way to the daemon: one message a line; safe to use from several threads."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._lock = threading.Lock()

    def send(self, message: Message) -> None:
        """Write one message; no secret of the environment is in its words."""
        said = {name: getattr(message, name) for name in WORDS if hasattr(message, name)}
        told = {name: without_secrets(text) for name, text in said.items()}
        message = msgspec.structs.replace(message, **told) if told != said else message
        line = msgspec.json.encode(message) + b"\n"
        with self._lock:
            self._file.write(line)
            self._file.flush()


class Orders:
    """What the daemon asks for, read in a thread so that a cancel arrives during a sweep."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._decoder = msgspec.json.Decoder(Job | Cancel)
        self._ready = threading.Condition()
        self._jobs: list[Job] = []
        self._cancelled: set[str] = set()
        threading.Thread(target=self._listen, daemon=True).start()

    def next_job(self) -> Job:
        """Wait for the next job."""
        with self._ready:
            while not self._jobs:
                self._ready.wait()
            return self._jobs.pop(0)

    def is_cancelled(self, session: str) -> bool:
        """Tell whether the session is to stop."""
        return session in self._cancelled

    def _listen(self) -> None:
        for line in self._file:
            order = self._decoder.decode(line)
            with self._ready:
                if isinstance(order, Job):
                    self._cancelled.discard(order.session)
                    self._jobs.append(order)
                else:
                    self._cancelled.add(order.session)
                self._ready.notify()
        os._exit(0)  # the daemon is gone: nobody would read another event


def main() -> None:
    """Serve jobs until standard input closes."""
    channel = Channel(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)  # whatever a library prints goes to the log, not between the events
    orders = Orders(sys.stdin.buffer)
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    # Making the demo images and importing torch take seconds each: do both at once.
    maker = subprocess.Popen([sys.executable, "-m", "engine.images.demo"], stdin=subprocess.DEVNULL)
    gc.disable()  # an import makes a million objects and no garbage
    from engine.sweep import sweep as loaded

    gc.freeze()
    gc.enable()
    maker.wait()
    channel.send(Idle())
    while True:
        job = orders.next_job()
        channel.send(run(job, channel, orders, loaded.Cancelled))


def run(job: Job, channel: Channel, orders: Orders, cancelled: type[Exception]) -> Ended:
    """Run one job and say how it ended; the traceback of a defect goes to standard error only."""
    import torch

    from engine.errors import InputError, QoodError

    try:
        _sweep(job, channel, orders)
    except cancelled:
        return Ended("cancelled", "stopped by the user")
    except InputError as error:
        return Ended("failed" if job.first_row else "refused", job.resources.without_paths(str(error)))
    except QoodError as error:
        return Ended("failed", job.resources.without_paths(str(error)))
    except OSError as error:
        traceback.print_exc()
        where = job.resources.without_paths(str(error.filename or Path(job.session).name))
        return Ended("failed", f"{error.strerror or error}: {Path(where).name}")
    except torch.OutOfMemoryError:
        traceback.print_exc()
        devices = job.resources.devices
        return Ended(
            "failed",
            f"{devices} is out of memory, whatever the batch; give fewer models or calibration_images",
        )
    except Exception as error:
        traceback.print_exc()
        reason = job.resources.without_paths(f"{type(error).__name__}: {error}")
        return Ended("failed", f"a defect in the engine ({reason})")
    return Ended("finished")


def _sweep(job: Job, channel: Channel, orders: Orders) -> None:
    """Gather devices, threads and decoders for a job, and run it."""
    import torch

    from engine.images.decoders import Decoders
    from engine.sweep.devices import choose, release_memory, usable_cores
    from engine.sweep.sweep import Workers, sweep

    chosen = choose(job.resources.devices)
    devices = [one if isinstance(one, str) else one.device for one in chosen]
    uuids = {one.uuid: one.name for one in chosen if not isinstance(one, str)}
    # On a GPU, TF32 would round the inputs of products and convolutions to 10 bits.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = job.plan.tf32
    share = max(1, usable_cores() // len(devices))
    threads = 1 if uuids else share
    worker = started(job, ",".join(devices), threads, uuids)
    channel.send(worker)
    # One thread a variant: what a variant computes does not depend on how many cores there are.
    torch.set_num_threads(1)
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    decoders = Decoders(share, job.plan.most_pixels)
    try:
        with pool:
            sweep(
                job,
                channel.send,
                lambda: orders.is_cancelled(job.session),
                Workers(devices, share, pool, decoders, worker),
            )
    finally:
        decoders.close()
        release_memory()


def started(job: Job, device: str, threads: int, accelerators: dict[str, str]) -> WorkerStarted:
    """Describe this process as far as it may move a number."""
    found = {**versions(), **catalog.METHODS[job.plan.method].package}
    return WorkerStarted(device, threads, found, job.first_row, accelerators, arithmetic())


def versions() -> dict[str, str]:
    """Return what computes here: libraries, interpreter, machine."""
    from importlib.metadata import version

    from PIL import features

    names = ("qood-tui", "torch", "torchvision", "timm", "numpy", "scikit-learn", "pillow")
    found = {name: version(name) for name in names}
    found["libjpeg"] = str(features.version("libjpeg_turbo") or features.version("jpg"))
    found |= {
        name: str(features.version(name))
        for name in ("zlib", "webp", "libtiff", "avif")
        if features.check(name)
    }
    found["python"] = platform.python_version()
    found["machine"] = platform.machine()
    found["processor"] = _processor()
    return found


def _processor() -> str:
    """Return the processor's name: another one may round differently."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor())


if __name__ == "__main__":
    main()
