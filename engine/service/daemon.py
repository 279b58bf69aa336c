"""The engine daemon: takes commands on a Unix socket, runs the worker, and is the only writer of journals."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import struct
import sys
import time
from collections import deque
from importlib.metadata import version
from pathlib import Path

import msgspec

from engine.errors import InputError, JournalError
from engine.protocol.events import (
    LARGEST_LINE,
    ChunkFinished,
    PhaseChanged,
    SessionResumed,
    WorkerDied,
    WorkerStarted,
)
from engine.protocol.messages import Cancel, Command, Ended, Idle, Job, Reply, Start, Status, Stop, Warm
from engine.service.worker_process import GRACE_SECONDS, WorkerProcess
from engine.session import lease
from engine.session.session import Session
from engine.session.writer import Writer
from engine.system import environment, paths, runtime

IDLE_SECONDS = 180  # without work or commands, after which the daemon ends
TELEMETRY_SECONDS = 5
MOST_RESTARTS = 2
LOCK_SECONDS = 12.0
STOPPED = "stopped by the user"

_command = msgspec.json.Decoder(Command)


class Run:
    """One session in the queue or at work; it holds the journal from the moment it is accepted."""

    def __init__(self, start: Start) -> None:
        self.start = start
        session, variables = Path(start.session), start.resources.environment
        environment.check_exact(variables, tf32=Session.at(session).header.plan.tf32)
        self.writer = Writer(session, take_over=start.take_over)
        self._cancelled = asyncio.Event()
        if self.writer.has_events:
            try:
                worker = self.writer.worker
                environment.check_same(worker.arithmetic if worker else None, variables)
                self.writer.append(SessionResumed(self.writer.finished_rows))
            except BaseException:
                self.writer.abandon()
                raise

    def cancel(self) -> None:
        """Remember that the user asked to stop."""
        self._cancelled.set()

    def is_cancelled(self) -> bool:
        """Return whether the user asked to stop."""
        return self._cancelled.is_set()

    def close(self, outcome: str, reason: str) -> None:
        """Append the closing event, even if the disk is full, unless another writer has taken over."""
        try:
            self.writer.close(outcome, reason)
        except lease.LeaseLost as error:
            _log(str(error))
            self.writer.abandon()
        except (OSError, ValueError) as error:
            _log(f"{self.start.session}: the closing event cannot be written: {error}")
            self.writer.abandon()


class Daemon:
    """Run queued sessions one after the other; every event is on its way to the disk before the next."""

    def __init__(self) -> None:
        self.queue: deque[Run] = deque()
        self.running: Run | None = None
        self.worker: WorkerProcess | None = None
        self.contact = time.monotonic()
        self.wake = asyncio.Event()
        self.ended = asyncio.Event()
        self._starting = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, endpoint: runtime.Endpoint) -> None:
        """Answer commands until stopped or idle for too long."""
        await self._listen(endpoint)
        tasks = [
            asyncio.create_task(work) for work in (self._work(), self._keep_leases(), self._keep_reachable())
        ]
        await self.ended.wait()
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._server.close()
        if self.worker is not None:
            await self.worker.end()
        self._endpoint.close()

    async def _listen(self, endpoint: runtime.Endpoint) -> None:
        self._endpoint = endpoint
        self._server = await asyncio.start_unix_server(self._answer, sock=endpoint.socket, limit=LARGEST_LINE)

    async def _keep_reachable(self) -> None:
        """Listen again whenever the folder is removed; end if another engine has taken it meanwhile."""
        while True:
            await asyncio.sleep(runtime.WATCH_SECONDS)
            if await asyncio.to_thread(self._endpoint.is_there):
                continue
            self._server.close()
            self._endpoint.close()
            try:
                await self._listen(await asyncio.to_thread(runtime.open_endpoint))
            except BlockingIOError:
                # With work this one continues, and listens again once the other has ended.
                if not self._held():
                    _log("another engine has taken the folder; this one has no work and ends")
                    self.ended.set()
            except OSError as error:
                _log(f"this engine cannot be reached anywhere: {error}")
            else:
                _log(f"listening in {self._endpoint.folder} again")
                await self._renew_leases()  # their marks may be gone with the folder

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
            return self._status(f"this command is not understood: {error}")
        match command:
            case Start():
                return self._accept(command)
            case Cancel(session):
                self._cancel(session)
            case Warm(environment):
                if self.running is None:  # a worker that is running has the environment of its own request
                    await self._warm_worker(environment)
            case Stop():
                for run in self._held():
                    self._cancel(run.start.session)
                self._background(self._end_when_idle())
            case Status():
                pass
        return self._status()

    def _accept(self, start: Start) -> Reply:
        """Queue a session if its journal can be written; say why not otherwise."""
        try:
            self.queue.append(Run(start))
        except BlockingIOError:
            return self._status("this session is already being written")
        except OSError as error:
            return self._status(f"{start.session}: {_words(error)}")
        except (InputError, JournalError) as error:
            return self._status(str(error))
        self.wake.set()
        return self._status()

    def _status(self, refused: str = "") -> Reply:
        return Reply(
            ok=not refused,
            reason=refused,
            running=self.running.start.session if self.running else "",
            queued=tuple(run.start.session for run in self.queue),
            worker=self.worker is not None and self.worker.alive,
            process=os.getpid(),
            version=version("qood-tui"),
            place=paths.program(),
        )

    async def _warm_worker(self, environment: dict[str, str]) -> WorkerProcess:
        """Return a live worker with this environment, and so its devices and caches."""
        async with self._starting:
            if self.worker is not None and self.worker.alive and self.worker.environment != environment:
                await self.worker.end()
            if self.worker is None or not self.worker.alive:
                self.worker = await WorkerProcess.start(environment)
            return self.worker

    def _cancel(self, session: str) -> None:
        for run in [run for run in self.queue if run.start.session == session]:
            self.queue.remove(run)
            run.close("cancelled", STOPPED)
        if self.running and self.running.start.session == session and not self.running.is_cancelled():
            self.running.cancel()
            if self.worker:
                self.worker.send(Cancel(session))
                self._background(self._escalate(self.running, self.worker))

    async def _escalate(self, run: Run, worker: WorkerProcess) -> None:
        await asyncio.sleep(GRACE_SECONDS)
        if self.running is run:
            await worker.end()

    async def _end_when_idle(self) -> None:
        while self.running or self.queue:
            await asyncio.sleep(0.1)
        self.ended.set()

    async def _keep_leases(self) -> None:
        """Renew the leases of all held sessions, and release those that were taken over."""
        while True:
            await asyncio.sleep(lease.RENEW_SECONDS)
            await self._renew_leases()

    async def _renew_leases(self) -> None:
        for run in self._held():
            try:
                await asyncio.to_thread(run.writer.renew)  # a disk on the network may take its time
            except lease.LeaseLost as error:
                if run in self._held():
                    await self._let_go(run, str(error))
            except OSError as error:
                _log(f"{run.start.session}: its lease will be renewed later: {error}")

    async def _let_go(self, run: Run, why: str) -> None:
        _log(why)
        if run is not self.running:
            self.queue.remove(run)
            run.writer.abandon()
        elif self.worker is not None:
            await self.worker.end()  # the run ends with it, since nothing can be appended

    def _held(self) -> list[Run]:
        return [*self.queue, *([self.running] if self.running else [])]

    def _background(self, work: object) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

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
            await self._run(self.running)
            self.running = None
            self.contact = time.monotonic()

    async def _run(self, run: Run) -> None:
        """Run one session to its closing event, whatever happens on the way."""
        telemetry = asyncio.create_task(self._watch_machine(run.writer))
        try:
            outcome, reason = await self._attempts(run)
        except lease.LeaseLost as error:
            outcome, reason = "failed", str(error)
        except OSError as error:
            outcome, reason = "failed", f"{_words(error)}; everything finished before is kept"
        except Exception as error:
            # A defect in one session must not take the daemon and the queue with it.
            outcome, reason = "failed", f"a defect in the engine ({type(error).__name__}: {error})"
        telemetry.cancel()
        if outcome == "failed" and self.worker is not None:
            # It may still be working on the job that failed here.
            await self.worker.end()
        run.close(outcome, reason)

    async def _attempts(self, run: Run) -> tuple[str, str]:
        start, writer = run.start, run.writer
        for restarts in range(MOST_RESTARTS + 1):
            writer.append(PhaseChanged("starting"))
            worker = await self._warm_worker(start.resources.environment)
            if run.is_cancelled():
                return "cancelled", STOPPED
            rows = writer.finished_rows
            worker.send(Job(start.session, writer.plan, start.resources, rows, writer.owner))
            ended = await self._follow(worker, writer)
            if ended is not None:
                return ended.outcome, ended.reason
            if run.is_cancelled():
                return "cancelled", STOPPED
            writer.append(WorkerDied(worker.epitaph(), restarts < MOST_RESTARTS))
        return "failed", f"{worker.epitaph()}; given up after {MOST_RESTARTS + 1} attempts"

    async def _follow(self, worker: WorkerProcess, writer: Writer) -> Ended | None:
        """Append the worker's events until the job ends; return None if the worker died."""
        while (message := await worker.receive()) is not None:
            if isinstance(message, Ended):
                return message
            if isinstance(message, Idle):
                continue
            if isinstance(message, WorkerStarted):
                worker.machine.watch(tuple(message.accelerators))
            if isinstance(message, ChunkFinished) and message.first == writer.finished_rows:
                writer.finished_rows += message.rows
            writer.append(message)
        return None

    async def _watch_machine(self, writer: Writer) -> None:
        while True:
            if self.worker and self.worker.alive:
                with contextlib.suppress(OSError, ValueError, lease.LeaseLost):
                    writer.append(self.worker.machine.measure())
            await asyncio.sleep(TELEMETRY_SECONDS)


