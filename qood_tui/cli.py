"""The command line: `qood-tui` opens the terminal, its commands work without one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from engine.plan import Plan
    from engine.resources import Resources

from engine.errors import BAD_INPUT, CANCELLED, WITH_FAILURES


class Guarded(click.Group):
    """Turn every error into words: bad input exits with 2, a defect names its log."""

    def invoke(self, context: click.Context) -> Any:
        """Run a command."""
        from engine.errors import InputError, QoodError

        try:
            return super().invoke(context)
        except (click.ClickException, click.exceptions.Exit, click.Abort, SystemExit):
            raise
        except KeyboardInterrupt:
            raise SystemExit(CANCELLED) from None
        except InputError as error:
            _say(f"qood-tui: {error}")
            raise SystemExit(BAD_INPUT) from None
        except QoodError as error:
            _say(f"qood-tui: {error}")
            raise SystemExit(WITH_FAILURES) from None
        except BrokenPipeError:
            raise SystemExit(1) from None
        except Exception:
            from qood_tui.defects import keep_traceback

            _say(f"qood-tui: {keep_traceback()}")
            raise SystemExit(1) from None


Command = Callable[..., Any]


def machine_options(command: Command) -> Command:
    """Add the options that say what this machine brings: sets, weights, devices."""
    for option in reversed(
        (
            click.option("--data", type=Path, metavar="ROOT", help="Folder that holds image sets."),
            click.option(
                "--ood", multiple=True, metavar="NAME=FOLDER", help="A folder of images: an OOD set."
            ),
            click.option(
                "--id",
                "own_id",
                multiple=True,
                metavar="NAME=FOLDER",
                help="A folder of classes, or a list of images with labels: the ID set.",
            ),
            click.option(
                "--train", multiple=True, metavar="NAME=FOLDER", help="Images to calibrate and fit on."
            ),
            click.option(
                "--checkpoint",
                multiple=True,
                metavar="NAME=[MODEL:]FILE",
                help="Weights of your own: .safetensors, .pth, .npz, or a folder as timm saves it.",
            ),
            click.option("--classes", type=Path, metavar="FILE", help="The classes of a model, one a line."),
            click.option(
                "--devices", default="auto", show_default=True, help="auto, cpu, cuda, or cuda:0,cuda:1."
            ),
            click.option("--any-accuracy", is_flag=True, help="Go on even if accuracy is that of guessing."),
            click.option(
                "--crops", type=Path, metavar="FOLDER", help="Keep prepared images for later sweeps."
            ),
        )
    ):
        command = option(command)
    return command


def _resources(given: dict[str, Any]) -> Resources:
    from engine.resources import gathered

    return gathered(**given)


@click.group(
    cls=Guarded,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="qood-tui")
@machine_options
@click.option("--preset", "preset_name", metavar="NAME", help="Begin with the choices of a preset.")
@click.option("--session-dir", type=Path, help="Folder that sessions are put into.")
@click.option("--ascii", "ascii_only", is_flag=True, help="Draw with ASCII alone.")
@click.pass_context
def main(
    context: click.Context,
    /,
    preset_name: str | None,
    session_dir: Path | None,
    ascii_only: bool,
    **machine: Any,
) -> None:
    """See what low-bit quantization does to the OOD detection of vision transformers.

    Without a command this opens the terminal application. The demo needs no download:
    it is a miniature of the study on fractals, not ImageNet.
    """
    if context.invoked_subcommand is not None:
        given = [n for n in context.params if context.get_parameter_source(n) == ParameterSource.COMMANDLINE]
        if given:
            from engine.errors import InputError

            names = {"ascii_only": "ascii", "own_id": "id", "preset_name": "preset"}
            option = "--" + names.get(given[0], given[0]).replace("_", "-")
            right = f"put it behind the command: qood-tui {context.invoked_subcommand} {option} …"
            raise InputError(option, context.params[given[0]], right)
        return
    resources = _resources(machine)
    plan, resources = _begun(preset_name, resources)
    _open(resources=resources, root=session_dir, ascii_only=ascii_only, plan=plan)


@main.command()
@click.argument("plan_file", required=False, metavar="[PLAN.toml]")
@click.option("--demo", is_flag=True, help="Sweep the demo plan.")
@click.option(
    "--preset", "preset_name", metavar="NAME", help="Sweep a preset plan: demo, quick or kuang-wong-2026."
)
@click.option("--resume", metavar="SESSION", help="Go on with an interrupted session.")
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
        resources=_resources(machine),
        root=session_dir,
        changes=changes,
    )
    raise SystemExit(headless.run(asked, plain=plain, as_json=as_json))


@main.command()
@click.argument("session")
@click.option("--format", "form", default="md", show_default=True, help="json, md or csv.")
def report(session: str, form: str) -> None:
    """Print what SESSION found, measured again from its arrays."""
    from engine import render, sessions
    from engine.errors import unknown_name
    from engine.report import document

    if form not in render.FORMATS:
        raise unknown_name("format", form, render.FORMATS)
    click.echo(render.render(document(sessions.find(session)), form), nl=False)


@main.command()
@click.argument("session")
@click.option("--at", type=float, metavar="SECONDS", help="Show this moment, paused.")
@click.option("--speed", type=float, metavar="X", help="0.25 to 64 times as fast as it was.")
@click.option("--plain", is_flag=True, help="Print the moment as text instead of opening the terminal.")
@click.option("--ascii", "ascii_only", is_flag=True, help="Draw with ASCII alone.")
def replay(session: str, at: float | None, speed: float | None, plain: bool, ascii_only: bool) -> None:
    """Play SESSION again: a folder, the name of a recorded session, or `demo`."""
    from engine import sessions
    from engine.errors import InputError
    from qood_tui.sources import SPEEDS

    if at is not None and not 0 <= at < float("inf"):
        raise InputError("at", at, "give seconds from the start")
    if speed is not None and speed not in SPEEDS:
        raise InputError("speed", speed, f"choose from {', '.join(f'{s:g}' for s in SPEEDS)}")
    folder = sessions.find(session)
    if plain:
        from qood_tui import headless

        click.echo(headless.moment(folder, at), nl=False)
        return
    _open(session=folder, speed=speed, at=at, ascii_only=ascii_only)


def _forwarded(name: str, words: str) -> None:
    """Add a command that computes with models or arrays: it runs in a process of its own."""

    @main.command(
        name, help=words, context_settings={"ignore_unknown_options": True, "help_option_names": []}
    )
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def forward(arguments: tuple[str, ...]) -> None:
        import subprocess

        ran = subprocess.run([sys.executable, "-m", "engine", name, *arguments], check=False)
        raise SystemExit(ran.returncode)


_forwarded(
    "quantize", "Quantize a model of your own, save it packed, or run a saved one (--help tells more)."
)
_forwarded("scores", "Compute OOD scores of logits and features of your own (--list shows all).")
_forwarded("data", "See which image sets a folder holds and whether they can be read: data check ROOT.")
_forwarded("metrics", "Measure OOD scores of your own: AUROC, AUPR, FPR95, with intervals.")


@main.command()
@click.option("--data", type=Path, metavar="ROOT", help="Look at the folder of your image sets too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of lines.")
def doctor(data: Path | None, as_json: bool) -> None:
    """See whether everything is ready: torch, GPUs, disk, weights, terminal.

    Exit status: 0 nothing is bad, 3 something is.
    """
    from qood_tui.doctor import run as examine

    raise SystemExit(examine(data, as_json=as_json))


@main.command(name="sessions")
@click.option("--session-dir", type=Path, help="Folder that sessions are put into.")
def list_sessions(session_dir: Path | None) -> None:
    """List recorded sessions, newest first."""
    from engine import sessions
    from qood_tui.words import clean

    for folder in sessions.folders(session_dir):
        found = sessions.summary(folder)
        images = f"{found.rows}/{found.total} images"
        click.echo(
            clean(f"{found.created:<17} {found.state:<12} {images:<20} {found.title:<42} {found.path}")
        )


@main.command()
def stop() -> None:
    """Stop the engine and whatever it runs; finished work is kept."""
    from engine import client

    click.echo("The engine stops." if client.stop() else "No engine runs.")


def _open(
    session: Path | None = None,
    *,
    speed: float | None = None,
    at: float | None = None,
    resources: Resources | None = None,
    root: Path | None = None,
    ascii_only: bool = False,
    plan: Plan | None = None,
) -> None:
    # Textual draws to standard error where that is another terminal.
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        from engine.errors import InputError

        right = "it needs a terminal; use 'qood-tui run' or 'qood-tui replay SESSION --plain' without one"
        raise InputError("qood-tui", "no terminal", right)
    from qood_tui.app import QoodApp

    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    app = QoodApp(
        session,
        speed=speed,
        at=at,
        plan=plan,
        resources=resources,
        root=root,
        ascii_only=ascii_only or encoding != "utf8",
    )
    app.run()
    if app.return_code:
        raise SystemExit(app.return_code)


def _begun(name: str | None, resources: Resources) -> tuple[Plan, Resources]:
    """Return the plan that the set-up screen begins with: the study where there are photographs."""
    from engine import catalog, request
    from engine.plan import preset

    real = bool(resources.data or resources.id or resources.checkpoints)
    plan = preset(name or ("kuang-wong-2026" if real else "demo"))
    plan = request.with_checkpoints(plan, resources)
    if catalog.is_made(plan.id_set):
        import msgspec

        return msgspec.structs.replace(plan, ood_sets=(*plan.ood_sets, *resources.ood)), resources
    plan, resources, _ = request.settle(plan, resources, may_miss=True)
    return plan, resources


def _say(text: str) -> None:
    from qood_tui.words import clean

    click.echo(clean(text), err=True)


if __name__ == "__main__":
    main()
