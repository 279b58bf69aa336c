"""The command that prints or writes a report."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine import catalog, report
from engine.session.session import Session
from qood_tui.cli.main import main
from tests.engine.report.test_document import edit_array


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["report", *arguments])


def test_a_report_is_printed_or_written_and_never_written_over(recorded: Path, tmp_path: Path) -> None:
    file = tmp_path / "found.html"
    ran = call(str(recorded), "--format", "html", "--output", str(file))
    assert (ran.exit_code, ran.stdout) == (0, "")
    assert file.read_text() == report.render(report.document(Session.at(recorded)), "html")
    ran = call(str(recorded), "--format", "md", "-o", str(file))
    assert ran.exit_code == 2 and "--force" in ran.stderr and file.read_text().startswith("<!DOCTYPE html>")
    ran = call(str(recorded), "-o", str(file), "--force", "--quick")
    assert ran.exit_code == 0 and file.read_text().startswith("# ")
    assert "not recomputed" in file.read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--format", "pdf"), "choose from"),
        (("-o", "/"), "this is a folder"),
        (("-o", "/no/x"), "does not exist"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_measured(
    recorded: Path, arguments: tuple[str, ...], words: str
) -> None:
    ran = call(str(recorded), *arguments)
    assert ran.exit_code == 2 and words in ran.stderr and not ran.stdout


@pytest.mark.parametrize("form", report.FORMATS)
def test_what_does_not_agree_exits_with_3_and_is_said_beside_every_format(copied: Path, form: str) -> None:
    edit_array(copied, "nll", 0, 0, 9.0)
    ran = call(str(copied), "--format", form, "--quick")
    assert ran.exit_code == 3 and ran.stdout
    assert "journal and arrays disagree in" in ran.stderr and "SHA-256 of nll.npy" in ran.stderr


def test_the_help_names_every_format_and_every_kind_of_device() -> None:
    """They are written there by hand: reading them would make every command start slower."""
    runner = CliRunner()
    of_report, of_run = (runner.invoke(main, [name, "--help"]).stdout for name in ("report", "run"))
    assert all(form in of_report for form in report.FORMATS)
    assert all(kind in of_run.partition("--devices")[2].partition("\n  --")[0] for kind in catalog.DEVICES)
