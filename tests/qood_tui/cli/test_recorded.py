"""Commands that read a session take a `.qood` file as they take a folder, and leave it where it is."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.archive.transfer import export
from qood_tui.cli.main import main
from tests.journals import RECORDED

READING = {
    "replay": ("replay", "{}", "--plain"),
    "report": ("report", "{}", "--quick"),
    "compare": ("compare", "{}", "demo", "--csv"),
    "compare, second": ("compare", "demo", "{}", "--plain"),
    "verify": ("sessions", "verify", "{}"),
    "show": ("sessions", "show", "{}"),
}


def call(command: str, session: Path) -> Result:
    return CliRunner().invoke(main, [word.format(session) for word in READING[command]])


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a session in one file, beside an empty folder of sessions."""
    monkeypatch.setenv("QOOD_SESSIONS", str(tmp_path / "own"))
    (tmp_path / "own").mkdir()
    return export(RECORDED / "2", tmp_path / "2.qood").file


@pytest.mark.parametrize("command", READING)
def test_a_file_says_what_its_folder_says(command: str, archive: Path, tmp_path: Path) -> None:
    of_file, of_folder = call(command, archive), call(command, RECORDED / "2")
    assert of_file.exit_code == of_folder.exit_code == 0, of_file.output
    names = ((str(archive), str(RECORDED / "2")), ("2.qood", "2"), (str(tmp_path), str(RECORDED)))
    said = of_file.stdout
    for name, other in names:
        said = said.replace(name, other)
    assert said == of_folder.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2.qood", "own"]
    assert not list((tmp_path / "own").iterdir())


@pytest.mark.parametrize("command", READING)
def test_a_strangers_file_is_refused_in_words(command: str, archive: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(archive, "a") as made:
        made.writestr("2/../../outside.npy", b"x")
    ran = call(command, archive)
    assert ran.exit_code == 2 and "no file of a session has this name" in ran.stderr, ran.output
    assert not (tmp_path.parent / "outside.npy").exists()


@pytest.mark.parametrize("command", READING)
def test_a_file_that_is_missing_or_none_is_refused_in_words(command: str, tmp_path: Path) -> None:
    for file in (tmp_path / "none.qood", Path(__file__)):
        ran = call(command, file)
        assert ran.exit_code == 2 and "session" in ran.stderr, ran.output


def test_what_changes_a_session_wants_it_imported_first(archive: Path) -> None:
    for words in (("rename", "{}", "x"), ("note", "{}", "x"), ("delete", "{}", "--yes")):
        ran = CliRunner().invoke(main, ["sessions", *(word.format(archive) for word in words)])
        assert ran.exit_code == 2 and "sessions import" in ran.stderr, ran.output
