"""What can be done with recorded sessions: replay and compare them."""

from __future__ import annotations

import click

from qood_tui.cli import completion as complete
from qood_tui.cli.opening import open_screen
from qood_tui.cli.options import screen_options, session_dir_option


@click.command()
@click.argument("session", shell_complete=complete.sessions)
@click.option("--at", metavar="TIME", help="Show this moment, paused: seconds, 1:23, 50% or end.")
@click.option("--speed", type=float, metavar="X", help="0.25 to 64 times as fast as it was.")
@click.option("--plain", is_flag=True, help="Print the moment as text instead of opening the terminal.")
@session_dir_option
@screen_options
def replay(
    session: str, at: str | None, speed: float | None, plain: bool, ascii_only: bool, theme: str | None
) -> None:
    """Play SESSION again: a folder, the name of a recorded session, or `demo`."""
    from engine.errors import InputError
    from engine.session import journal, store
    from qood_tui.state.sources import SPEEDS, seconds_of

    if speed is not None and speed not in SPEEDS:
        raise InputError("speed", speed, f"choose from {', '.join(f'{s:g}' for s in SPEEDS)}")
    folder = store.find(session)
    moment = None
    if at is not None:
        entries = journal.read(folder)[1]
        moment = seconds_of(at, entries[-1].t if entries else 0.0, "at")
    if plain:
        from qood_tui.cli import headless

        click.echo(headless.moment(folder, moment), nl=False)
        return
    open_screen(session=folder, speed=speed, at=moment, ascii_only=ascii_only, theme=theme)


@click.command(name="compare")
@click.argument(
    "names", nargs=-1, required=True, metavar="SESSION SESSION...", shell_complete=complete.sessions
)
@click.option("--plain", is_flag=True, help="Print the comparison as text instead of opening the terminal.")
@click.option(
    "--csv", "as_csv", is_flag=True, help="Print one line a cell, with its difference from the first."
)
@session_dir_option
@screen_options
def compare_sessions(
    names: tuple[str, ...], plain: bool, as_csv: bool, ascii_only: bool, theme: str | None
) -> None:
    """Show sessions side by side, each with its difference from the first."""
    from engine.errors import InputError
    from engine.session import store

    if len(names) < 2:
        raise InputError("session", names[0], "name two or more sessions to compare")
    folders = tuple(store.find(name) for name in names)
    if plain or as_csv:
        from qood_tui.cli import headless

        click.echo(headless.compared(folders, as_csv=as_csv), nl=False)
        return
    open_screen(session=folders[0], others=folders[1:], ascii_only=ascii_only, theme=theme)
