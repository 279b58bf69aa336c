"""`qood-tui run`: sweep without the terminal application."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from qood_tui.commands import completion as complete
from qood_tui.commands.options import machine_options, resources


@click.command()
@click.argument("plan_file", required=False, metavar="[PLAN.toml]", shell_complete=complete.files)
@click.option("--demo", is_flag=True, help="Sweep the demo plan.")
@click.option(
    "--preset",
    "preset_name",
    metavar="NAME",
    help="Sweep a preset plan: demo, quick or kuang-wong-2026.",
    shell_complete=complete.presets,
)
@click.option(
    "--resume", metavar="SESSION", help="Go on with an interrupted session.", shell_complete=complete.sessions
)
@machine_options
@click.option("--share", type=float, metavar="X", help="Take this share of every set, such as 0.1.")
@click.option("--session-dir", type=Path, help="Folder that sessions are put into.")
@click.option("--seed", type=int, help="Another seed than the plan's.")
@click.option("--plain", is_flag=True, help="Lines instead of a progress bar.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of the table.")
def run(
    plan_file: str | None,
    demo: bool,
    preset_name: str | None,
    resume: str | None,
    share: float | None,
    session_dir: Path | None,
    seed: int | None,
    plain: bool,
    as_json: bool,
    **machine: Any,
) -> None:
    """Sweep a plan without the terminal application and print its delta table.

    Exit status: 0 finished, 2 bad input, 3 finished with failures, 130 cancelled.
    """
    from engine import request
    from engine.errors import InputError
    from qood_tui import headless

    if demo and preset_name:
        raise InputError("preset", preset_name, "give --demo or --preset, not both")
    changes = {name: value for name, value in (("share", share), ("seed", seed)) if value is not None}
    asked = request.prepare(
        plan_file,
        "demo" if demo else preset_name,
        resume,
        resources=resources(machine),
        root=session_dir,
        changes=changes,
    )
    raise SystemExit(headless.run(asked, plain=plain, as_json=as_json))
