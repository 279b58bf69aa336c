"""`qood-tui sessions rescore`: add scores to a finished session, computed in a separate process."""

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
    help="Scores to add, e.g. vim or knn:k=10.",
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
    """Add scores to a finished session.

    They are computed from its kept logits and features, without running a model, so it must have
    been swept with --keep-outputs; changing the headline needs no outputs. Existing scores are
    recomputed and compared.

    Exit status: 0 done, 2 bad input, 3 damage or nothing computed (the session is unchanged).
    """
    import subprocess

    from engine import catalog
    from engine.errors import InputError, unknown_name
    from engine.session.store import find

    folder = find(session).resolve()
    if not scores and headline is None:
        raise InputError("score", "no score", "give --score NAME, or --headline NAME for an existing score")
    for name in (part.partition(":")[0].strip() for names in scores for part in names.split(",")):
        if name and name not in catalog.SCORES:  # before torch is loaded, which takes seconds
            raise unknown_name("score", name, catalog.SCORES)
    options = [f"--score={names}" for names in scores]
    options += [f"--headline={headline}"] if headline is not None else []
    ran = subprocess.run(
        [sys.executable, "-m", "engine", "rescore", *options, "--", str(folder)], check=False
    )
    raise SystemExit(ran.returncode)
