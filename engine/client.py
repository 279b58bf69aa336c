"""Talk to the engine daemon; start it where it does not run."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import msgspec

from engine import environment, journal, places
from engine.errors import EngineError
from engine.protocol import Cancel, Command, Entry, Reply, SessionClosed, Start, Status, Stop, Warm
from engine.resources import Resources, own_environment, remember

START_SECONDS = 20.0
ANSWER_SECONDS = 15.0
LOST_SECONDS = 3.0

_reply = msgspec.json.Decoder(Reply)


def call(command: Command) -> Reply | None:
    """Send one command; return the answer, or None where no daemon listens."""
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(ANSWER_SECONDS)
            line.connect(str(places.socket_path()))
            line.sendall(msgspec.json.encode(command) + b"\n")
            with line.makefile("rb") as answers:
                answer = answers.readline()
        return _reply.decode(answer) if answer else None
    except (OSError, msgspec.DecodeError):
        return None


def ensure() -> Reply:
    """Return the status of the daemon, started if need be; raise EngineError with the log's place."""
    reply = call(Status())
    if reply is not None and not _is_own(reply):
        if reply.running:
            raise EngineError(
                f"the engine of {reply.place} (version {reply.version}) is at work on {reply.running}; "
                "wait for it, or stop it with 'qood-tui stop'"
            )
        call(Stop())
        reply = None
    if reply is not None:
        return reply
    log = places.log_file("engine")
    _launch(log)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if (reply := call(Status())) is not None and _is_own(reply):
            return reply
        time.sleep(0.05)
    raise EngineError(f"the engine did not start within {START_SECONDS:.0f} s; its log is {log}")


def start(session: Path, resources: Resources, *, take_over: bool = False) -> None:
    """Queue a session whose journal has been made; raise EngineError if the daemon refuses.

    `take_over` says that another machine that was writing it has stopped.
    """
    resources = msgspec.structs.replace(resources, environment=own_environment())
    ensure()
    reply = call(Start(str(session.resolve()), resources, take_over))
    if reply is None or not reply.ok:
        raise EngineError(reply.reason if reply else "the engine does not answer")
    remember(journal.Reader(session).header.id, resources)


def warm() -> None:
    """Start daemon and worker ahead of need."""
    ensure()
    call(Warm(own_environment()))


def cancel(session: Path) -> None:
    """Ask for a session to stop; what is finished is kept."""
    call(Cancel(str(session.resolve())))


def stop() -> bool:
    """End the daemon and whatever it runs; tell whether there was one."""
    return call(Stop()) is not None


def watch(session: Path, beyond: int = 0, every: float = 0.1) -> Iterator[list[Entry]]:
    """Yield what is in a session and what is appended until it is closed after entry `beyond`.

    Raises EngineError if nobody writes the session any more.
    """
    reader = journal.Reader(session)
    asked = time.monotonic()
    while True:
        entries = reader.poll()
        yield entries
        if any(isinstance(e.event, SessionClosed) and e.seq > beyond for e in entries):
            return
        if time.monotonic() - asked > LOST_SECONDS:
            asked = time.monotonic()
            if not journal.is_being_written(session):
                yield (last := reader.poll())
                if any(isinstance(e.event, SessionClosed) and e.seq > beyond for e in last):
                    return
                raise EngineError(
                    f"the engine ended before the session did; what is finished is kept, "
                    f"go on with 'qood-tui run --resume {session}'; its log is {places.log_file('engine')}"
                )
        time.sleep(every)


def _is_own(reply: Reply) -> bool:
    return (reply.version, reply.place) == (version("qood-tui"), places.program())


def _launch(log: Path) -> None:
    """Start the daemon in a session of its own, so that a closing terminal does not take it along."""
    with log.open("ab") as file:
        subprocess.Popen(
            [sys.executable, "-m", "engine.daemon"],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            cwd="/",
            env=environment.without_secret_variables(),
        )
