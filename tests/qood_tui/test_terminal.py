"""The application in a real pseudo-terminal: what it writes, and what signals do to it."""

from __future__ import annotations

import base64
import os
import random
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from tests.benchmarks.terminal import Terminal

COLOUR = re.compile(rb"\x1b\[[0-9;]*?[34]8;[25];")


@contextmanager
def opened(*arguments: str, columns: int = 80, lines: int = 24, **environment: str) -> Iterator[Terminal]:
    terminal = Terminal(*arguments, columns=columns, lines=lines, keep=True, environment=environment)
    try:
        yield terminal
    finally:
        terminal.close()


@pytest.fixture
def demo() -> tuple[str, ...]:
    return ("replay", "demo", "--at", "99")


def test_ctrl_z_stops_it_and_fg_paints_it_again(demo: tuple[str, ...]) -> None:
    with opened(*demo) as terminal:
        terminal.wait_for("Largest loss", 20)
        terminal.press("\x1a")
        terminal.read(1.0)
        assert psutil.Process(terminal.process).status() == psutil.STATUS_STOPPED
        written = terminal.written
        terminal.read(0.5)
        assert terminal.written == written
        os.kill(terminal.process, signal.SIGCONT)
        terminal.wait_for("Largest loss", 10)
        terminal.press("1")
        terminal.wait_for("ROC", 10)


def test_an_open_filter_writes_nothing_while_nobody_types(demo: tuple[str, ...]) -> None:
    with opened(*demo) as terminal:
        terminal.wait_for("Largest loss", 20)
        terminal.press("/")
        terminal.read(1.5)
        written = terminal.written
        terminal.read(2.0)
        assert terminal.written == written


def test_what_is_copied_reaches_the_terminal_of_the_user(demo: tuple[str, ...]) -> None:
    with opened(*demo) as terminal:
        terminal.wait_for("Largest loss", 20)
        terminal.press("y")
        terminal.read(1.0)
        (sent,) = re.findall(rb"\x1b\]52;c;([A-Za-z0-9+/=]+)\x07", terminal.raw)
        assert "vit-wide W4A4" in base64.b64decode(sent).decode()


def test_no_size_at_any_moment_ends_it(demo: tuple[str, ...]) -> None:
    chance = random.Random(5)
    with opened("replay", "demo", "--speed", "16") as terminal:
        terminal.wait_for("REPLAY", 20)
        for size in [
            (20, 5),
            (1, 1),
            (300, 100),
            *[(chance.randint(1, 250), chance.randint(1, 80)) for _ in range(30)],
        ]:
            terminal.resize(*size)
            terminal.read(chance.choice((0.0, 0.02, 0.1)))
        terminal.resize(80, 24)
        terminal.read(0.5)
        terminal.press("q")
        assert terminal.wait() == 0
        assert b"Traceback" not in terminal.raw


def test_no_color_writes_no_colour(demo: tuple[str, ...]) -> None:
    with opened(*demo, NO_COLOR="1") as terminal:
        terminal.wait_for("Largest loss", 20)
        terminal.read(0.5)
        for found in re.findall(rb"38;2;(\d+);(\d+);(\d+)", terminal.raw):
            assert len(set(found)) == 1, f"{found} is a colour"


@pytest.mark.parametrize("term", ["screen", "xterm", "linux", "screen-256color"])
def test_terminals_of_few_colours_are_sent_none_that_they_do_not_have(
    demo: tuple[str, ...], term: str
) -> None:
    with opened(*demo, TERM=term, COLORTERM="") as terminal:
        terminal.wait_for("Largest loss", 20)
        terminal.read(0.3)
        if "256" not in term:
            assert not COLOUR.search(terminal.raw)
        else:
            assert b"38;2;" not in terminal.raw


def test_another_locale_than_utf_8_gets_ascii(demo: tuple[str, ...]) -> None:
    with opened(*demo, LC_ALL="C", LANG="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0") as terminal:
        terminal.wait_for("Largest loss", 20)
        terminal.read(0.3)
        terminal.raw.decode("ascii")


def test_a_line_that_drops_ends_the_terminal_quietly(demo: tuple[str, ...]) -> None:
    with opened(*demo) as terminal:
        terminal.wait_for("Largest loss", 20)
        terminal.hang_up()
        deadline = time.monotonic() + 10
        while psutil.pid_exists(terminal.process) and time.monotonic() < deadline:
            if psutil.Process(terminal.process).status() == psutil.STATUS_ZOMBIE:
                break
            time.sleep(0.1)
        else:
            pytest.fail("it goes on without a terminal")
