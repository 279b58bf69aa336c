"""What can be done with recorded sessions: list, report, replay and compare them."""

from __future__ import annotations

from pathlib import Path

import click

from qood_tui.commands import completion as complete
from qood_tui.commands.opening import open_screen
from qood_tui.commands.options import screen_options


@click.command()
@click.argument("session", shell_complete=complete.sessions)
@click.option("--format", "form", default="md", show_default=True, help="json, md or csv.")
def report(session: str, form: str) -> None:
    """Print what SESSION found, measured again from its arrays."""
    from engine import render, sessions
    from engine.errors import unknown_name
    from engine.report import document

    if form not in render.FORMATS:
        raise unknown_name("format", form, render.FORMATS)
    click.echo(render.render(document(sessions.find(session)), form), nl=False)


@click.command()
@click.argument("session", shell_complete=complete.sessions)
@click.option("--at", type=float, metavar="SECONDS", help="Show this moment, paused.")
@click.option("--speed", type=float, metavar="X", help="0.25 to 64 times as fast as it was.")
@click.option("--plain", is_flag=True, help="Print the moment as text instead of opening the terminal.")
@screen_options
def replay(
    session: str, at: float | None, speed: float | None, plain: bool, ascii_only: bool, theme: str | None
) -> None:
    """Play SESSION again: a folder, the name of a recorded session, or `demo`."""
    from engine import sessions
    from engine.errors import InputError
    from qood_tui.sources import SPEEDS

    if at is not None and not 0 <= at < float("inf"):
        raise InputError("at", at, "give seconds from the start")
    if speed is not None and speed not in SPEEDS:
        raise InputError("speed", speed, f"choose from {', '.join(f'{s:g}' for s in SPEEDS)}")
    folder = sessions.find(session)
    if plain:
        from qood_tui import headless

        click.echo(headless.moment(folder, at), nl=False)
        return
    open_screen(session=folder, speed=speed, at=at, ascii_only=ascii_only, theme=theme)


@click.command(name="compare")
@click.argument(
    "names", nargs=-1, required=True, metavar="SESSION SESSION...", shell_complete=complete.sessions
)
@click.option("--plain", is_flag=True, help="Print the comparison as text instead of opening the terminal.")
@click.option(
    "--csv", "as_csv", is_flag=True, help="Print one line a cell, with its difference from the first."
)
@screen_options
def compare_sessions(
    names: tuple[str, ...], plain: bool, as_csv: bool, ascii_only: bool, theme: str | None
) -> None:
    """Show sessions side by side, each with its difference from the first."""
    from engine import sessions
    from engine.errors import InputError

    if len(names) < 2:
        raise InputError("session", names[0], "name two or more sessions to compare")
    folders = tuple(sessions.find(name) for name in names)
    if plain or as_csv:
        from qood_tui import headless

        click.echo(headless.comparison(folders, as_csv=as_csv), nl=False)
        return
    open_screen(session=folders[0], others=folders[1:], ascii_only=ascii_only, theme=theme)


@click.command(name="sessions")
@click.option("--session-dir", type=Path, help="Folder that sessions are put into.")
def list_sessions(session_dir: Path | None) -> None:
    """List recorded sessions, newest first."""
    from engine import sessions
    from qood_tui.words import clean

    for folder in sessions.folders(session_dir):
        found = sessions.summary(folder)
        images = f"{found.rows}/{found.total} images"
        click.echo(
            clean(f"{found.created:<17} {found.state:<12} {images:<20} {found.title:<42} {found.path}")
        )
