"""Sweep, replay and compare without the terminal application."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from engine import catalog, report
from engine.errors import BAD_INPUT, CANCELLED, FINISHED, WITH_FAILURES, QoodError
from engine.measure.measures import AP_OUT
from engine.report import Document, study, words
from engine.service import client
from engine.service.request import Request
from engine.session import store
from engine.session.session import Session
from engine.text import counted
from qood_tui.setup.cost import in_words, outputs_size
from qood_tui.state import comparison
from qood_tui.state.sources import ReplaySource
from qood_tui.state.state import State, describe, fold, reduce
from qood_tui.state.view_options import Unit
from qood_tui.words import clean, duration


def run(asked: Request, *, plain: bool, as_json: bool) -> int:
    """Sweep an accepted session, print the result and return the exit status."""
    session = asked.session
    console = Console(stderr=True)
    for name in asked.missing:
        sys.stderr.write(f"{name} is not in {clean(asked.resources.data)}; continuing without it\n")
    plan = Session.at(session).header.plan
    if plan.keep_outputs:
        size = in_words(outputs_size(plan, asked.resources))
        sys.stderr.write(f"Keeping logits and features, to add scores later: {size}\n")
    attended = console.is_terminal and not plain
    with _cancelling(session):
        client.start(session, asked.resources, take_over=asked.take_over)
        state = _attended(asked, console) if attended else _plain(asked)
    if state.phase == "refused":
        if attended:
            sys.stderr.write(f"qood-tui: {clean(state.note)}\n")
        store.discard(session)
        return BAD_INPUT
    if state.rows == 0:
        if state.phase == "cancelled":
            sys.stderr.write("Cancelled before any image finished; no table.\n")
            return CANCELLED
        sys.stderr.write(f"No image finished, so there is no table: {clean(state.note)}\n")
        return WITH_FAILURES
    found = msgspec.structs.replace(report.document(Session.at(session), quick=True), session=str(session))
    if as_json:
        sys.stdout.write(report.render(found, "json"))
    else:
        print_table(found, Console())
    if state.phase == "cancelled":
        return CANCELLED
    return WITH_FAILURES if found.failures else FINISHED


def print_table(found: Document, console: Console) -> None:
    """Print the delta table, a legend, and the session's folder."""
    if not console.is_terminal:
        console.width = max(console.width, 80 + 14 * sum(s.role == "ood" for s in found.images))
    for warning in found.guesses:
        console.print(f"! {clean(warning)}", style="yellow", markup=False, soft_wrap=True)
    console.print(_table(found))
    legend = "* p < 0.05, Holm-corrected across the table, and separately across the means below it."
    if found.sequential:
        legend = "* 95 % interval excludes zero, valid however often you look: the sweep ended early."
    notes = [f"{legend} This is {found.note}." if found.note else legend]
    notes += [*words.in_float(found.plan, found.bit_tables), *_stated(found), *_spread(found)]
    for line in notes:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    for model in found.models:
        if model.weights is not None and (
            model.weights.entry or model.weights.prefixes or model.weights.mapped
        ):
            line = clean(f"{model.model}: {model.origin}, {model.weights}")
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    for warning in found.warnings:
        console.print(f"! {clean(warning)}", style="yellow", markup=False)
    for failure in found.failures:
        console.print(f"! {clean(failure)}", style="red", markup=False)
    where = (
        f"{counted(found.rows, 'image')}, {found.seconds:.1f} s, seed {found.seed}. Session: {found.session}"
    )
    console.print(clean(where), markup=False, soft_wrap=True, highlight=False)


def _table(found: Document) -> Table:
    """Return one row per variant, and the means over models below."""
    names = [s.name for s in found.images if s.role == "ood"]
    label = catalog.label_of(found.headline)
    title = f"AUPR-out lost against FP32, in percentage points ({label})"
    table = Table(title=Text(title), title_justify="left", box=None, pad_edge=False)
    table.add_column("variant", no_wrap=True)
    for name in [*names, "mean", "95 % interval", "top-1 lost"]:
        table.add_column(Text(name), justify="right", no_wrap=True)
    for row in found.deltas:
        mean = row.main.mean
        cells = [words.points(row.main.sets.get(name)) for name in names]
        of_mean = (words.points(mean), words.interval(mean))
        table.add_row(Text(row.variant), *cells, *of_mean, words.points(row.of_labels.get("top1")))
    for bits, mean in found.by_bits.items():
        table.add_row(
            words.mean_of(found.deltas, bits),
            *[""] * len(names),
            words.points(mean),
            words.interval(mean),
            "",
            style="bold",
        )
    return table


