"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qood_tui.cli import completion as complete

if TYPE_CHECKING:
    from engine.plan.resources import Resources

Command = Callable[..., Any]
_SESSION_DIR = "qood_tui.session_dir"


def name_sessions_folder(
    context: click.Context, parameter: click.Parameter, given: Path | None
) -> Path | None:
    """Set the sessions folder while this command runs, from its option or that of its group."""
    from engine.system.paths import sessions_place

    if given is not None:
        context.meta[_SESSION_DIR] = given
    sessions_place.option = context.meta.get(_SESSION_DIR)
    sessions_place.configured = _configured_folder
    return given


def _configured_folder() -> str:
    from qood_tui.settings.config import read

    return read().session_dir


def session_dir_option(command: Command) -> Command:
    """Add the option for the sessions folder, used wherever a session is searched or made."""
    return click.option(
        "--session-dir",
        type=Path,
        metavar="FOLDER",
        callback=name_sessions_folder,
        expose_value=False,
        is_eager=True,
        help="Sessions folder (default: QOOD_SESSIONS, then the configuration).",
        shell_complete=complete.folders,
    )(command)


def machine_options(command: Command) -> Command:
    """Add the options for what this machine brings: image sets, weights, devices."""
    for option in reversed(
        (
            click.option(
                "--data",
                type=Path,
                metavar="ROOT",
                help="Folder that holds image sets.",
                shell_complete=complete.folders,
            ),
            click.option(
                "--ood", multiple=True, metavar="NAME=FOLDER", help="A folder of images as an OOD set."
            ),
            click.option(
                "--id",
                "own_id",
                multiple=True,
                metavar="NAME=FOLDER",
                help="A folder of classes, or a list of images with labels, as the ID set.",
            ),
            click.option(
                "--train", multiple=True, metavar="NAME=FOLDER", help="Images to calibrate and fit on."
            ),
            click.option(
                "--checkpoint",
                multiple=True,
                metavar="NAME=[MODEL:]FILE",
                help="Your own weights: .safetensors, .pth, .npz, a timm or transformers folder, or "
                "hf-hub:OWNER/NAME.",
            ),
            click.option(
                "--ema", is_flag=True, help="Use the EMA weights of checkpoints instead of the plain ones."
            ),
            click.option(
                "--classes",
                type=Path,
                metavar="FILE",
                help="The classes of a model, one per line.",
                shell_complete=complete.files,
            ),
            click.option(
                "--devices", default="auto", show_default=True, help="auto, cpu, cuda, or cuda:0,cuda:1."
            ),
            click.option(
                "--any-accuracy", is_flag=True, help="Continue even if accuracy is no better than guessing."
            ),
            click.option(
                "--crops",
                type=Path,
                metavar="FOLDER",
                help="Keep prepared images in FOLDER for later sweeps.",
                shell_complete=complete.folders,
            ),
        )
    ):
        command = option(command)
    return command


def screen_options(command: Command) -> Command:
    """Add the options for how a screen is drawn."""
    themes = ("dark", "light", "terminal")
    for option in (
        click.option("--theme", type=click.Choice(themes), help="Colours; terminal: its own."),
        click.option("--ascii", "ascii_only", is_flag=True, help="Draw with ASCII only."),
    ):
        command = option(command)
    return command


def resources(given: dict[str, Any]) -> Resources:
    """Return the resources that the machine options name; raise InputError."""
    from engine.plan.resources import from_options

    return from_options(**given)
