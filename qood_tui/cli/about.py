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


def lines(about: About) -> list[str]:
    """Return a session in brief as lines of text."""
    reason = f": {about.reason}" if about.reason else ""
    resumed = f", resumed {about.resumed} time{'s' * (about.resumed > 1)}" if about.resumed else ""
    sizes = ", ".join(f"{part} {in_bytes(size)}" for part, size in about.bytes.items())
    ends = f"; patch embedding and head at {about.first_and_last} bits" if about.first_and_last else ""
    rows = {
        "session": about.name,
        "lies in": str(Path(about.path).parent),
        "id": about.id,
        "recorded": f"{in_utc(about.created, seconds=True)} by {about.app}, format {about.format}",
        "state": f"{about.state}{reason}{resumed}",
        "models": ", ".join(about.models),
        "bits": f"{', '.join(about.bits)} by {about.method}{ends}",
        "ID set": about.id_set,
        "OOD sets": ", ".join(about.ood_sets),
        "calibrated on": about.calibration,
        "scores": f"{', '.join(about.scores)}; headline {about.headline}",
        "seed": f"{about.seed}, plan {about.identity[:16]}",
        "images": f"{about.rows:,} of {about.images:,} in {duration(about.seconds)}",
        "on disk": f"{in_bytes(sum(about.bytes.values()))}: {sizes}",
    }
    if about.damaged:
        rows["damage"] = f"{about.damaged:,} lines cannot be read; 'qood-tui sessions verify' names them"
    if about.unknown:
        rows["unknown"] = f"{about.unknown:,} events are of kinds that this version does not know"
    rows |= {f"went wrong {n}" if n > 1 else "went wrong": what for n, what in enumerate(about.left_out, 1)}
    shown = [f"{label + ':':<15}{clean(text)}" for label, text in rows.items()]
    said = [*shown, "", *map(clean, about.findings)]
    return [*said, "", *map(clean, about.note.split("\n"))] if about.note else said
