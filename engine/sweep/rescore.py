"""`qood-tui sessions rescore`: add scores to a finished session from the outputs that it kept; no model runs.

A score is computed as the sweep would have: by the same code, chunk by chunk, on one thread a variant.
Nothing is written before everything is known.
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
    parser.add_argument("session", help="its name or folder")
    words = "scores to add, such as knn or vim,knn:k=10"
    parser.add_argument("--score", action="append", default=[], metavar="A,B", help=words)
    parser.add_argument(
        "--headline", metavar="NAME", help="the score that deltas are measured under from now on"
    )


def run(given: argparse.Namespace) -> int:
    """Carry the command out; raise a QoodError in words."""

    def tell(text: str) -> None:
        sys.stderr.write(clean(text) + "\n")

    torch.set_num_threads(1)
    asked = [text for part in given.score for text in part.split(",") if text.strip()]
    try:
        for line in rescore(store.find(given.session).resolve(), asked, given.headline, tell):
            sys.stdout.write(clean(line) + "\n")
    except KeyboardInterrupt:
        tell("stopped; the session is as it was")
        return CANCELLED
    return FINISHED


def rescore(
    session: Path, asked: Sequence[str], headline: str | None, tell: Callable[[str], None]
) -> list[str]:
    """Add scores to a session, make one its headline, measure everything; return what was done in words.

    Scores are given as `knn` or `knn:k=10`; one that is there already is computed again and compared. `tell`
    hears of every variant. Raises InputError for what cannot be meant, JournalError for damage, EngineError
    where something cannot be computed or written; then the session is as it was.
    """
    if not asked and headline is None:
        raise InputError("score", "nothing", "give --score NAME, or --headline NAME of a score that is there")
    begun = opened(session)
    wanted = dict(_parsed(text) for text in asked)
    _check_parameters(begun.plan, wanted)
    new = tuple(name for name in wanted if name not in begun.plan.scores)
    parameters = {name: wanted[name] for name in new if wanted[name]}
    added = ScoresAdded(new, parameters, headline or begun.plan.headline, {}, versions())
    plan = _extended(begun.plan, added)
    addition.check_writable(session)
    said: list[AnyEvent] = []
    with threads.pool(usable_cores()) as pool:
        computed = _computed(begun, plan, tuple(wanted), said.append, tell, pool) if wanted else {}
        words = [_compared(name, begun, computed.pop(name)) for name in wanted if name in begun.arrays.names]
        _check_values(computed, begun, said)
        if plan == begun.plan and begun.is_closed:
            return words
        said += _measured(begun, plan, computed, pool)
    digests = {
        name: hashlib.sha256(array[: begun.rows].tobytes()).hexdigest() for name, array in computed.items()
    }
    logged = {event.text for event in begun.of(Logged)}
    events = [e for e in said if not (isinstance(e, Logged) and e.text in logged)]
    if plan != begun.plan:
        events.insert(0, msgspec.structs.replace(added, digests=digests))
    addition.add(session, begun.last, computed, events)
    scope = f"{counted(begun.rows, 'image')} and {counted(len(begun.classes), 'variant')}"
    words += [f"{name}: added for {scope}" for name in new]
    return [*words, f"headline: {plan.headline}"]


def opened(folder: Path) -> Session:
    """Open a finished session; raise InputError for one that is not, JournalError for one that is damaged.

    Every finished row of it is as it was written.
    """
    store.check_own(folder)
    session = Session.at(folder)
    if session.state != "finished":
        right = "a finished one is needed"
        right += "; resume it first with: qood-tui run --resume" if session.state != "running" else ""
        raise InputError("session", f"{folder.name}, {session.state}", right)
    journal = session.journal
    if journal.skipped or journal.torn:
        wrong = journal.damage[0] if journal.damage else "its last line is not finished"
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
                    f"{session.place.where(array_file(name))} is not what was written, in rows {first:,} to "
                    f"{first + rows - 1:,}; 'qood-tui sessions verify' tells more"
                )


def _parsed(text: str) -> tuple[str, Parameters]:
    name, parameters = scorers.parse(text)
    try:
        scorers.check(name, parameters)
    except ScoreError as error:
        raise InputError("score", text, str(error)) from None
    return name, parameters


def _check_parameters(plan: Plan, wanted: dict[str, Parameters]) -> None:
    """Raise InputError for a score that is in a plan with other parameters: there is one array a score."""
    for name, parameters in wanted.items():
        usual = scorers.defaults(name)
        here = {**usual, **plan.score_parameters.get(name, {})}
        if name in stored_scores(plan) and here != {**usual, **parameters}:
            there = ", ".join(f"{key} = {value}" for key, value in here.items())
            right = f"it is in this session with {there}, and a session has each score once"
            raise InputError("score", ":".join([name, *(f"{k}={v}" for k, v in parameters.items())]), right)


def _extended(plan: Plan, added: ScoresAdded) -> Plan:
    """Return a plan with what is added; raise InputError if it would be none."""
    scores = (*plan.scores, *added.scores)
    if added.headline not in scores:
        raise unknown_name("headline", added.headline, scores)
    more = with_scores(plan, added)
    if more.scores != scores:
        raise InputError("score", list(added.scores), "a session has room for no more scores")
    return more


def _computed(
    session: Session,
    plan: Plan,
    names: tuple[str, ...],
    emit: Callable[[AnyEvent], None],
    tell: Callable[[str], None],
    pool: ThreadPoolExecutor,
) -> dict[str, Array]:
    """Return scores by name, each (rows, variants): NaN without a value, 0 in rows that are not finished."""
    if not plan.keep_outputs:
        right = f"it kept no logits and features, from which scores are computed; {KEEP}"
        raise InputError("session", session.name, right)
    outputs = session.outputs
    if len(outputs) < session.rows:
        raise JournalError(
            f"{session.place.where(OUTPUTS)}: {session.rows:,} rows are needed, {len(outputs):,} are there"
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
                f"{session.place.where(OUTPUTS)}: what is kept of {key} for the fit set is damaged"
            )
        functions = fitting.fitted(key, names, _fit_set(fit))
        read = {}
        for chunk in session.chunks:
            logits, features = outputs.part(column, chunk.first, chunk.rows)
            read[chunk.first] = digest_of(logits, features)
            with torch.inference_mode():
                seen = Outputs(torch.from_numpy(logits), torch.from_numpy(features))
                for name, function in functions.items():
                    computed[name][chunk.first : chunk.first + chunk.rows, column] = function(seen).numpy()
        tell(f"{key}: {', '.join(names)}")
        return read

    read = dict(zip(outputs.columns, pool.map(of_variant, outputs.columns), strict=True))
    for chunk in session.chunks:
        here = joined({column: digests[chunk.first] for column, digests in read.items()})
        if here != chunk.digests.get(OUTPUTS):
            rows = f"rows {chunk.first:,} to {chunk.first + chunk.rows - 1:,}"
            raise JournalError(f"{session.place.where(OUTPUTS)}: {rows} are not those that were written")
    return computed


def _fit_set(arrays: dict[str, Array]) -> FitSet:
    """Return kept arrays as the sweep fits scores on them."""
    fit = {name: torch.from_numpy(array) for name, array in arrays.items()}
    outputs = Outputs(fit["fit_logits"], fit["fit_features"].double())
    return FitSet(outputs, fit["fit_labels"], Head(fit["weight"], fit["bias"]))


def _compared(name: str, session: Session, computed: Array) -> str:
    """Say how a score that is there compares with what was computed; raise EngineError if it is another."""
    here, now = session.arrays.array(name)[: session.rows], computed[: session.rows]
    if np.array_equal(here, now, equal_nan=True):
        return f"{name}: already there; recomputed, all {here.size:,} numbers are identical"
    worst = float(np.nanmax(np.abs(here - now), initial=0.0))
    largest = float(np.nanmax(np.abs(here), initial=0.0))
    if not np.array_equal(np.isnan(here), np.isnan(now)) or worst > NEAR * largest:
        raise EngineError(
            f"{name}: computed again, it is up to {short(worst, 2)} away from what the session has, although "
            "neither was changed; scores of this program do not belong beside those, so nothing is added"
        )
    rounding = f"{short(worst, 1)} at most, which is rounding"
    return f"{name}: already there; recomputed, it differs by {rounding}"


def _check_values(computed: dict[str, Array], session: Session, said: Iterable[AnyEvent]) -> None:
    """Raise EngineError for a score that has no value anywhere: a session would have it for good."""
    for name, array in computed.items():
        if np.isnan(array[: session.rows]).all():
            why = next((e.text for e in said if isinstance(e, Logged) and f"{name}:" in e.text), "it is NaN")
            raise EngineError(f"{name} has no value in this session, so it is not added ({why})")


def _measured(
    session: Session, plan: Plan, computed: dict[str, Array], pool: ThreadPoolExecutor
) -> list[AnyEvent]:
    """Return what a sweep of this plan would have said at its end."""
    if session.prepared is None:
        raise JournalError(
            f"{session.place.where('')}: the journal does not say which images its rows are of"
        )
    events: list[AnyEvent] = []
    progress = Progress(plan, events.append)
    progress.classes = session.classes
    arrays = session.arrays.extended(plan, computed)
    progress.measure(arrays, session.rows, session.planned, pool, last=True)
    return events
