"""The worker process as the daemon sees it: start, order, listen, end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys

import msgspec

from engine.protocol.events import LARGEST_LINE
from engine.protocol.messages import Cancel, Job, Message
from engine.service.telemetry import Machine
from engine.system import environment, paths

GRACE_SECONDS = 5  # between asking a worker to stop, SIGTERM and SIGKILL

LONGEST_LOGGED = 1 << 16  # bytes of a line of the log

_message = msgspec.json.Decoder(Message)


class WorkerProcess:
    """One worker; a new one takes its place when it has died."""

    def __init__(self, process: asyncio.subprocess.Process, variables: dict[str, str], stderr: int) -> None:
        self.process, self.environment = process, variables
        self.machine = Machine(process.pid)
        self._logging = asyncio.create_task(self._keep_log(stderr))

    @classmethod
    async def start(cls, variables: dict[str, str]) -> WorkerProcess:
        """Start a fresh interpreter with the variables of one request; its standard error goes to the log."""
        # Not asyncio's own pipe: a process is waited for until that is closed, by its children too.
        stderr, stderr_end = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "engine.sweep.worker",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr_end,
                limit=LARGEST_LINE,
                env=environment.for_worker(variables),
            )
        except BaseException:
            os.close(stderr)
            raise
        finally:
            os.close(stderr_end)
        return cls(process, variables, stderr)

    async def _keep_log(self, stderr: int) -> None:
        """Copy the worker's standard error to the log, without secrets; a full disk loses it."""
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, os.fdopen(stderr, "rb", 0))
        rest = b""
        while piece := await reader.read(LONGEST_LOGGED):
            rest += piece
            ends = (b"\n", b"\r") if len(rest) < LONGEST_LOGGED else (b"\n", b"\r", b" ")
            end = max(map(rest.rfind, ends)) + 1  # a secret is in one piece
            self._log(rest[:end])
            rest = rest[end:]
        self._log(rest)

    def _log(self, output: bytes) -> None:
        if not output:
            return
        text = environment.without_secrets(output.decode(errors="backslashreplace"), self.environment)
        with contextlib.suppress(OSError), paths.log_file("worker").open("ab") as log:
            log.write(text.encode())

    @property
    def alive(self) -> bool:
        """Return whether the process has not ended."""
        return self.process.returncode is None

    def send(self, order: Job | Cancel) -> None:
        """Send the worker an order; do nothing if it has died."""
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
        """Return in words how the process ended."""
        code = self.process.returncode or 0
        if code == -signal.SIGKILL:
            return "the worker was killed (SIGKILL): by hand, or by the system because memory ran out"
        if code < 0:
            return f"the worker was ended by {signal.Signals(-code).name}"
        log = "worker.log"  # its folder may reveal who the user is
        return f"the worker ended unexpectedly with status {code}; its log is {log}"
