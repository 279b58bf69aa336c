"""`qood-tui sessions rescore`: add scores to a finished session. It computes in a process of its own."""

from __future__ import annotations

import sys

import click

from qood_tui.cli import completion as complete
from qood_tui.cli.options import session_dir_option


@click.command()
@click.argument("session", shell_complete=complete.sessions)
@click.option(
    "--score",
    "scores",
    multiple=True,
    metavar="A,B",
    help="Scores to add, such as vim or knn:k=10.",
    shell_complete=complete.scores,
)
@click.option(
    "--headline",
    metavar="NAME",
    help="The score that deltas are measured under from now on.",
    shell_complete=complete.scores,
)
@session_dir_option
def rescore(session: str, scores: tuple[str, ...], headline: str | None) -> None:
    """Add scores to a finished session from the logits and features that it kept; no model runs.

    A score that is there already is computed again and compared. Such a session is swept with
    --keep-outputs; another headline needs no outputs.

    Exit status: 0 done, 2 bad input, 3 damage or nothing computed; then the session is as it was.
    """
    import subprocess

    from engine import catalog
    from engine.errors import InputError, unknown_name
    from engine.session.store import find

    folder = find(session).resolve()
    if not scores and headline is None:
        raise InputError(
            "score", "no score", "give --score NAME, or --headline NAME of a score that is there"
        )
    for name in (part.partition(":")[0].strip() for names in scores for part in names.split(",")):
        if name and name not in catalog.SCORES:  # torch takes seconds, a wrong name need not
            raise unknown_name("score", name, catalog.SCORES)
    given = [f"--score={names}" for names in scores]
    given += [f"--headline={headline}"] if headline is not None else []
    ran = subprocess.run([sys.executable, "-m", "engine", "rescore", *given, "--", str(folder)], check=False)
    raise SystemExit(ran.returncode)
