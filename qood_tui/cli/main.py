"""The command line: `qood-tui` opens the terminal, its commands work without one."""

from __future__ import annotations

import sys
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


class Guarded(click.Group):
    """Turn every error into words: bad input exits with 2, a defect names its log."""

    def __call__(self, *arguments: Any, **options: Any) -> NoReturn:
        """Run a command as a process does: output that cannot be written is reported in words too."""
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
    help="Begin with the choices of a preset.",
    shell_complete=complete.presets,
)
@click.option("--plan", "plan_file", type=Path, metavar="PLAN.toml", help="Begin with the choices of a plan.")
@click.option(
    "--session-dir",
    type=Path,
    metavar="FOLDER",
    callback=name_sessions_folder,
    help="Folder of sessions (else QOOD_SESSIONS, else the configuration).",
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

    Without a command this opens the terminal application. The demo needs no download:
    it is a miniature of the study on fractals, not ImageNet.
    """
    if context.invoked_subcommand is not None:
        given = [n for n in context.params if context.get_parameter_source(n) == ParameterSource.COMMANDLINE]
        if given:
            from engine.errors import InputError

            names = {"ascii_only": "ascii", "own_id": "id", "preset_name": "preset", "plan_file": "plan"}
            option = "--" + names.get(given[0], given[0]).replace("_", "-")
            right = f"put it behind the command: qood-tui {context.invoked_subcommand} {option} …"
            raise InputError(option, context.params[given[0]], right)
        return
    plan, there = begun(preset_name, plan_file, resources(machine))
    open_screen(resources=there, root=session_dir, ascii_only=ascii_only, theme=theme, plan=plan)


for command in (run, report, replay, compare_sessions, sessions, completion, config, serve):
    main.add_command(command)


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
    from qood_tui.cli.doctor import run as examine

    raise SystemExit(examine(data, as_json=as_json))


@main.command()
def stop() -> None:
    """Stop the engine and whatever it runs; finished work is kept."""
    from engine.service import client

    click.echo("The engine stops." if client.stop() else "No engine runs.")


def _say(text: str) -> None:
    from qood_tui.words import clean

    click.echo(clean(text), err=True)


if __name__ == "__main__":
    main()
