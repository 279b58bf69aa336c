"""The command line: `qood-tui` opens the application; its commands work without a terminal."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import click
from click.core import ParameterSource

from engine.errors import BAD_INPUT, CANCELLED, WITH_FAILURES
from qood_tui.cli import completion as complete
from qood_tui.cli.completion import completion
from qood_tui.cli.config import config
from qood_tui.cli.opening import begun, open_screen
from qood_tui.cli.options import machine_options, name_sessions_folder, resources, screen_options
from qood_tui.cli.recorded import compare_sessions, replay
from qood_tui.cli.report import report
from qood_tui.cli.run import run
from qood_tui.cli.serve import serve
from qood_tui.cli.sessions import sessions

STOP_SECONDS = 10.0  # for which `stop` waits for a running sweep to end


class Guarded(click.Group):
    """Turn every error into a message: bad input exits with 2, a defect names its log."""

    def __call__(self, *arguments: Any, **options: Any) -> NoReturn:
        """Run a command as a process: output that cannot be written is reported in a message too."""
        from engine.system.streams import served

        served(lambda: self.main(*arguments, **options), "qood-tui")

    def invoke(self, context: click.Context) -> Any:
        """Run a command."""
        from engine.errors import InputError, QoodError, of_disk

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
        except Exception as error:
            from qood_tui.defects import keep_traceback

            _say(f"qood-tui: {of_disk(error) or keep_traceback()}")
            raise SystemExit(1) from None


@click.group(
    cls=Guarded,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="qood-tui")
@machine_options
@click.option(
    "--preset",
    "preset_name",
    metavar="NAME",
    help="Start with the choices of a preset.",
    shell_complete=complete.presets,
)
@click.option("--plan", "plan_file", type=Path, metavar="PLAN.toml", help="Start with the choices of a plan.")
@click.option(
    "--session-dir",
    type=Path,
    metavar="FOLDER",
    callback=name_sessions_folder,
    help="Sessions folder (default: QOOD_SESSIONS, then the configuration).",
    shell_complete=complete.folders,
)
@screen_options
@click.pass_context
def main(
    context: click.Context,
    /,
    preset_name: str | None,
    plan_file: Path | None,
    session_dir: Path | None,
    ascii_only: bool,
    theme: str | None,
    **machine: Any,
) -> None:
    """See what low-bit quantization does to the OOD detection of vision transformers.

    Without a command, the terminal application opens. The demo needs no download:
    it is a miniature of the study on fractals, not ImageNet.
    """
    if context.invoked_subcommand is not None:
        source = context.get_parameter_source
        misplaced = [name for name in context.params if source(name) == ParameterSource.COMMANDLINE]
        if misplaced:
            from engine.errors import InputError

            names = {"ascii_only": "ascii", "own_id": "id", "preset_name": "preset", "plan_file": "plan"}
            option = "--" + names.get(misplaced[0], misplaced[0]).replace("_", "-")
            right = f"put it after the command: qood-tui {context.invoked_subcommand} {option} …"
            raise InputError(option, context.params[misplaced[0]], right)
        return
    plan, there = begun(preset_name, plan_file, resources(machine))
    open_screen(resources=there, root=session_dir, ascii_only=ascii_only, theme=theme, plan=plan)


for command in (run, report, replay, compare_sessions, sessions, completion, config, serve):
    main.add_command(command)


def _forwarded(name: str, words: str) -> None:
    """Add a command that computes with models or arrays: it runs in a separate process."""

    @main.command(
        name, help=words, context_settings={"ignore_unknown_options": True, "help_option_names": []}
    )
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def forward(arguments: tuple[str, ...]) -> None:
        import subprocess

        ran = subprocess.run([sys.executable, "-m", "engine", name, *arguments], check=False)
        raise SystemExit(ran.returncode)


_forwarded("quantize", "Quantize your own model, or run a saved one.")
_forwarded("scores", "Compute OOD scores from your own arrays.")
_forwarded("data", "Check the image sets in a folder.")
_forwarded("metrics", "Measure your own OOD scores.")


@main.command()
@click.option("--data", type=Path, metavar="ROOT", help="Also check the folder of your image sets.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of lines.")
def doctor(data: Path | None, as_json: bool) -> None:
    """Check whether this machine is ready.

    That is torch, GPUs, disk, weights and the terminal.

    Exit status: 0 nothing is bad, 3 something is bad.
    """
    from qood_tui.cli.doctor import run as examine

    raise SystemExit(examine(data, as_json=as_json))


@main.command()
def stop() -> None:
    """Stop the engine; finished work is kept."""
    from engine.protocol.messages import Status
    from engine.service import client

    status = client.call(Status())
    if not client.stop():
        click.echo("No engine is running.")
    elif status is None or not status.running:
        click.echo("Engine stopped.")
    else:
        click.echo(_stopped(Path(status.running)))


def _stopped(session: Path) -> str:
    """Return what has become of a session whose engine was told to stop."""
    from engine.session import store
    from engine.session.place import Folder
    from engine.text import clean

    deadline = time.monotonic() + STOP_SECONDS
    while Folder(session).is_being_written() and time.monotonic() < deadline:
        time.sleep(0.1)
    found = store.summary(session)
    if found.state == "running":
        return clean(f"Engine stopping; {session.name} is being closed at {found.rows:,} of {found.total:,}.")
    done = clean(f"Engine stopped; {session.name} {found.state} at {found.rows:,} of {found.total:,} images.")
    return done if found.state == "finished" else f"{done} Resume with: qood-tui run --resume {session.name}"


def _say(text: str) -> None:
    from qood_tui.words import clean

    click.echo(clean(text), err=True)


if __name__ == "__main__":
    main()
