"""`qood-tui sessions verify`: whether a session is intact."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from engine.text import counted
from qood_tui.cli import completion as complete
from qood_tui.cli.options import session_dir_option

if TYPE_CHECKING:
    from engine.archive.verify import Verdict

DAMAGED = 1


@click.command()
@click.argument(
    "names", nargs=-1, required=True, metavar="SESSION...", shell_complete=complete.readable_sessions
)
@session_dir_option
@click.option("--quick", is_flag=True, help="Do not recompute every number from the arrays.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of lines.")
def verify(names: tuple[str, ...], quick: bool, as_json: bool) -> None:
    """Verify every line, row, file and number of SESSION.

    SESSION is a folder, a .qood file or a name. Lines are verified by their checksums, rows and saved
    quantizers by their SHA-256, numbers by recomputing them.

    Exit status: 0 intact, 1 something is damaged or missing.
    """
    import msgspec

    from engine.archive import verify as verifying
    from engine.session import store
    from engine.session.session import place_at
    from qood_tui.words import clean

    verdicts = [verifying.verify(place_at(store.find_readable(name)), quick=quick) for name in names]
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(verdicts), indent=2).decode())
    else:
        for verdict in verdicts:
            for line in _lines(verdict):
                click.echo(clean(line))
    if not all(verdict.is_whole for verdict in verdicts):
        raise SystemExit(DAMAGED)


def _lines(verdict: Verdict) -> list[str]:
    verdict_text = "intact" if verdict.is_whole else f"DAMAGED, {counted(len(verdict.damage), 'problem')}"
    return [
        f"{verdict.session}: {verdict_text}",
        *(f"  damaged  {line}" for line in verdict.damage),
        *(f"  note     {line}" for line in verdict.notes),
        *(f"  checked  {line}" for line in verdict.seen),
    ]
