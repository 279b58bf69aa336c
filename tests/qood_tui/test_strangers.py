"""A session from a stranger: refused in words or shown harmlessly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine import report
from engine.errors import JournalError
from engine.session.layout import JOURNAL
from engine.session.session import Session
from qood_tui.app import QoodApp
from qood_tui.cli import headless
from qood_tui.screens.replay import ReplayScreen
from qood_tui.state.sources import LOST_SECONDS, LiveSource
from qood_tui.widgets.lines import Lines
from tests.journals import reseal, rewrite

ESCAPE = "\x1b]0;owned\x07\x9b31m[bold][/x]"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("models", []),
        ("models", ["a"] * 2),
        ("models", [f"m{i}" for i in range(60_000)]),
        ("models", ["[/x]"]),
        ("ood_sets", []),
        ("ood_sets", ["../../etc"]),
        ("scores", ["../../../tmp/x"]),
        ("scores", []),
        ("bits", ["W9A9"]),
        ("bits", ["W4A4"]),
        ("headline", "nothing"),
        ("id_set", ESCAPE),
    ],
)
def test_a_plan_that_cannot_be_shown_is_refused(copied: Path, field: str, value: object) -> None:
    rewrite(copied, lambda i, line: line["plan"].update({field: value}) if i == 0 else None)
    with pytest.raises(JournalError, match="damaged"):
        Session.at(copied)


def _hostile(position: int, line: dict[str, Any]) -> None:
    event = line.get("event", {})
    match event.get("type"):
        case "logged" | "phase.changed":
            event["note" if event["type"] == "phase.changed" else "text"] = ESCAPE
        case "worker.started":
            event["device"] = ESCAPE
            event["versions"] = {"torch": ESCAPE}
        case "variant.ready":
            event.update(type="variant.failed", reason=ESCAPE)
        case "deltas.tabled":
            event["by_bits"] = {"foo": {"value": 1e308, "low": -1e308, "high": 1e308}}
        case "curves.drawn":
            for curve in event["curves"]:
                curve["fpr"] = curve["fpr"][:1]
        case "telemetry":
            event["memory"] = 2**62
        case "session.closed":
            event.update(outcome="failed", reason=ESCAPE)


@pytest.mark.parametrize("with_arrays", [True, False])
async def test_hostile_strings_and_numbers_do_no_harm(copied: Path, with_arrays: bool) -> None:
    rewrite(copied, _hostile)
    if not with_arrays:
        for file in (copied / "arrays").iterdir():
            file.unlink()
    app = QoodApp(copied)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("end", "b", "escape", "1", "2", "3", "c", "r", "a")
        await pilot.pause(0.2)
        assert isinstance(app.screen, ReplayScreen)
        for pane in app.screen.query(Lines):
            painted = "".join(s.text for y in range(pane.size.height) for s in pane.render_line(y))
            assert not {"\x1b", "\x07", "\x9b"} & set(painted)
    if with_arrays:
        for form in report.FORMATS:
            assert not {"\x1b", "\x07", "\x9b"} & set(
                report.render(report.document(Session.at(copied)), form)
            )


def test_an_endless_number_is_damage_and_not_a_crash(copied: Path) -> None:
    reseal(copied, lambda text: text.replace(b'"resamples":', b'"resamples":1' + b"0" * 400))
    reader = Session.at(copied).journal
    assert reader.skipped > 0


def test_a_model_of_another_version_is_shown_by_its_name(copied: Path) -> None:
    reseal(copied, lambda text: text.replace(b"deit3-wide", b"vit_small_patch16_224.augreg_in1k"))
    found = report.document(Session.at(copied))
    assert {row.model for row in found.variants} == {"vit-narrow", "vit_small_patch16_224.augreg_in1k"}


def test_a_live_session_whose_engine_is_gone_is_called_lost(copied: Path) -> None:
    path = copied / JOURNAL
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    source = LiveSource(copied)
    assert not source.lost
    source.tick(LOST_SECONDS + 1)
    assert source.lost


def test_a_comparison_prints_nothing_that_a_terminal_obeys(copied: Path, recorded: Path) -> None:
    def hostile(position: int, line: dict[str, Any]) -> None:
        if not position:
            line["plan"]["overrides"] = {ESCAPE: 4}
            line["plan"]["score_parameters"] = {ESCAPE: {ESCAPE: ESCAPE}}

    rewrite(copied, hostile)
    for as_csv in (False, True):
        said = headless.compared([recorded, copied], as_csv=as_csv)
        assert not {"\x1b", "\x07", "\x9b"} & set(said)
