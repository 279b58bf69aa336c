"""`qood-tui report`: what a session found, as a document."""

from __future__ import annotations

from pathlib import Path

import click

from qood_tui.cli import completion as complete
from qood_tui.cli.options import session_dir_option

MOST_NAMED = 20  # mismatches


@click.command()
@click.argument("session", shell_complete=complete.readable_sessions)
@click.option("--format", "form", default="md", show_default=True, help="md, html, csv, latex or json.")
@click.option(
    "-o",
    "--output",
    type=Path,
    metavar="FILE",
    help="Write to FILE instead of printing.",
    shell_complete=complete.files,
)
@click.option("--force", is_flag=True, help="Overwrite FILE if it exists.")
@click.option(
    "--quick", is_flag=True, help="Take intervals from the journal instead of recomputing them (and say so)."
)
@session_dir_option
def report(session: str, form: str, output: Path | None, force: bool, quick: bool) -> None:
    """Print what SESSION found.

    Every number is recomputed from the arrays and checked against the journal. SESSION is a folder, a
    .qood file, the name of a recorded session, or `demo`.

    Exit status: 0 they agree, 3 journal and arrays disagree.
    """
    from engine import report as reports
    from engine.errors import WITH_FAILURES
    from engine.session import store
    from engine.session.session import Session
    from engine.text import counted
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
        click.echo(f"qood-tui: journal and arrays disagree in {counted(len(wrong), 'place')}:", err=True)
        for line in wrong[:MOST_NAMED]:
            click.echo(f"  {clean(line)}", err=True)
        if len(wrong) > MOST_NAMED:
            click.echo(f"  and {len(wrong) - MOST_NAMED:,} more", err=True)
        raise SystemExit(WITH_FAILURES)


def _check(output: Path, force: bool) -> None:
    """Raise InputError if a file cannot be written, before anything is computed."""
    from engine.errors import InputError

    try:
        output.stat()  # reports invalid names, which is_dir() does not
    except FileNotFoundError:
        pass
    except OSError as error:
        raise InputError("output", str(output)[:120], f"it cannot be written ({error.strerror})") from None
    if output.is_dir():
        raise InputError("output", str(output), "this is a folder; name a file")
    if output.exists() and not force:
        raise InputError("output", str(output), "it already exists; add --force to overwrite it")
    if not output.absolute().parent.is_dir():
        raise InputError("output", str(output), "its folder does not exist")


def _write(output: Path, text: str, force: bool) -> None:
    from engine.archive.transfer import replacing

    with replacing(output, force=force, field="output") as file:
        file.write(text.encode())
