"""`python -m engine`: sweep and report without a terminal, with JSON output."""

from __future__ import annotations

import argparse
import sys
import traceback
from importlib import import_module
from pathlib import Path

import msgspec

from engine import catalog, report
from engine.errors import BAD_INPUT, CANCELLED, FINISHED, WITH_FAILURES, InputError, QoodError, of_disk
from engine.plan.resources import from_options
from engine.service import client, request
from engine.session import store
from engine.session.session import Session
from engine.system import environment, paths
from engine.system.streams import served

COMMANDS = {
    "quantize": ("engine.commands.quantize", "quantize your own model, save it, run a saved one"),
    "scores": ("engine.commands.scores", "compute OOD scores of your own arrays"),
    "data": ("engine.commands.data", "list the image sets in a folder and check that they can be read"),
    "metrics": ("engine.commands.metrics", "measure OOD detection with your own scores"),
    "rescore": ("engine.sweep.rescore", "add scores to a finished session that kept its outputs"),
    "doctor": ("engine.commands.doctor", "check that this machine is ready"),
}
COMPUTING = ("quantize", "scores", "metrics", "rescore")


def main() -> int:
    """Run one command and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m engine", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="sweep a plan and print its JSON document")
    run.add_argument("plan", nargs="?")
    run.add_argument("--preset")
    run.add_argument("--resume")
    for name in ("--ood", "--id", "--train", "--checkpoint"):
        run.add_argument(name, action="append", default=[], metavar="NAME=PATH")
    for name in ("--data", "--classes", "--crops"):
        run.add_argument(name, type=Path)
    run.add_argument("--devices", default="auto")
    run.add_argument("--any-accuracy", action="store_true")
    run.add_argument("--ema", action="store_true")
    run.add_argument("--share", type=float)
    run.add_argument("--session-dir", type=Path)
    run.add_argument("--seed", type=int)
    run.add_argument("--class-order", choices=tuple(catalog.CLASS_ORDERS))
    run.add_argument("--largest-image", type=int)
    run.add_argument("--keep-outputs", action="store_true", default=None)
    reporting = commands.add_parser("report", help="print the results of a session")
    reporting.add_argument("session")
    reporting.add_argument("--format", default="json", choices=tuple(report.FORMATS))
    for name, (module, words) in COMMANDS.items():
        command = commands.add_parser(name, prog=_program(name), help=words)
        if name in sys.argv[1:2]:  # importing torch takes seconds, and the others do not need it
            command.set_defaults(run=import_module(module).run)
            import_module(module).arguments(command)
    options = parser.parse_args()
    try:
        if options.command in COMPUTING and not getattr(options, "list", False):
            environment.check_exact()
        if options.command in COMMANDS:
            status: int = options.run(options)
            return status
        return _run(options) if options.command == "run" else _report(options)
    except InputError as error:
        _say(options.command, str(error))
        return BAD_INPUT
    except QoodError as error:
        _say(options.command, str(error))
        return WITH_FAILURES
    except Exception as error:
        trace = environment.without_secrets(traceback.format_exc())
        _say(options.command, of_disk(error) or _kept(trace))
        return 1


def _say(command: str, text: str) -> None:
    sys.stderr.write(f"{_program(command)}: {environment.without_secrets(text)}\n")


def _kept(trace: str) -> str:
    """Append the traceback of a defect to the log; return the message for the user."""
    try:
        path = paths.log_file("engine")
        with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(trace)
    except OSError as error:
        return (
            f"this is a defect, and its log cannot be written ({error.strerror}); set QOOD_LOGS to a folder"
        )
    return f"this is a defect; details are in {path}"


def _program(command: str) -> str:
    if command not in COMMANDS:
        return "engine"
    return f"qood-tui {'sessions ' if command == 'rescore' else ''}{command}"


def _run(options: argparse.Namespace) -> int:
    resources = from_options(
        data=options.data,
        ood=tuple(options.ood),
        own_id=tuple(options.id),
        train=tuple(options.train),
        checkpoint=tuple(options.checkpoint),
        ema=options.ema,
        classes=options.classes,
        devices=options.devices,
        any_accuracy=options.any_accuracy,
        crops=options.crops,
    )
    fields = ("share", "seed", "class_order", "largest_image", "keep_outputs")
    changes = {name: getattr(options, name) for name in fields if getattr(options, name) is not None}
    prepared = request.prepare(
        options.plan,
        options.preset,
        options.resume,
        resources=resources,
        root=options.session_dir,
        changes=changes,
    )
    client.start(prepared.session, prepared.resources)
    try:
        for _ in client.watch(prepared.session, prepared.beyond):
            pass
    except KeyboardInterrupt:
        client.cancel(prepared.session)
        sys.stderr.write(f"engine: stopped; everything finished is kept in {prepared.session}\n")
        return CANCELLED
    session = Session.at(prepared.session)
    if (closed := session.closed) is not None and closed.outcome == "refused":
        sys.stderr.write(f"engine: {closed.reason}\n")
        store.discard(prepared.session)
        return BAD_INPUT
    document = report.document(session, quick=True)
    sys.stdout.write(report.render(msgspec.structs.replace(document, session=str(prepared.session)), "json"))
    return WITH_FAILURES if document.failures else FINISHED


def _report(options: argparse.Namespace) -> int:
    document = report.document(Session.at(store.find_readable(options.session)))
    sys.stdout.write(report.render(document, options.format))
    for line in document.mismatches:
        sys.stderr.write(f"engine: {line}\n")
    return WITH_FAILURES if document.mismatches else FINISHED


if __name__ == "__main__":
    served(main, _program(next(iter(sys.argv[1:]), "")))
