"""Talk to the engine daemon; start it if it is not running."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import IO

import msgspec

from engine.errors import EngineError
from engine.plan.resources import Resources, own_environment, remember
from engine.protocol.events import Entry, SessionClosed
from engine.protocol.messages import Cancel, Command, Reply, Start, Status, Stop, Warm
from engine.session.place import Folder
from engine.session.session import Session
from engine.system import environment, paths, runtime

START_SECONDS = 20.0
LISTENS_AGAIN_SECONDS = 4 * runtime.WATCH_SECONDS
ELSEWHERE = "set QOOD_RUNTIME to a folder on a local disk"
LOST_SECONDS = 3.0

_reply = msgspec.json.Decoder(Reply)


def call(command: Command) -> Reply | None:
    """Send one command; return the answer, or None where no daemon listens."""
    return next(_answers(command), None)


def _answers(command: Command) -> Iterator[Reply]:
    """Yield the answer from every folder that an engine can be reached in."""
    line = msgspec.json.encode(command)
    for folder in runtime.folders():
        with contextlib.suppress(OSError, msgspec.DecodeError):
            if answer := runtime.ask(folder, line):
                yield _reply.decode(answer)


def ensure() -> Reply:
    """Return the status of the daemon, started if need be; raise EngineError with the path of its log."""
    reply = call(Status())
    if reply is not None and not _is_own(reply):
        if reply.running:
            raise EngineError(
                f"the engine of {reply.place} (version {reply.version}) is working on {reply.running}; "
                "wait for it, or stop it with 'qood-tui stop'"
            )
        call(Stop())
        reply = None
    if reply is not None:
        return reply
    log = _launch()
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if (reply := call(Status())) is not None and _is_own(reply):
            return reply
        time.sleep(0.05)
    try:
        runtime.usable_folder()
    except OSError as error:
        why = error.strerror or error
        raise EngineError(f"no folder can be used to reach the engine ({why}); {ELSEWHERE}") from None
    raise EngineError(f"the engine did not start within {START_SECONDS:.0f} s; its log is {log}")


def start(session: Path, resources: Resources, *, take_over: bool = False) -> None:
    """Queue a session whose journal has been made; raise EngineError if the daemon refuses.

    `take_over` says that another machine that was writing it has stopped.
    """
    resources = msgspec.structs.replace(resources, environment=own_environment())
    begin = Start(str(session.resolve()), resources, take_over)
    ensure()
    if (reply := call(begin)) is None:  # it was just ending
        ensure()
        reply = call(begin)
    if reply is None or not reply.ok:
        raise EngineError(reply.reason if reply else "the engine does not answer")
    remember(Session.at(session).header.id, resources)


def warm() -> None:
    """Start daemon and worker ahead of need."""
    ensure()
    call(Warm(own_environment()))


def cancel(session: Path) -> None:
    """Ask for a session to stop; what is finished is kept."""
    list(_answers(Cancel(str(session.resolve()))))


def stop() -> bool:
    """End the daemon and whatever it runs; return whether there was one."""
    if stopped := list(_answers(Stop())):
        return bool(stopped)
    time.sleep(LISTENS_AGAIN_SECONDS)  # one whose folder was just removed
    return bool(list(_answers(Stop())))


def watch(session: Path, beyond: int = 0, every: float = 0.1) -> Iterator[list[Entry]]:
    """Yield what is in a session and what is appended until it is closed after entry `beyond`.

    Raises EngineError if the session is no longer being written.
    """
    reader = Session.at(session).follow()
    asked = time.monotonic()
    while True:
        entries = reader.poll()
        yield entries
        if any(isinstance(e.event, SessionClosed) and e.seq > beyond for e in entries):
            return
        if time.monotonic() - asked > LOST_SECONDS:
            asked = time.monotonic()
            if not Folder(session).is_being_written():
                yield (last := reader.poll())
                if any(isinstance(e.event, SessionClosed) and e.seq > beyond for e in last):
                    return
                raise EngineError(
                    f"the engine ended before the session did. What is finished is kept; resume with "
                    f"'qood-tui run --resume {session}'. The engine's log is {paths.log_file('engine')}"
                )
        time.sleep(every)


def _is_own(reply: Reply) -> bool:
    return (reply.version, reply.place) == (version("qood-tui"), paths.program())


def _launch() -> str:
    """Start the daemon in a session of its own, so that a closing terminal does not end it.

    Returns the path of its log, or why there is none.
    """
    variables = environment.without_secret_variables()
    if "QOOD_RUNTIME" in variables:  # the daemon leaves the folder that a relative path starts from
        variables["QOOD_RUNTIME"] = str(runtime.wanted())
    with contextlib.ExitStack() as opened:
        try:
            log = paths.log_file("engine").absolute()
            file: int | IO[bytes] = opened.enter_context(log.open("ab"))
            variables["QOOD_LOGS"], log_place = str(log.parent), str(log)
        except OSError as error:
            file = subprocess.DEVNULL
            log_place = f"nowhere, since it cannot be written ({error.strerror}; QOOD_LOGS moves it)"
        subprocess.Popen(
            [sys.executable, "-m", "engine.service.daemon"],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            cwd="/",
            env=variables,
        )
    return log_place
