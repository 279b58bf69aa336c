"""The engine daemon: takes commands on a Unix socket, runs the worker, and alone writes journals."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import signal
import socket
import struct
import sys
import time
from collections import deque
from importlib.metadata import version
from pathlib import Path
from typing import IO

import msgspec

from engine import journal, places
from engine.errors import JournalError
from engine.machine import Machine
from engine.protocol import (
    LARGEST_LINE,
    AnyEvent,
    Cancel,
    ChunkFinished,
    Command,
    Ended,
    Idle,
    Job,
    Message,
    PhaseChanged,
    Reply,
    SessionResumed,
    Start,
    Status,
    Stop,
    Warm,
    WorkerDied,
)

IDLE_SECONDS = 180  # without work or a question the daemon ends
TELEMETRY_SECONDS = 5
GRACE_SECONDS = 5  # between asking a worker to stop, SIGTERM and SIGKILL
MOST_RESTARTS = 2
LOCK_SECONDS = 12.0

_command = msgspec.json.Decoder(Command)
_message = msgspec.json.Decoder(Message)


class Worker:
    """The worker process as the daemon sees it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.machine = Machine(process.pid)

    @classmethod
    async def start(cls) -> Worker:
        """Start a fresh interpreter; its standard error goes to the log."""
        with places.log_file("worker").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "engine.worker",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                limit=LARGEST_LINE,
            )
        return cls(process)

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
        return f"the worker ended unexpectedly with status {code}; its log is {places.log_file('worker')}"


