"""What a session found, as a document to attach, print or copy from."""

from __future__ import annotations

from pathlib import Path

import click

from qood_tui.cli import completion as complete
from qood_tui.cli.options import session_dir_option

MOST_NAMED = 20  # of what does not agree


@click.command()
@click.argument("session", shell_complete=complete.readable_sessions)
@click.option("--format", "form", default="md", show_default=True, help="md, html, csv, latex or json.")
@click.option(
    "-o",
    "--output",
    type=Path,
    metavar="FILE",
    help="Write it to FILE instead of printing it.",
    shell_complete=complete.files,
)
@click.option("--force", is_flag=True, help="Write over FILE if it is there.")
@click.option(
    "--quick",
    is_flag=True,
    help="Take intervals from the journal; the report says so.",
)
@session_dir_option
def report(session: str, form: str, output: Path | None, force: bool, quick: bool) -> None:
    """Print what SESSION found, measured again from its arrays and compared with its journal.

    SESSION is a folder, a .qood file, the name of a recorded session, or `demo`.

    Exit status: 0 journal and arrays agree, 3 they disagree.
    """
    from engine import report as reports
    from engine.errors import WITH_FAILURES
    from engine.session import store
    from engine.session.session import Session
    from qood_tui.words import clean

    reports.checked(form)
    if output is not None:
        _check(output, force)
    document = reports.document(Session.at(store.find_readable(session)), quick=quick)
    text = reports.render(document, form)
    if output is None:
        click.echo(text, nl=False)
    else:
        _write(output, text, force)
    wrong = document.mismatches
    if wrong:
        click.echo(f"qood-tui: the journal and the arrays disagree in {len(wrong):,} places:", err=True)
        for line in wrong[:MOST_NAMED]:
            click.echo(f"  {clean(line)}", err=True)
        if len(wrong) > MOST_NAMED:
            click.echo(f"  and {len(wrong) - MOST_NAMED:,} more", err=True)
        raise SystemExit(WITH_FAILURES)


def _check(output: Path, force: bool) -> None:
    """Raise InputError before anything is measured if a file cannot be written."""
    from engine.errors import InputError

    try:
        output.stat()  # says of a name that cannot be one what is_dir() keeps to itself
    except FileNotFoundError:
        pass
    except OSError as error:
        raise InputError("output", str(output)[:120], f"it cannot be written ({error.strerror})") from None
    if output.is_dir():
        raise InputError("output", str(output), "name a file, this is a folder")
    if output.exists() and not force:
        raise InputError("output", str(output), "it is there already; --force writes over it")
    if not output.absolute().parent.is_dir():
        raise InputError("output", str(output), "its folder is not there")


def _write(output: Path, text: str, force: bool) -> None:
    from engine.archive.transfer import replacing

    with replacing(output, force=force, field="output") as file:
        file.write(text.encode())
