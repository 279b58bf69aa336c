from __future__ import annotations

import json
from pathlib import Path

import pyte
import pytest
from textual.strip import Strip

from engine.errors import InputError
from engine.session import store
from qood_tui.app import QoodApp
from qood_tui.cli import asciicast
from qood_tui.settings.config import Config
from qood_tui.state.sources import ReplaySource
from tests.qood_tui.driving import at_end, screen_lines, until
from tests.qood_tui.test_strangers import ESCAPE, _hostile, rewrite

COLUMNS, LINES = 120, 40


def lines_of(file: Path) -> list[list[object]]:
    return [json.loads(line) for line in file.read_text().splitlines()[1:]]


def played(file: Path, until_second: float = 1e9) -> pyte.Screen:
    """Return the terminal that an asciicast has been played in."""
    header = json.loads(file.open().readline())
    screen = pyte.Screen(header["width"], header["height"])
    stream = pyte.Stream(screen)
    for at, kind, text in lines_of(file):
        if kind == "o" and at <= until_second:  # type: ignore[operator]
            stream.feed(text)
    return screen


def trimmed(lines: list[str]) -> list[str]:
    return [line.rstrip() for line in lines]


async def shown_by_the_application(session: Path, speed: float) -> list[str]:
    """Return what the application shows at the end of a replay, as somebody who plays it sees it."""
    app = QoodApp(session, speed=speed, config=Config(theme="dark"))
    async with app.run_test(size=(COLUMNS, LINES)) as pilot:
        await until(pilot, lambda: len(app.screen_stack) > 1)
        await at_end(pilot)
        await until(pilot, lambda: "paused" in screen_lines(app)[1])
        await pilot.pause(0.6)
        return screen_lines(app)


@pytest.fixture(scope="module")
def cast(recorded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("cast") / "x.cast"
    asciicast.write(recorded, file)
    return file


async def test_the_last_picture_is_what_the_application_shows(cast: Path, recorded: Path) -> None:
    assert trimmed(played(cast).display) == trimmed(await shown_by_the_application(recorded, 1.0))


def test_it_is_an_asciicast_of_the_second_version(cast: Path, recorded: Path) -> None:
    header = json.loads(cast.open().readline())
    assert header == {"version": 2, "width": COLUMNS, "height": LINES, "title": recorded.name}
    events = lines_of(cast)
    times = [event[0] for event in events if event[1] == "o"]
    assert times == sorted(times) and times[0] == 0 and {event[1] for event in events} == {"o", "m"}
    length = ReplaySource(recorded).length
    assert length <= times[-1] - asciicast.LAST_SECONDS <= length + asciicast.FRAME_SECONDS
    labels = [event[2] for event in events if event[1] == "m"]
    assert any(str(label).startswith("sweeping") for label in labels)


def test_it_shows_the_sweep_and_not_only_its_end(cast: Path) -> None:
    begin, end = played(cast, 0.0).display, played(cast).display
    assert "0:00 of" in begin[1] and "playing" in begin[1] and "paused" in end[1]
    assert "costs" in end[2] or "no clear cost" in end[2]
    assert "costs" not in begin[2] and "no clear cost" not in begin[2]
    colours = {cell.fg for row in played(cast).buffer.values() for cell in row.values()}
    assert len({colour for colour in colours if len(colour) == 6}) > 3


def test_only_what_changes_is_written(cast: Path) -> None:
    whole = sum(len(str(event[2])) for event in lines_of(cast)[:3])
    frames = [len(str(event[2])) for event in lines_of(cast)[3:] if event[1] == "o"]
    assert sorted(frames)[len(frames) // 2] < whole / 4


def test_a_line_changes_from_its_first_to_its_last_other_cell() -> None:
    def line(text: str) -> Strip:
        from rich.segment import Segment
        from rich.style import Style

        return Strip([Segment(text, Style())])

    assert asciicast.changed([line("abcdef")], [line("abcdef")]) == ""
    assert asciicast.changed([line("abcdef")], [line("abXdYf")]) == "\x1b[1;3HXdY"
    assert asciicast.changed([line("a漢字b")], [line("a漢語b")]) == "\x1b[1;4H語"
    assert asciicast.changed([line("axxb")], [line("a漢b")]) == "\x1b[1;2H漢"
    assert asciicast.changed([], [line("ab"), line("c")]) == "\x1b[1;1Hab\x1b[2;1Hc"


def test_a_stranger_cannot_write_to_the_terminal(copied: Path, tmp_path: Path) -> None:
    rewrite(copied, _hostile)
    asciicast.write(copied, tmp_path / "x.cast", speed=64.0)
    for _, kind, text in lines_of(tmp_path / "x.cast"):
        assert "\x07" not in str(text) and "\x9b" not in str(text) and "\x1b]" not in str(text)
        assert kind == "o" or str(text).isprintable()
    assert ESCAPE not in (tmp_path / "x.cast").read_text()


def test_a_size_that_cannot_be_is_refused() -> None:
    assert asciicast.check_size("80x24") == (80, 24)
    for size in ("", "80", "80x", "x24", "10x10", "9999x24", "80x24x2", "-80x24", "axb"):
        with pytest.raises(InputError, match="size"):
            asciicast.check_size(size)


def test_a_file_that_is_there_is_kept(tmp_path: Path) -> None:
    (tmp_path / "x.cast").write_text("mine")
    with pytest.raises(InputError, match="--force"):
        asciicast.write(store.find("demo"), tmp_path / "x.cast", speed=64.0)
    assert (tmp_path / "x.cast").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1
