"""Every message between terminal, daemon and worker, as tagged frozen Structs."""

from __future__ import annotations

import msgspec

from engine.plan.plan import Plan
from engine.plan.resources import Resources
from engine.protocol.events import AnyEvent


class Job(msgspec.Struct, frozen=True, tag="job"):
    """Daemon to worker: sweep `plan` into the folder `session`, from row `first_row` on.

    If there is an `owner`, no row is written once it has lost the session's lease.
    """

    session: str
    plan: Plan
    resources: Resources
    first_row: int
    owner: str = ""


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """Worker to daemon: the job has ended; `outcome` as in `session.closed`."""

    outcome: str
    reason: str = ""


class Idle(msgspec.Struct, frozen=True, tag="idle"):
    """Worker to daemon: everything is loaded and a job can start immediately."""


Message = AnyEvent | Ended | Idle


class Start(msgspec.Struct, frozen=True, tag="start"):
    """Client to daemon: start a session in the folder `session`, whose journal has its header.

    `take_over` says that another machine that was writing it has stopped.
    """

    session: str
    resources: Resources
    take_over: bool = False


class Cancel(msgspec.Struct, frozen=True, tag="cancel"):
    """Client to daemon, daemon to worker: stop the session and keep what is finished."""

    session: str


class Warm(msgspec.Struct, frozen=True, tag="warm"):
    """Client to daemon: start a worker now, so that a session can start immediately."""

    environment: dict[str, str] = {}


class Status(msgspec.Struct, frozen=True, tag="status"):
    """Client to daemon: report what is running."""


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """Client to daemon: cancel everything and exit."""


Command = Start | Cancel | Warm | Status | Stop


class Reply(msgspec.Struct, frozen=True):
    """Daemon to client."""

    ok: bool
    reason: str = ""
    running: str = ""
    queued: tuple[str, ...] = ()
    worker: bool = False
    process: int = 0
    version: str = ""
    place: str = ""  # the folder of the running program; each checkout has its own engine
