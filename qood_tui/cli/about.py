"""A recorded session in a few lines, for `qood-tui sessions show`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from engine.session.session import Session
from engine.text import clean, counted, in_bytes, in_utc
from qood_tui.state.findings import headline, largest_loss
from qood_tui.state.state import State, fold
from qood_tui.words import duration


class About(msgspec.Struct, frozen=True):
    """A session in brief; `bytes` are on disk by part, `damaged` counts broken lines."""

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
    left_out: tuple[str, ...]  # problems: failed variants, counts of unreadable images and of warnings
    findings: tuple[str, ...]
    first_and_last: int | None = None  # bits of patch embedding and head, if they differ from the setting


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
        f"{counted(plan.calibration_images, 'image')} of {plan.calibration_set}{draws}",
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
        tuple(text for text in (headline(state).plain, largest_loss(state).plain) if text),
        plan.first_and_last or None,
    )


def _left_out(state: State) -> Iterator[str]:
    yield from (f"{variant}: {reason}" for variant, reason in state.failed.items())
    if state.unreadable:
        yield counted(state.unreadable, "unreadable image")
    if warnings := sum(line.level == "warning" for line in state.log):
        yield f"{counted(warnings, 'warning')}; see 'qood-tui report'"


def lines(about: About) -> list[str]:
    """Return a session in brief as lines of text."""
    reason = f": {about.reason}" if about.reason else ""
    resumed = f", resumed {counted(about.resumed, 'time')}" if about.resumed else ""
    sizes = ", ".join(f"{part} {in_bytes(size)}" for part, size in about.bytes.items())
    ends = f"; patch embedding and head at {about.first_and_last} bits" if about.first_and_last else ""
    rows = {
        "session": about.name,
        "folder": str(Path(about.path).parent),
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
        rows["damage"] = f"{counted(about.damaged, 'broken line')}; 'qood-tui sessions verify' lists them"
    if about.unknown:
        rows["unknown"] = f"{counted(about.unknown, 'event')} of kinds unknown to this version"
    rows |= {f"problem {n}": what for n, what in enumerate(about.left_out, 1)}
    shown = [f"{label + ':':<15}{clean(text)}" for label, text in rows.items()]
    text = [*shown, "", *map(clean, about.findings)]
    return [*text, "", *map(clean, about.note.split("\n"))] if about.note else text
