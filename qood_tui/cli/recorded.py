"""`qood-tui replay` and `qood-tui compare`."""

from __future__ import annotations

import click

from qood_tui.cli import completion as complete
from qood_tui.cli.opening import open_screen
from qood_tui.cli.options import screen_options, session_dir_option


@click.command()
@click.argument("session", shell_complete=complete.readable_sessions)
@click.option("--at", metavar="TIME", help="Start paused at this time: seconds, 1:23, 50% or end.")
@click.option("--speed", type=float, metavar="X", help="Playback speed, 0.25 to 64.")
@click.option("--plain", is_flag=True, help="Print the state as text instead of opening the terminal.")
@session_dir_option
@screen_options
def replay(
    session: str, at: str | None, speed: float | None, plain: bool, ascii_only: bool, theme: str | None
) -> None:
    """Replay SESSION.

    SESSION is a folder, a .qood file, the name of a recorded session, or `demo`.
    """
    from engine.errors import InputError
    from engine.session import store
    from engine.session.session import Session
    from qood_tui.state.sources import SPEEDS, seconds_of

    if speed is not None and speed not in SPEEDS:
        raise InputError("speed", speed, f"choose from {', '.join(f'{s:g}' for s in SPEEDS)}")
    recorded = store.find_readable(session)
    moment = None
    if at is not None:
        entries = Session.at(recorded).entries
        moment = seconds_of(at, entries[-1].t if entries else 0.0, "at")
    if plain:
        from qood_tui.cli import headless

        click.echo(headless.moment(recorded, moment), nl=False)
        return
    open_screen(session=recorded, speed=speed, at=moment, ascii_only=ascii_only, theme=theme)


@click.command(name="compare")
@click.argument(
    "names", nargs=-1, required=True, metavar="SESSION SESSION...", shell_complete=complete.readable_sessions
)
@click.option("--plain", is_flag=True, help="Print the comparison as text instead of opening the terminal.")
@click.option(
    "--csv",
    "as_csv",
    is_flag=True,
    help="Print one line per cell, with its difference from the first session.",
)
@session_dir_option
@screen_options
def compare_sessions(
    names: tuple[str, ...], plain: bool, as_csv: bool, ascii_only: bool, theme: str | None
) -> None:
    """Compare sessions side by side.

    Each is shown with its difference from the first. A SESSION is a folder, a .qood file or a name.
    """
    from engine.errors import InputError
    from engine.session import store

    if len(names) < 2:
        raise InputError("session", names[0], "name two or more sessions to compare")
    recorded = tuple(store.find_readable(name) for name in names)
    if plain or as_csv:
        from qood_tui.cli import headless

        click.echo(headless.compared(recorded, as_csv=as_csv), nl=False)
        return
    open_screen(session=recorded[0], others=recorded[1:], ascii_only=ascii_only, theme=theme)
