"""Add to a finished session: new arrays, then events; all or nothing."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from engine.errors import EngineError, QoodError
from engine.protocol.events import AnyEvent
from engine.session.arrays import Array
from engine.session.layout import ARRAYS, JOURNAL, array_file
from engine.session.lease import LeaseLost
from engine.session.session import Session
from engine.session.writer import Writer
from engine.system.files import open_new, sync_folder

AS_IT_WAS = "the session is unchanged"


def check_writable(session: Path) -> None:
    """Raise a QoodError if a session cannot be added to at the moment."""
    writer = _taken(session)
    writer.release_reserve()
    writer.abandon()


def add(session: Path, last: int, arrays: Mapping[str, Array], events: Sequence[AnyEvent]) -> None:
    """Add arrays by name, then events, and close the journal again as finished.

    `last` is the number of the journal's last entry. Raises EngineError if the journal has grown since, or if
    the disk cannot hold what is added.
    """
    partial = {name: session / ARRAYS / f"{name}.{os.getpid()}.partial" for name in arrays}
    try:
        for name, array in arrays.items():
            with open_new(partial[name]) as file:
                np.save(file, array, allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())
        _commit(session, last, partial, events)
    except OSError as error:
        raise EngineError(f"{session}: {error.strerror or error}; {AS_IT_WAS}") from None
    finally:
        for path in partial.values():
            path.unlink(missing_ok=True)


def _commit(session: Path, last: int, partial: Mapping[str, Path], events: Sequence[AnyEvent]) -> None:
    writer = _taken(session)
    path = session / JOURNAL
    whole = path.stat().st_size
    placed: list[Path] = []
    try:
        if Session.at(session).journal.expected != last + 1:
            raise EngineError(f"{session}: something else was added in the meantime; try again")
        for name, made in partial.items():
            placed.append(made.replace(session / array_file(name)))
        sync_folder(session / ARRAYS)
        for event in events:
            writer.append(event)
        writer.close("finished")
    except LeaseLost:  # another process has the journal now
        writer.abandon()
        raise
    except BaseException:
        # Arrays mean nothing without their events, nor do incomplete events.
        with contextlib.suppress(OSError):
            os.truncate(path, whole)
        for array in placed:
            array.unlink(missing_ok=True)
        writer.release_reserve()
        writer.abandon()
        raise


def _taken(session: Path) -> Writer:
    """Return the session's writer; raise a QoodError if there is another one or the disk refuses."""
    try:
        return Writer(session)
    except BlockingIOError:
        raise EngineError(f"{session}: it is being written; try again later") from None
    except QoodError:
        raise
    except OSError as error:
        raise EngineError(f"{session}: {error.strerror or error}; {AS_IT_WAS}") from None