def main() -> None:
    """Run the daemon of this user; a second one ends at once."""
    try:
        endpoint = _opened()
    except OSError as error:
        _log(f"this engine cannot be reached anywhere: {error}")
        return
    if endpoint is None:
        return
    _log(f"engine {version('qood-tui')} started, process {os.getpid()}, listening in {endpoint.folder}")
    asyncio.run(Daemon().serve(endpoint))


def _opened() -> runtime.Endpoint | None:
    """Open an endpoint; wait a while for an engine that is just ending, and return None if it does not."""
    deadline = time.monotonic() + LOCK_SECONDS
    while time.monotonic() < deadline:
        try:
            return runtime.open_endpoint()
        except BlockingIOError:
            time.sleep(0.1)
    return None


def _words(error: OSError) -> str:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return "the disk is full" if full else f"the journal cannot be written ({error.strerror or error})"


def _peer_user(sender: asyncio.StreamWriter) -> int:
    peer = sender.get_extra_info("socket")
    if hasattr(socket, "SO_PEERCRED"):
        credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", credentials)[1])
    return os.getuid()  # elsewhere the mode of the socket's folder keeps others out


def _log(text: str) -> None:
    with contextlib.suppress(OSError):  # the disk of the log is full
        sys.stderr.write(f"{time.strftime('%Y-%m-%d %H:%M:%S %z')} {text}\n")
        sys.stderr.flush()


if __name__ == "__main__":
    main()
