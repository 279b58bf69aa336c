"""A session: what a place with a journal holds, read once. Every reader of sessions uses it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from engine.errors import InputError, JournalError
from engine.plan.plan import Plan
from engine.plan.validation import check_shape
from engine.protocol.events import (
    LARGEST_LINE,
    AnyEvent,
    ChunkFinished,
    Entry,
    Header,
    ScoresAdded,
    SessionClosed,
    SessionResumed,
    SetsPrepared,
    VariantFailed,
    VariantReady,
    WorkerStarted,
)
from engine.session import attempts, notes
from engine.session.archive_file import ArchiveFile
from engine.session.journal import Reader
from engine.session.layout import ARRAYS, JOURNAL, SessionFile
from engine.session.place import Folder, Place

if TYPE_CHECKING:
    from engine.session.arrays import Arrays, FinishedRows
    from engine.session.outputs import KeptOutputs

Kind = TypeVar("Kind")


class Session:
    """One sweep on disk or in an archive. The header is read now, everything else on first use.

    Nothing is read twice, so a growing session stays as it was when read; `follow` keeps reading.
    Raises JournalError if there is no journal; so does everything else that cannot be read.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self._reader = Reader(place)

    @classmethod
    def at(cls, path: Path) -> Session:
        """Return the session in a folder or a `.qood` file; raise InputError for any other file."""
        return cls(place_at(path))

    @property
    def name(self) -> str:
        """Return the session's own name."""
        return self.place.name

    @property
    def header(self) -> Header:
        """Return the first line of the journal."""
        return self._reader.header

    @cached_property
    def entries(self) -> list[Entry]:
        """List all readable entries of the journal, whether they count or not."""
        try:
            return self._reader.poll()
        except OSError as error:
            where = self.place.where(JOURNAL)
            raise JournalError(f"{where}: it can no longer be read ({error.strerror})") from None

    @property
    def journal(self) -> Reader:
        """Return the journal's reader after it has read everything, and so knows of any damage."""
        _ = self.entries
        return self._reader

    @property
    def damaged(self) -> int:
        """Return the number of damaged, missing or unfinished lines of the journal."""
        return self.journal.skipped + bool(self.journal.torn)

    def follow(self) -> Reader:
        """Return a reader that starts at the beginning and keeps reading while the journal grows."""
        return Reader(self.place)

    def lines(self) -> Iterator[bytes]:
        """Yield the raw lines of the journal; one that is too long comes in pieces."""
        with self.place.open(JOURNAL) as file:
            while line := file.readline(LARGEST_LINE):
                yield line

    @cached_property
    def events(self) -> Sequence[AnyEvent]:
        """List the events that count."""
        return attempts.counted(entry.event for entry in self.entries)

    def of(self, kind: type[Kind]) -> list[Kind]:
        """List the events of one type that count."""
        return [event for event in self.events if isinstance(event, kind)]

    @cached_property
    def sweep(self) -> Sequence[Entry]:
        """List the entries up to the end of the sweep; scores may have been added much later."""
        return swept(self.entries)

    @cached_property
    def plan(self) -> Plan:
        """Return the plan with the scores that were added later."""
        plan = self.header.plan
        for added in self.of(ScoresAdded):
            plan = with_scores(plan, added)
        return plan

    @cached_property
    def prepared(self) -> SetsPrepared | None:
        """Return the image sets that the rows belong to; None if none were prepared."""
        return attempts.prepared_sets(self.events)

    @property
    def planned(self) -> int:
        """Return the number of rows of the whole sweep; 0 while it is unknown."""
        return self.prepared.rows if self.prepared else 0

    @cached_property
    def calibrated(self) -> dict[str, VariantReady]:
        """Return the calibrated variants, by name."""
        return {event.variant: event for event in self.of(VariantReady)}

    @property
    def classes(self) -> dict[str, int]:
        """Return the number of classes of every calibrated variant."""
        return {name: event.classes for name, event in self.calibrated.items()}

    @cached_property
    def failed(self) -> dict[str, str]:
        """Return why variants cannot be measured, by name."""
        return {event.variant: event.reason for event in self.of(VariantFailed)}

    @cached_property
    def chunks(self) -> list[ChunkFinished]:
        """List the chunks that are finished without a gap, in the order of their rows."""
        return attempts.finished_chunks(entry.event for entry in self.entries)

    @property
    def rows(self) -> int:
        """Return how many rows are finished without a gap."""
        return sum(chunk.rows for chunk in self.chunks)

    @property
    def worker(self) -> WorkerStarted | None:
        """Return the worker that finished the last chunk; None if there is none."""
        return attempts.last_worker(self.events)

    @property
    def last(self) -> int:
        """Return the number of the last entry; 0 if there is none."""
        return self.entries[-1].seq if self.entries else 0

    @property
    def is_closed(self) -> bool:
        """Return whether the journal ends with a closing event."""
        return bool(self.entries) and isinstance(self.entries[-1].event, SessionClosed)

    @cached_property
    def closed(self) -> SessionClosed | None:
        """Return how the session ended; None while it is running, or if it was interrupted.

        Unless the session was resumed, what follows its closing event belongs to scores added later.
        """
        ends = (entry.event for entry in reversed(self.entries))
        last = next((event for event in ends if isinstance(event, SessionClosed | SessionResumed)), None)
        return last if isinstance(last, SessionClosed) else None

    @cached_property
    def state(self) -> str:
        """Return finished, failed, cancelled, refused, running or interrupted."""
        if self.closed is not None:
            return self.closed.outcome
        return "running" if self.place.is_being_written() else "interrupted"

    @property
    def resumptions(self) -> int:
        """Return how many times the session was resumed."""
        return sum(isinstance(entry.event, SessionResumed) for entry in self.entries)

    @property
    def seconds(self) -> float:
        """Return how many seconds the session was being swept."""
        return seconds_of(self.entries)

    @cached_property
    def files(self) -> list[SessionFile]:
        """List the files of the session."""
        return self.place.files()

    @property
    def has_arrays(self) -> bool:
        """Return whether the session has any array."""
        return any(file.part == ARRAYS for file in self.files)

    @cached_property
    def arrays(self) -> Arrays:
        """Return the per-sample numbers, finished or not."""
        from engine.session.arrays import Arrays  # the daemon must not import numpy

        return Arrays(self.place, self.plan)

    @property
    def finished(self) -> FinishedRows:
        """Return the per-sample numbers of the finished rows."""
        return self.arrays.first(self.rows)

    @cached_property
    def outputs(self) -> KeptOutputs:
        """Return the logits and features that were kept."""
        from engine.session.outputs import KeptOutputs

        return KeptOutputs(self.place, self.plan)

    @property
    def note(self) -> str:
        """Return the user's note about the session."""
        return notes.read(self.place)


def place_at(path: Path) -> Place:
    """Return the place of a session in a folder or a `.qood` file; raise InputError for any other file."""
    return ArchiveFile(path) if path.is_file() else Folder(path)


def swept(entries: Sequence[Entry]) -> Sequence[Entry]:
    """Return the entries up to the end of a sweep; scores may have been added much later."""
    added = next((at for at, entry in enumerate(entries) if isinstance(entry.event, ScoresAdded)), None)
    return entries[:added]


def seconds_of(entries: Sequence[Entry]) -> float:
    """Return how many seconds a session was being swept, not counting interruptions."""
    sweep = swept(entries)
    paused = sum(
        entry.t - before.t for before, entry in pairwise(sweep) if isinstance(entry.event, SessionResumed)
    )
    return round(sweep[-1].t - paused, 3) if sweep else 0.0


def with_scores(plan: Plan, added: ScoresAdded) -> Plan:
    """Return a plan with scores added; unchanged if they cannot be."""
    more = msgspec.structs.replace(
        plan,
        scores=tuple(dict.fromkeys((*plan.scores, *added.scores))),
        score_parameters={**plan.score_parameters, **added.parameters},
        headline=added.headline,
    )
    try:
        check_shape(more)
    except InputError:
        return plan
    return more
