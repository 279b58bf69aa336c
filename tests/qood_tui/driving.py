"""Drive the application and read what is on its screen."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import App
from textual.pilot import Pilot

from qood_tui.screens.base import BaseScreen
from qood_tui.widgets.lines import Lines
from qood_tui.widgets.strips import Strip

SIZES = [(80, 24), (120, 40), (200, 60)]


def text_of(app: App[None], widget: str) -> str:
    """Return the lines that a widget was given."""
    return "\n".join(line.plain for line in app.screen.query_one(f"#{widget}", Lines)._lines)


def title_of(app: App[None], widget: str) -> str:
    """Return what the frame of a widget says."""
    return " ".join(app.screen.query_one(f"#{widget}", Lines).titles)


def screen_lines(app: App[None]) -> list[str]:
    """Return every character on the screen."""
    return ["".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips()]


def screen_text(app: App[None]) -> str:
    return "\n".join(screen_lines(app))


async def until(pilot: Pilot[None], reached: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until something is so; fail if it never is."""
    for _ in range(int(seconds / 0.05)):
        await pilot.pause(0.05)
        if reached():
            return
    raise AssertionError(f"not reached within {seconds} s; the screen:\n{screen_text(pilot.app)}")


async def at_end(pilot: Pilot[None]) -> None:
    """Go to the end of a replay."""
    await pilot.press("end")
    await pilot.pause(0.1)


async def click_part(pilot: Pilot[None], strip: str, action: str) -> bool:
    """Click a part of a strip; tell whether it is there."""
    parts = pilot.app.screen.query_one(f"#{strip}", Strip)
    start = 0
    for end, name in parts._ends:
        if name == action:
            await pilot.click(f"#{strip}", offset=(start + 1, 0))
            return True
        start = end
    return False


def room(app: App[None]) -> BaseScreen[None]:
    screen = app.screen
    assert isinstance(screen, BaseScreen)
    return screen


def told(app: App[None]) -> str:
    """Return what the application has told the user beside its screens."""
    return " ".join(notification.message for notification in app._notifications)