def _stated(found: Document) -> list[str]:
    """Return what the study states next to what was measured."""
    lines = []
    for one in found.stated:
        relative = f", {one.measured.relative:+.1%} relative" if one.measured.relative is not None else ""
        lost = f"{one.measured.value * 100:+.1f} points{relative}"
        of = study.label_of(one.measure)
        lines.append(f"{one.variant}, {of}: {lost}; {one.stated:.1f} % in the {catalog.STATED_BY}")
    order = study.order_holds(found.stated)
    return [*lines, order] if order else lines


def _spread(found: Document) -> list[str]:
    """Return the spread between draws of calibration images, if there are several."""
    return [
        f"{one.model} {one.bits}: {one.spread.mean * 100:+.1f} points, SD {one.spread.deviation * 100:.1f} "
        f"over {one.spread.draws} calibration draws"
        for one in found.spread
        if one.measure == f"{AP_OUT.id} lost"
    ]


def compared(paths: Sequence[Path], *, as_csv: bool) -> str:
    """Return sessions side by side as text: the mean, then every OOD set, or every cell as CSV."""
    sessions = [Session.at(path) for path in paths]
    states = [fold(session.header, session.entries) for session in sessions]
    found = comparison.compared(states, AP_OUT, Unit.POINTS)
    names = [clean(path.name) for path in paths]
    if as_csv:
        return comparison.as_csv(found, names)
    columns = (comparison.MEAN, *(column for column in found.columns if column != comparison.MEAN))
    return comparison.as_markdown(found, names, columns)


def moment(session: Path, at: float | None) -> str:
    """Return the state `at` seconds into a session, by default at its end, as text."""
    source = ReplaySource(session)
    source.seek_time(source.ends if at is None else at)
    state = source.state
    lines = [
        f"{session.name}: {duration(source.state.t)} of {duration(source.ends)}, {state.phase}, "
        f"{state.rows:,}/{state.total:,} images"
    ]
    for variant in state.header.plan.variants():
        key, measured = variant.key, state.measured.get(variant.key)
        if measured is None:
            continue
        cells = "  ".join(
            f"{name} {_value(cell.value(AP_OUT.id))}" for name, cell in state.cells_of(key).items()
        )
        top1 = _value(measured.value("top1"))
        lines.append(f"{key:<20} top-1 {top1}  AUPR-out {cells}")
    lines += [f"{key:<20} left out: {reason}" for key, reason in state.failed.items()]
    if state.deltas:
        for bits, mean in state.deltas.by_bits.items():
            lines.append(
                f"{words.mean_of(state.deltas.variants, bits)}: AUPR-out {mean.value * 100:+.1f} points, "
                f"{words.interval(mean)}"
            )
    lines += [f"! {line}" for line in source.missing]
    return "\n".join(map(clean, lines)) + "\n"


def _value(value: float | None) -> str:
    return words.NO_VALUE if value is None else f"{value:.3f}"


def _plain(asked: Request) -> State:
    state = State(Session.at(asked.session).header)
    printed = -1
    for entries in client.watch(asked.session, asked.beyond):
        for entry in entries:
            state = reduce(state, entry)
            if words := describe(entry.event):
                sys.stderr.write(f"{entry.t:7.1f} s  {clean(words[1])}\n")
            tenth = state.rows * 10 // state.total if state.total else -1
            if tenth > printed and state.rows:
                printed = tenth
                left = duration(state.seconds_left)
                sys.stderr.write(f"{entry.t:7.1f} s  {state.rows:,}/{state.total:,} images, {left} left\n")
        sys.stderr.flush()
    return state


def _attended(asked: Request, console: Console) -> State:
    state = State(Session.at(asked.session).header)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("starting", total=None)
        for entries in client.watch(asked.session, asked.beyond):
            for entry in entries:
                state = reduce(state, entry)
                words = describe(entry.event)
                if words and words[0] != "info":
                    console.print(
                        clean(words[1]), style="red" if words[0] == "error" else "yellow", markup=False
                    )
            if state.phase == "calibrating":
                variants = len(state.header.plan.variants())
                progress.update(task, description="calibrating", completed=len(state.ready), total=variants)
            else:
                progress.update(
                    task, description=state.phase, completed=state.rows, total=state.total or None
                )
    return state


@contextmanager
def _cancelling(session: Path) -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into a request to cancel; a second one quits at once."""

    def stop(_number: int, _frame: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        sys.stderr.write("Stopping; finished work is kept.\n")
        try:
            client.cancel(session)
        except QoodError as error:
            sys.stderr.write(f"{error}\n")

    before = [signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(number, handler)
