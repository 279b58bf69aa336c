from __future__ import annotations

import json
import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result

from engine.plan.plan import preset
from engine.protocol.events import Logged
from engine.session import attempts, notes, store
from engine.session.layout import JOURNAL, NOTE
from engine.session.place import Folder
from engine.session.session import Session
from engine.session.writer import Writer
from engine.system.paths import Location, sessions_place
from qood_tui.cli.main import main
from tests.journals import rewrite

ESCAPE = "\x1b]0;owned\x07\x9b31m"


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of sessions of this test; what commands say of it ends with the test."""
    monkeypatch.setattr(sessions_place, "option", None)
    monkeypatch.setattr(sessions_place, "configured", str)
    monkeypatch.setenv("QOOD_SESSIONS", str(tmp_path / "own"))
    monkeypatch.setenv("QOOD_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").mkdir()
    return tmp_path / "own"


@pytest.fixture
def mine(own: Path, recorded: Path) -> Path:
    """Return a session in the folder of this test."""
    return Path(shutil.copytree(recorded, own / "mine"))


def call(*arguments: str, **options: object) -> Result:
    return CliRunner().invoke(main, ["sessions", *arguments], **options)  # type: ignore[arg-type]


def told(result: Result, status: int = 0) -> str:
    """Return everything that was said; nothing of it can do more than say."""
    assert result.exit_code == status, result.output
    assert all(line.isprintable() for line in result.output.splitlines())
    return result.output


# Where sessions lie


def test_option_variable_configuration_and_default_come_in_this_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.toml").write_text(f'session_dir = "{tmp_path}/of-config"')
    told(call("list", "--session-dir", str(tmp_path / "of-option")))
    assert sessions_place.find() == Location(tmp_path / "of-option", "--session-dir")
    told(call("list"))
    assert sessions_place.find() == Location(tmp_path / "own", "QOOD_SESSIONS")
    monkeypatch.delenv("QOOD_SESSIONS")
    assert sessions_place.find() == Location(tmp_path / "of-config", "the configuration")
    assert f"{tmp_path}/of-config (named by the configuration)" in told(call())
    (tmp_path / "config.toml").unlink()
    assert sessions_place.find().named_by == "the user's data directory"
    assert sessions_place.find().folder.name == "sessions"


def test_the_folder_is_told_beside_the_list_and_in_the_document(mine: Path) -> None:
    for arguments in ((), ("list",)):
        found = call(*arguments)
        assert found.stderr == f"{mine.parent} (named by QOOD_SESSIONS)\n"
        first, *_, last = found.stdout.splitlines()
        assert " mine" in first and "finished" in first and "ships with the program" in last
    document = json.loads(call("list", "--json").stdout)
    assert (document["folder"], document["named_by"]) == (str(mine.parent), "QOOD_SESSIONS")
    listed = {one["name"]: one for one in document["sessions"]}
    assert listed["mine"]["path"] == str(mine) and not listed["mine"]["ships"] and listed["demo"]["ships"]
    assert listed["mine"]["rows"] == listed["mine"]["total"] > 0


def test_a_session_keeps_its_place_in_the_list_under_another_name(own: Path) -> None:
    for name, day in (("b", 1), ("z", 2), ("a", 3)):
        session = store.create(preset("quick"), (), own, name)
        rewrite(session, lambda _, line, day=day: line.update(created=f"2026-01-0{day}T00:00:00.000+00:00"))
        session.rename(own / name)
    (own / "broken").mkdir()
    (own / "broken" / JOURNAL).write_bytes(b"[" * 100_000)
    listed = json.loads(call("list", "--json").stdout)["sessions"]
    assert [one["name"] for one in listed][:4] == ["a", "z", "b", "broken"]


def test_a_folder_of_a_user_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QOOD_SESSIONS", "~nobody-of-that-name/x")
    assert "QOOD_SESSIONS" in told(call("list"), 2)


def test_a_wrong_configuration_is_told_where_it_would_say_where_sessions_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.toml").write_text('session_dir = "relative"')
    told(call("list"))
    monkeypatch.delenv("QOOD_SESSIONS")
    assert "session_dir" in told(call("list"), 2)
    told(call("list", "--session-dir", str(tmp_path)))


def test_every_command_finds_a_name_in_the_folder_that_the_option_names(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QOOD_SESSIONS", "/dev/null/x")
    there = ("--session-dir", str(mine.parent))
    assert call("show", "mine").exit_code == 2
    for arguments in (
        ("sessions", "show", "mine", *there),
        ("sessions", *there, "show", "mine"),
        ("sessions", "note", "mine", *there),
        ("sessions", "verify", "--quick", "mine", *there),
        ("replay", "mine", "--plain", *there),
        ("report", "mine", *there),
        ("compare", "mine", "demo", "--plain", *there),
    ):
        found = CliRunner().invoke(main, arguments)
        assert found.exit_code == 0, (arguments, found.output)


@pytest.mark.parametrize(
    "words",
    [
        ("sessions", "--session-dir", "{}", "show"),
        ("sessions", "show", "--session-dir", "{}"),
        ("replay", "--session-dir", "{}"),
        ("sessions", "delete", "other", "--session-dir", "{}"),
    ],
)
def test_completion_looks_where_the_option_says(
    words: tuple[str, ...], mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QOOD_SESSIONS", "/dev/null/x")
    given = [word.format(mine.parent) for word in words]
    found = ShellComplete(main, {}, "qood-tui", "X").get_completions(given, "m")
    assert [item.value for item in found] == ["mine"]


# What a session is


def test_show_says_what_a_session_is(mine: Path) -> None:
    notes.write(mine, "a note\nof two lines")
    found = told(call("show", "mine"))
    read = Session.at(mine)
    header, entries = read.header, read.entries
    for words in (
        header.id,
        header.created[:10],
        "vit-narrow, deit3-wide",
        "W4A4",
        "repq",
        "finished",
        str(mine.parent),
    ):
        assert words in found
    assert "arrays" in found and "quantized" in found and "of two lines" in found
    assert "AUPR-out" in found and "Largest loss" in found
    document = json.loads(call("show", "mine", "--json").stdout)
    assert document["rows"] == document["images"] == attempts.finished_rows(entry.event for entry in entries)
    on_disk = sum(path.stat().st_size for path in mine.rglob("*") if path.is_file())
    assert sum(document["bytes"].values()) == on_disk
    assert document["note"] == "a note\nof two lines"


def test_a_running_session_and_a_damaged_one_are_shown_as_such(own: Path) -> None:
    running = store.create(preset("quick"), (), own, "quick")
    writer = Writer(running)
    writer.append(Logged("info", "x"))
    assert "running" in told(call("show", running.name))
    for command in (("rename", running.name, "x"), ("delete", running.name, "--yes")):
        assert "running" in told(call(*command), 2)
    writer.abandon()
    assert "interrupted" in told(call("show", running.name))
    with (running / JOURNAL).open("ab") as file:
        file.write(b"\x80broken\n")
    assert "damage" in told(call("show", running.name))
    (running / JOURNAL).write_bytes(b"broken")
    assert "damaged" in told(call("list"))
    assert "damaged" in told(call("show", running.name), 3)


def test_what_a_stranger_wrote_is_shown_harmlessly(mine: Path) -> None:
    def hostile(position: int, line: dict[str, object]) -> None:
        if position == 0:
            line.update(app=ESCAPE, id=ESCAPE, created=ESCAPE)
        event = line.get("event")
        if isinstance(event, dict) and event["type"] == "session.closed":
            event.update(outcome="failed", reason=ESCAPE)

    rewrite(mine, hostile)
    (mine / NOTE).write_text(f"{ESCAPE}\nsecond {ESCAPE}")
    (mine / f"x{ESCAPE[:5]}").touch()
    for arguments in (
        ("list",),
        ("show", "mine"),
        ("note", "mine"),
        ("list", "--json"),
        ("show", "mine", "--json"),
    ):
        told(call(*arguments))
    assert "still holds" in told(call("delete", "mine", "--yes"))


# Changing it


def test_a_session_is_renamed(mine: Path) -> None:
    assert str(mine.parent / "better") in told(call("rename", "mine", "better"))
    assert not mine.exists() and Session.at(mine.parent / "better").entries
    for name in ("demo", "../x", "a b", "", ".x", "better"):
        told(call("rename", "better", name), 2)
    assert "ships" in told(call("rename", "demo", "x"), 2)


def test_a_note_is_written_printed_edited_and_taken_away(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told(call("note", "mine", "first\nsecond"))
    assert told(call("note", "mine")) == "first\nsecond\n"
    assert "first" in told(call("list")) and "second" not in told(call("list"))
    editor = mine.parents[1] / "editor"
    editor.write_text('#!/bin/sh\necho third >> "$1"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(editor))
    told(call("note", "mine", "--edit"))
    assert notes.read(Folder(mine)) == "first\nsecond\nthird"
    monkeypatch.setenv("VISUAL", "/no/such/editor")
    assert "editor" in told(call("note", "mine", "--edit"), 2)
    told(call("note", "mine", "x", "--clear"), 2)
    assert "removed" in told(call("note", "mine", "--clear"))
    assert not (mine / NOTE).exists()
    assert "ships" in told(call("note", "demo", "x"), 2)
    assert "64" in told(call("note", "mine", "x" * notes.LARGEST), 2)


def test_nothing_is_deleted_where_nobody_can_be_asked(mine: Path) -> None:
    assert "--yes" in told(call("delete", "mine"), 2) and mine.exists()
    assert "ships" in told(call("delete", "mine", "demo", "--yes"), 2) and mine.exists()
    assert "Deleted" in told(call("delete", "mine", "mine", "--yes")) and not mine.exists()


@pytest.mark.parametrize(("answer", "status"), [("n\n", 130), ("\n", 130), ("y\n", 0)])
def test_at_a_terminal_it_is_asked_first(answer: str, status: int, mine: Path) -> None:
    main_end, its_end = pty.openpty()
    command = [sys.executable, "-m", "qood_tui", "sessions", "delete", "mine"]
    project = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": str(project)}
    with subprocess.Popen(command, stdin=its_end, stdout=its_end, stderr=its_end, env=environment) as process:
        os.close(its_end)
        said = b""
        deadline = time.monotonic() + 30
        while b"[y/N]" not in said and time.monotonic() < deadline:
            if select.select([main_end], [], [], 1)[0]:
                said += os.read(main_end, 1000)
        os.write(main_end, answer.encode())
        assert process.wait(30) == status, said
    os.close(main_end)
    assert mine.exists() == (status != 0) and b"mine" in said


# Handing it on


def test_a_colleague_replays_checks_and_reports_from_one_file(mine: Path, tmp_path: Path) -> None:
    before = json.loads(CliRunner().invoke(main, ["report", "mine", "--format", "json"]).stdout)
    assert "mine.qood" in told(call("export", "mine"))
    there = ("--session-dir", str(tmp_path / "colleague"))
    found = told(call("import", "mine.qood", *there))
    assert "Imported mine" in found and "intact" in found
    assert "intact" in told(call("verify", "mine", *there))
    after = json.loads(CliRunner().invoke(main, ["report", "mine", "--format", "json", *there]).stdout)
    assert {**after, "session": ""} == {**before, "session": ""}
    assert CliRunner().invoke(main, ["replay", "mine", "--plain", *there]).exit_code == 0
    assert "already" in told(call("import", "mine.qood", *there))


def test_a_file_of_a_damaged_session_is_told_to_be_damaged(mine: Path, tmp_path: Path) -> None:
    array = next((mine / "arrays").glob("msp.npy"))
    data = bytearray(array.read_bytes())
    data[-3] ^= 1
    array.write_bytes(data)
    told(call("export", "mine", "x.qood"))
    assert "damaged" in told(call("import", "x.qood", "--name", "theirs"), 3)


def test_export_says_what_it_would_overwrite_and_what_it_cannot_make(mine: Path, tmp_path: Path) -> None:
    told(call("export", "mine", "x.qood"))
    assert "--force" in told(call("export", "mine", "x.qood"), 2)
    told(call("export", "mine", "x.qood", "--force", "--with-quantized"))
    assert "speed" in told(call("export", "mine", "x.cast", "--speed", "3"), 2)
    assert "size" in told(call("export", "mine", "x.cast", "--size", "1x1"), 2)
    (tmp_path / "into").mkdir()
    assert "mine.qood" in told(call("export", "mine", "into"))
    assert {path.name for path in tmp_path.glob("*.*")} == {"x.qood"}
    assert "no such file" in told(call("import", "none.qood"), 2)


def test_a_cast_is_written_by_its_name_or_by_asking(mine: Path, tmp_path: Path) -> None:
    told(call("export", "mine", "x.cast", "--speed", "64", "--size", "80x24"))
    told(call("export", "mine", "--as", "asciicast", "--speed", "64"))
    sizes = [json.loads((tmp_path / name).open().readline())["width"] for name in ("x.cast", "mine.cast")]
    assert sizes == [80, 120]


def test_a_redacted_copy_is_made_beside_the_others(mine: Path) -> None:
    assert "public" in told(call("redact", "mine", "public"))
    assert "intact" in told(call("verify", "public"))
    for name in ("public", "../x", "demo"):
        told(call("redact", "mine", name), 2)
    assert {path.name for path in mine.parent.iterdir()} == {"mine", "public"}
    assert not (mine.parent.parent / "x").exists()


def test_the_group_is_light_until_it_runs() -> None:
    script = "import sys, qood_tui.cli.sessions; print(' '.join(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"textual", "msgspec", "numpy", "rich", "torch"} & set(ran.stdout.split())
