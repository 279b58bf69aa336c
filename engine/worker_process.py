"""The worker process as the daemon sees it: start, order, listen, end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys

import msgspec

from engine import places
from engine.machine import Machine
from engine.protocol import LARGEST_LINE, Cancel, Job, Message
from engine.resources import ENVIRONMENT

GRACE_SECONDS = 5  # between asking a worker to stop, SIGTERM and SIGKILL

_message = msgspec.json.Decoder(Message)


class WorkerProcess:
    """One worker; a new one takes its place when it has died."""

    def __init__(self, process: asyncio.subprocess.Process, environment: dict[str, str]) -> None:
        self.process, self.environment = process, environment
        self.machine = Machine(process.pid)

    @classmethod
    async def start(cls, environment: dict[str, str]) -> WorkerProcess:
        """Start a fresh interpreter; its standard error goes to the log.

        `environment` replaces what the daemon's own says of devices and caches.
        """
        own = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT}
        with places.log_file("worker").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "engine.worker",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                limit=LARGEST_LINE,
                env={**own, **environment},
            )
        return cls(process, environment)

    @property
    def alive(self) -> bool:
        """Tell whether the process has not ended."""
        return self.process.returncode is None

    def send(self, order: Job | Cancel) -> None:
        """Give the worker an order; a dead one does not hear it."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError, RuntimeError):
            self.process.stdin.write(msgspec.json.encode(order) + b"\n")

    async def receive(self) -> Message | None:
        """Return the next message, None once the process has ended."""
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            if line.endswith(b"\n"):
                message: Message = _message.decode(line)
                return message
        await self.process.wait()
        return None

    async def end(self) -> None:
        """End the process, gently at first."""
        for stop in (signal.SIGTERM, signal.SIGKILL):
            if self.alive:
                with contextlib.suppress(ProcessLookupError):
                    self.process.send_signal(stop)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.process.wait(), GRACE_SECONDS)

    def epitaph(self) -> str:
        """Say in words how the process ended."""
        code = self.process.returncode or 0
        if code == -signal.SIGKILL:
            return "the worker was killed (SIGKILL): by hand, or by the system for want of memory"
        if code < 0:
            return f"the worker was ended by {signal.Signals(-code).name}"
        log = places.log_file("worker").name  # the folder may tell who the user is
        return f"the worker ended unexpectedly with status {code}; its log is {log}"
