"""`qood-tui sessions rescore`: add scores to a finished session from its kept outputs; no model runs.

Scores are computed as the sweep would have: by the same code, chunk by chunk, one thread per variant.
Nothing is written until everything is computed.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from engine.errors import CANCELLED, FINISHED, EngineError, InputError, JournalError, ScoreError, unknown_name
from engine.plan.plan import Plan
from engine.plan.variants import Column
from engine.protocol.events import (
    AnyEvent,
    Logged,
    OutputsKept,
    ScoresAdded,
)
from engine.scores import scorers
from engine.scores.outputs import FitSet, Head, Outputs
from engine.session import addition, store
from engine.session.arrays import Array, stored_scores
from engine.session.layout import OUTPUTS, array_file
from engine.session.outputs import digest_of, joined
from engine.session.session import Session, with_scores
from engine.sweep import threads
from engine.sweep.fitting import Fitting
from engine.sweep.progress import Progress
from engine.system.machine import usable_cores, versions
from engine.text import clean, counted, short

KEEP = "sweep again with: qood-tui run … --keep-outputs"
NEAR = 1e-6  # of a score's range: more than rounding on another device would change
Parameters = dict[str, Any]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("session", help="name or folder of the session")
    words = "scores to add, such as knn or vim,knn:k=10"
    parser.add_argument("--score", action="append", default=[], metavar="A,B", help=words)
    parser.add_argument("--headline", metavar="NAME", help="measure deltas under this score from now on")


def run(options: argparse.Namespace) -> int:
    """Run the command; raise a QoodError."""

    def log(text: str) -> None:
        sys.stderr.write(clean(text) + "\n")

    torch.set_num_threads(1)
    asked = [text for part in options.score for text in part.split(",") if text.strip()]
    try:
        for line in rescore(store.find(options.session).resolve(), asked, options.headline, log):
            sys.stdout.write(clean(line) + "\n")
    except KeyboardInterrupt:
        log("stopped; the session is unchanged")
        return CANCELLED
    return FINISHED


def rescore(
    session: Path, asked: Sequence[str], headline: str | None, log: Callable[[str], None]
) -> list[str]:
    """Add scores to a session, make one its headline, measure everything; return what was done, line by line.

    Scores are written `knn` or `knn:k=10`; one that is already there is recomputed and compared. `log` gets a
    line per variant. Raises InputError for a request that makes no sense, JournalError for damage, and
    EngineError if something cannot be computed or written; the session is then unchanged.
    """
    if not asked and headline is None:
        raise InputError(
            "score", None, "give --score NAME, or --headline NAME to choose a score that is there"
        )
    begun = opened(session)
    wanted = dict(_parsed(text) for text in asked)
    _check_parameters(begun.plan, wanted)
    new = tuple(name for name in wanted if name not in begun.plan.scores)
    parameters = {name: wanted[name] for name in new if wanted[name]}
    added = ScoresAdded(new, parameters, headline or begun.plan.headline, {}, versions())
    plan = _extended(begun.plan, added)
    addition.check_writable(session)
    emitted: list[AnyEvent] = []
    with threads.pool(usable_cores()) as pool:
        computed = _computed(begun, plan, tuple(wanted), emitted.append, log, pool) if wanted else {}
        words = [_compared(name, begun, computed.pop(name)) for name in wanted if name in begun.arrays.names]
        _check_values(computed, begun, emitted)
        if plan == begun.plan and begun.is_closed:
            return words
        emitted += _measured(begun, plan, computed, pool)
    digests = {
        name: hashlib.sha256(array[: begun.rows].tobytes()).hexdigest() for name, array in computed.items()
    }
    logged = {event.text for event in begun.of(Logged)}
    events = [e for e in emitted if not (isinstance(e, Logged) and e.text in logged)]
    if plan != begun.plan:
        events.insert(0, msgspec.structs.replace(added, digests=digests))
    addition.add(session, begun.last, computed, events)
    scope = f"{counted(begun.rows, 'image')} and {counted(len(begun.classes), 'variant')}"
    words += [f"{name}: added for {scope}" for name in new]
    return [*words, f"headline: {plan.headline}"]


def opened(folder: Path) -> Session:
    """Open a finished session; raise InputError if it is not finished, JournalError if it is damaged.

    Checks that every finished row is as it was written.
    """
    store.check_own(folder)
    session = Session.at(folder)
    if session.state != "finished":
        right = "a finished session is needed"
        right += "; resume it first with: qood-tui run --resume" if session.state != "running" else ""
        raise InputError("session", f"{folder.name}, {session.state}", right)
    journal = session.journal
    if journal.skipped or journal.torn:
        wrong = journal.damage[0] if journal.damage else "its last line is incomplete"
        raise JournalError(f"{folder}: the journal is damaged ({wrong}), so nothing is added to it")
    _check_rows(session)
    return session


def _check_rows(session: Session) -> None:
    """Raise JournalError if a row is not what was written."""
    parts = [(chunk.first, chunk.rows, chunk.digests) for chunk in session.chunks]
    parts += [(0, session.rows, event.digests) for event in session.of(ScoresAdded)]
    for first, rows, written in parts:
        here = session.arrays.digests(first, rows)
        for name, digest in written.items():
            if name != OUTPUTS and here.get(name) != digest:
                raise JournalError(
                    f"{session.place.where(array_file(name))} differs from what was written, in rows "
                    f"{first:,} to {first + rows - 1:,}; run 'qood-tui sessions verify' for more"
                )


def _parsed(text: str) -> tuple[str, Parameters]:
    name, parameters = scorers.parse(text)
    try:
        scorers.check(name, parameters)
    except ScoreError as error:
        raise InputError("score", text, str(error)) from None
    return name, parameters


def _check_parameters(plan: Plan, wanted: dict[str, Parameters]) -> None:
    """Raise InputError for a score that is in a plan with other parameters: there is one array per score."""
    for name, parameters in wanted.items():
        usual = scorers.defaults(name)
        here = {**usual, **plan.score_parameters.get(name, {})}
        if name in stored_scores(plan) and here != {**usual, **parameters}:
            there = ", ".join(f"{key} = {value}" for key, value in here.items())
            right = f"this session has it with {there}, and can hold each score only once"
            raise InputError("score", ":".join([name, *(f"{k}={v}" for k, v in parameters.items())]), right)


def _extended(plan: Plan, added: ScoresAdded) -> Plan:
    """Return a plan with the added scores; raise InputError if it would not be valid."""
    scores = (*plan.scores, *added.scores)
    if added.headline not in scores:
        raise unknown_name("headline", added.headline, scores)
    more = with_scores(plan, added)
    if more.scores != scores:
        raise InputError("score", list(added.scores), "a session cannot hold more scores")
    return more


def _computed(
    session: Session,
    plan: Plan,
    names: tuple[str, ...],
    emit: Callable[[AnyEvent], None],
    log: Callable[[str], None],
    pool: ThreadPoolExecutor,
) -> dict[str, Array]:
    """Return scores by name, each (rows, variants): NaN where there is no value, 0 in unfinished rows."""
    if not plan.keep_outputs:
        right = f"it did not keep the logits and features that scores are computed from; {KEEP}"
        raise InputError("session", session.name, right)
    outputs = session.outputs
    if len(outputs) < session.rows:
        raise JournalError(
            f"{session.place.where(OUTPUTS)}: {session.rows:,} rows are needed, it has {len(outputs):,}"
        )
    fits = next((event.fits for event in reversed(session.of(OutputsKept))), {})
    computed = {name: np.zeros((session.arrays.count, len(plan.variants()))) for name in names}
    for array in computed.values():
        array[: session.rows] = np.nan
    fitting = Fitting(plan, emit)

    def of_variant(column: Column) -> dict[int, str]:
        """Fill in one column; return the digests of what was read, by row."""
        key = plan.variants()[column].key
        fit = outputs.fit(column)
        if digest_of(*fit.values()) != fits.get(key):
            raise JournalError(
                f"{session.place.where(OUTPUTS)}: the kept outputs of {key} for the fit set are damaged"
            )
        functions = fitting.fitted(key, names, _fit_set(fit))
        read = {}
        for chunk in session.chunks:
            logits, features = outputs.part(column, chunk.first, chunk.rows)
            read[chunk.first] = digest_of(logits, features)
            with torch.inference_mode():
                kept = Outputs(torch.from_numpy(logits), torch.from_numpy(features))
                for name, function in functions.items():
                    computed[name][chunk.first : chunk.first + chunk.rows, column] = function(kept).numpy()
        log(f"{key}: {', '.join(names)}")
        return read

    read = dict(zip(outputs.columns, pool.map(of_variant, outputs.columns), strict=True))
    for chunk in session.chunks:
        here = joined({column: digests[chunk.first] for column, digests in read.items()})
        if here != chunk.digests.get(OUTPUTS):
            rows = f"rows {chunk.first:,} to {chunk.first + chunk.rows - 1:,}"
            raise JournalError(f"{session.place.where(OUTPUTS)}: {rows} differ from what was written")
    return computed


def _fit_set(arrays: dict[str, Array]) -> FitSet:
    """Return kept arrays as the sweep fits scores on them."""
    fit = {name: torch.from_numpy(array) for name, array in arrays.items()}
    outputs = Outputs(fit["fit_logits"], fit["fit_features"].double())
    return FitSet(outputs, fit["fit_labels"], Head(fit["weight"], fit["bias"]))


def _compared(name: str, session: Session, computed: Array) -> str:
    """Return how a recomputed score compares with the session's; raise EngineError if it differs."""
    here, now = session.arrays.array(name)[: session.rows], computed[: session.rows]
    if np.array_equal(here, now, equal_nan=True):
        return f"{name}: already there; recomputed, all {here.size:,} numbers are identical"
    worst = float(np.nanmax(np.abs(here - now), initial=0.0))
    largest = float(np.nanmax(np.abs(here), initial=0.0))
    if not np.array_equal(np.isnan(here), np.isnan(now)) or worst > NEAR * largest:
        raise EngineError(
            f"{name}: recomputed, it differs from the session's by up to {short(worst, 2)}, more than "
            "rounding explains. This program computes scores differently, so nothing is added"
        )
    return f"{name}: already there; recomputed, it differs by at most {short(worst, 1)}, which is rounding"


def _check_values(computed: dict[str, Array], session: Session, emitted: Iterable[AnyEvent]) -> None:
    """Raise EngineError for a score that has no value anywhere: a session would keep it for good."""
    for name, array in computed.items():
        if np.isnan(array[: session.rows]).all():
            why = next(
                (e.text for e in emitted if isinstance(e, Logged) and f"{name}:" in e.text), "it is NaN"
            )
            raise EngineError(f"{name} has no value in this session, so it is not added ({why})")


def _measured(
    session: Session, plan: Plan, computed: dict[str, Array], pool: ThreadPoolExecutor
) -> list[AnyEvent]:
    """Return the events that a sweep of this plan would have emitted at its end."""
    if session.prepared is None:
        raise JournalError(
            f"{session.place.where('')}: the journal does not say which images its rows belong to"
        )
    events: list[AnyEvent] = []
    progress = Progress(plan, events.append)
    progress.classes = session.classes
    arrays = session.arrays.extended(plan, computed)
    progress.measure(arrays, session.rows, session.planned, pool, last=True)
    return events