class Daemon:
    """Run queued sessions one after the other; every event is on its way to the disk before the next."""

    def __init__(self) -> None:
        self.queue: deque[Start] = deque()
        self.running: Start | None = None
        self.cancelled: set[str] = set()
        self.worker: Worker | None = None
        self.writer: journal.Writer | None = None
        self.contact = time.monotonic()
        self.wake = asyncio.Event()
        self.ended = asyncio.Event()
        self._escalation: asyncio.Task[None] | None = None

    async def serve(self) -> None:
        """Answer commands until stopped or idle for long."""
        path = places.socket_path()
        path.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._answer, path, limit=LARGEST_LINE)
        path.chmod(0o600)
        work = asyncio.create_task(self._work())
        async with server:
            await self.ended.wait()
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
        if self.worker is not None:
            await self.worker.end()
        path.unlink(missing_ok=True)

    async def _answer(self, reader: asyncio.StreamReader, sender: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ValueError, asyncio.IncompleteReadError):
            if _peer_user(sender) == os.getuid():
                while line := await reader.readline():
                    reply = await self._obey(line)
                    sender.write(msgspec.json.encode(reply) + b"\n")
                    await sender.drain()
        sender.close()

    async def _obey(self, line: bytes) -> Reply:
        self.contact = time.monotonic()
        try:
            command = _command.decode(line)
        except msgspec.DecodeError as error:
            return self._status(ok=False, reason=f"this command is not understood: {error}")
        match command:
            case Start():
                if self.running and self.running.session == command.session:
                    return self._status(ok=False, reason="this session is running already")
                self.cancelled.discard(command.session)
                self.queue.append(command)
                self.wake.set()
            case Cancel(session):
                self._cancel(session)
            case Warm():
                await self._warm_worker()
            case Stop():
                for session in [start.session for start in self.queue]:
                    self._cancel(session)
                if self.running:
                    self._cancel(self.running.session)
                asyncio.get_running_loop().create_task(self._end_when_idle())
            case Status():
                pass
        return self._status()

    def _status(self, *, ok: bool = True, reason: str = "") -> Reply:
        running = self.running.session if self.running else ""
        queued = tuple(start.session for start in self.queue)
        warm = self.worker is not None and self.worker.alive
        return Reply(ok, reason, running, queued, warm, os.getpid(), version("qood-tui"), places.program())

    async def _warm_worker(self) -> Worker:
        if self.worker is None or not self.worker.alive:
            self.worker = await Worker.start()
        return self.worker

    def _cancel(self, session: str) -> None:
        self.cancelled.add(session)
        if self.running and self.running.session == session and self.worker:
            self.worker.send(Cancel(session))
            self._escalation = asyncio.create_task(self._escalate(self.worker))

    async def _escalate(self, worker: Worker) -> None:
        await asyncio.sleep(GRACE_SECONDS)
        if self.running is not None:
            await worker.end()

    async def _end_when_idle(self) -> None:
        while self.running or self.queue:
            await asyncio.sleep(0.1)
        self.ended.set()

    async def _work(self) -> None:
        while True:
            if not self.queue:
                if time.monotonic() - self.contact > IDLE_SECONDS:
                    self.ended.set()
                self.wake.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.wake.wait(), 5)
                continue
            self.running = self.queue.popleft()
            try:
                await self._run(self.running)
            except Exception as error:
                # A defect in one session must not take the daemon and the queue with it.
                _log(f"{self.running.session}: {type(error).__name__}: {error}")
            finally:
                if self._escalation:
                    self._escalation.cancel()
                self.running = self.writer = None
                self.contact = time.monotonic()

    async def _run(self, start: Start) -> None:
        try:
            self.writer = writer = journal.Writer(Path(start.session))
        except (OSError, JournalError) as error:
            _log(f"{start.session}: the journal cannot be written: {error}")
            return
        telemetry = asyncio.create_task(self._watch_machine(writer))
        try:
            outcome, reason = await self._attempts(start, writer)
            telemetry.cancel()
            writer.close(outcome, reason)
        except OSError as error:
            telemetry.cancel()
            if self.worker:
                await self.worker.end()
            _close_on_full_disk(writer, error)

    async def _attempts(self, start: Start, writer: journal.Writer) -> tuple[str, str]:
        if writer.finished_rows:
            writer.append(SessionResumed(writer.finished_rows))
        for restarts in range(MOST_RESTARTS + 1):
            if start.session in self.cancelled:
                return "cancelled", "stopped by the user"
            writer.append(PhaseChanged("starting"))
            worker = await self._warm_worker()
            worker.send(Job(start.session, writer.plan, start.folders, start.device, writer.finished_rows))
            ended = await self._follow(worker, writer)
            if ended is not None:
                return ended.outcome, ended.reason
            if start.session in self.cancelled:
                return "cancelled", "stopped by the user"
            again = restarts < MOST_RESTARTS
            writer.append(WorkerDied(worker.epitaph(), again))
        return "failed", f"{worker.epitaph()}; given up after {MOST_RESTARTS + 1} attempts"

    async def _follow(self, worker: Worker, writer: journal.Writer) -> Ended | None:
        """Append what the worker says until the job ends; None if the worker died."""
        while (message := await worker.receive()) is not None:
            if isinstance(message, Ended):
                return message
            if isinstance(message, Idle):
                continue
            if isinstance(message, ChunkFinished) and message.first == writer.finished_rows:
                writer.finished_rows += message.rows
            writer.append(message)
        return None

    async def _watch_machine(self, writer: journal.Writer) -> None:
        while True:
            if self.worker and self.worker.alive:
                event: AnyEvent = self.worker.machine.measure()
                with contextlib.suppress(OSError, ValueError):
                    writer.append(event)
            await asyncio.sleep(TELEMETRY_SECONDS)


def main() -> None:
    """Run the daemon of this user; a second one ends at once."""
    lock = (places.runtime_folder() / "engine.lock").open("w")
    if not _locked(lock):
        return
    _log(f"engine {version('qood-tui')} started, process {os.getpid()}")
    asyncio.run(Daemon().serve())


def _locked(lock: IO[str]) -> bool:
    """Take the lock; wait a while for an engine that is just ending."""
    deadline = time.monotonic() + LOCK_SECONDS
    while time.monotonic() < deadline:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.1)
    return False


def _close_on_full_disk(writer: journal.Writer, error: OSError) -> None:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    words = "the disk is full" if full else f"the journal cannot be written ({error.strerror})"
    _log(f"{writer.session}: {words}")
    try:
        writer.close("failed", f"{words}; everything finished until then is kept")
    except (OSError, ValueError):
        writer.abandon()


def _peer_user(sender: asyncio.StreamWriter) -> int:
    peer = sender.get_extra_info("socket")
    if hasattr(socket, "SO_PEERCRED"):
        found = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", found)[1])
    return os.getuid()  # elsewhere the mode of the socket's folder keeps others out


def _log(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
