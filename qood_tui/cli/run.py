"""`qood-tui run`: sweep without the terminal application."""

from __future__ import annotations

import sys
from typing import Any

import click

from qood_tui.cli import completion as complete
from qood_tui.cli.options import machine_options, resources, session_dir_option


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
    "--resume", metavar="SESSION", help="Resume an interrupted session.", shell_complete=complete.sessions
)
@click.option(
    "--take-over",
    is_flag=True,
    help="Resume a session even if another machine was writing it; only if that has ended for good.",
)
@machine_options
@click.option("--share", type=float, metavar="X", help="Use this share of every set, e.g. 0.1.")
@click.option(
    "--class-order",
    type=click.Choice(("natural", "codepoint")),
    help="Order class folders as timm (natural) or torchvision (codepoint) does.",
)
@click.option(
    "--largest-image",
    type=int,
    metavar="PIXELS",
    help="Leave out larger images (default: 178,956,970, as in Pillow).",
)
@session_dir_option
@click.option("--seed", type=int, help="Override the plan's seed.")
@click.option(
    "--keep-outputs",
    is_flag=True,
    help="Keep logits and features of every image, to add scores later.",
)
@click.option("--plain", is_flag=True, help="Print lines instead of a progress bar.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of the table.")
def run(
    plan_file: str | None,
    demo: bool,
    preset_name: str | None,
    resume: str | None,
    take_over: bool,
    share: float | None,
    class_order: str | None,
    largest_image: int | None,
    seed: int | None,
    keep_outputs: bool,
    plain: bool,
    as_json: bool,
    **machine: Any,
) -> None:
    """Sweep a plan and print its delta table.

    Exit status: 0 finished, 2 bad input, 3 finished with failures, 130 cancelled.
    """
    from engine.errors import InputError
    from engine.service import request
    from qood_tui.cli import headless

    if demo and preset_name:
        raise InputError("preset", preset_name, "give --demo or --preset, not both")
    overrides = {
        "share": share,
        "class_order": class_order,
        "largest_image": largest_image,
        "seed": seed,
        "keep_outputs": keep_outputs or None,
    }
    changes = {name: value for name, value in overrides.items() if value is not None}
    asked = request.prepare(
        plan_file,
        "demo" if demo else preset_name,
        resume,
        resources=resources(machine),
        changes=changes,
        take_over=take_over or (resume is not None and _may_take_over(resume)),
    )
    raise SystemExit(headless.run(asked, plain=plain, as_json=as_json))


def _may_take_over(resume: str) -> bool:
    """Ask whether to take over a session that another machine was writing, if someone can answer."""
    from engine.session import lease, store

    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    try:
        lease.check_free(store.find(resume))
    except lease.LeaseHeld as error:
        if error.stale is None:
            return False
        ago = lease.lasting(error.stale)
        where = "on another machine, or on this one before a restart"
        question = f"This session was being written {where}, last {ago} ago. Has that ended for good?"
        return click.confirm(question, err=True)
    except OSError:
        pass
    return False
