"""What a recorded session is, in a few lines: for `qood-tui sessions show`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from engine.session.session import Session
from engine.text import clean, in_bytes, in_utc
from qood_tui.state.findings import headline, most_lost
from qood_tui.state.state import State, fold
from qood_tui.words import duration


class About(msgspec.Struct, frozen=True):
    """A session in brief; `bytes` are on the disk, by part; `damaged` counts lines that are not whole."""

    name: str
    path: str
    id: str
    identity: str
    created: str
    app: str
    format: int
    state: str
    reason: str
    models: tuple[str, ...]
    bits: tuple[str, ...]
    method: str
    id_set: str
    ood_sets: tuple[str, ...]
    calibration: str
    scores: tuple[str, ...]
    headline: str
    seed: int
    rows: int
    images: int
    seconds: float
    resumed: int
    events: int
    unknown: int
    damaged: int
    bytes: dict[str, int]
    note: str
    left_out: tuple[str, ...]  # what went wrong: variants, images, warnings counted
    findings: tuple[str, ...]
    first_and_last: int | None = None  # bits of patch embedding and head, where they are not the setting's


def about(path: Path) -> About:
    """Read the session in a folder or a file; raise JournalError."""
    session = Session.at(path)
    header, plan, journal = session.header, session.plan, session.journal
    state = fold(header, session.entries)
    size: dict[str, int] = {}
    for file in session.files:
        size[file.part] = size.get(file.part, 0) + file.size
    draws = f", {plan.calibration_draws} draws" if plan.calibration_draws > 1 else ""
    return About(
        session.name,
        str(path.resolve()),
        header.id,
        header.identity,
        header.created,
        header.app,
        journal.version,
        session.state,
        session.closed.reason if session.closed else "",
        plan.models,
        plan.bits,
        plan.method,
        plan.id_set,
        plan.ood_sets,
        f"{plan.calibration_images} images of {plan.calibration_set}{draws}",
        plan.scores,
        plan.headline,
        plan.seed,
        session.rows,
        session.planned,
        session.seconds,
        session.resumptions,
        len(session.entries),
        journal.unknown,
        session.damaged,
        size,
        session.note,
        tuple(_left_out(state)),
        tuple(text for text in (headline(state).plain, most_lost(state).plain) if text),
        plan.first_and_last or None,
    )


def _left_out(state: State) -> Iterator[str]:
    yield from (f"{variant}: {reason}" for variant, reason in state.failed.items())
    if state.unreadable:
        yield f"{state.unreadable:,} images that cannot be read"
    if warnings := sum(line.level == "warning" for line in state.log):
        yield f"{warnings:,} warnings; 'qood-tui report' has them"


def lines(found: About) -> list[str]:
    """Return a session in brief as lines of text."""
    reason = f": {found.reason}" if found.reason else ""
    resumed = f", resumed {found.resumed} time{'s' * (found.resumed > 1)}" if found.resumed else ""
    sizes = ", ".join(f"{part} {in_bytes(size)}" for part, size in found.bytes.items())
    ends = f"; patch embedding and head at {found.first_and_last} bits" if found.first_and_last else ""
    told = {
        "session": found.name,
        "lies in": str(Path(found.path).parent),
        "id": found.id,
        "recorded": f"{in_utc(found.created, seconds=True)} by {found.app}, format {found.format}",
        "state": f"{found.state}{reason}{resumed}",
        "models": ", ".join(found.models),
        "bits": f"{', '.join(found.bits)} by {found.method}{ends}",
        "ID set": found.id_set,
        "OOD sets": ", ".join(found.ood_sets),
        "calibrated on": found.calibration,
        "scores": f"{', '.join(found.scores)}; headline {found.headline}",
        "seed": f"{found.seed}, plan {found.identity[:16]}",
        "images": f"{found.rows:,} of {found.images:,} in {duration(found.seconds)}",
        "on disk": f"{in_bytes(sum(found.bytes.values()))}: {sizes}",
    }
    if found.damaged:
        told["damage"] = f"{found.damaged:,} lines cannot be read; 'qood-tui sessions verify' names them"
    if found.unknown:
        told["unknown"] = f"{found.unknown:,} events are of kinds that this version does not know"
    told |= {f"went wrong {n}" if n > 1 else "went wrong": what for n, what in enumerate(found.left_out, 1)}
    shown = [f"{label + ':':<15}{clean(text)}" for label, text in told.items()]
    said = [*shown, "", *map(clean, found.findings)]
    return [*said, "", *map(clean, found.note.split("\n"))] if found.note else said
