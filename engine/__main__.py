"""`python -m engine`: sweep and report on a machine without a terminal, JSON out."""

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
    "quantize": ("engine.commands.quantize", "quantize a model of your own, save it, run a saved one"),
    "scores": ("engine.commands.scores", "OOD scores of arrays of your own"),
    "data": ("engine.commands.data", "which image sets a folder holds, and whether they can be read"),
    "metrics": ("engine.commands.metrics", "OOD measures of scores of your own"),
    "rescore": ("engine.sweep.rescore", "add scores to a finished session that kept its outputs"),
    "doctor": ("engine.commands.doctor", "whether everything is ready here"),
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
    again = commands.add_parser("report", help="print what a session found")
    again.add_argument("session")
    again.add_argument("--format", default="json", choices=tuple(report.FORMATS))
    for name, (module, words) in COMMANDS.items():
        own = commands.add_parser(name, prog=_program(name), help=words)
        if name in sys.argv[1:2]:  # torch takes seconds, the other commands need none of it
            own.set_defaults(run=import_module(module).run)
            import_module(module).arguments(own)
    given = parser.parse_args()
    try:
        if given.command in COMPUTING and not getattr(given, "list", False):
            environment.check_exact()
        if given.command in COMMANDS:
            status: int = given.run(given)
            return status
        return _run(given) if given.command == "run" else _report(given)
    except InputError as error:
        _say(given.command, str(error))
        return BAD_INPUT
    except QoodError as error:
        _say(given.command, str(error))
        return WITH_FAILURES
    except Exception as error:
        trace = environment.without_secrets(traceback.format_exc())
        _say(given.command, of_disk(error) or _kept(trace))
        return 1


def _say(command: str, text: str) -> None:
    sys.stderr.write(f"{_program(command)}: {environment.without_secrets(text)}\n")


def _kept(trace: str) -> str:
    """Append the traceback of a defect to the log; return what to tell the user."""
    try:
        path = paths.log_file("engine")
        with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(trace)
    except OSError as error:
        return (
            f"this is a defect, and its log cannot be written ({error.strerror}); set QOOD_LOGS to a folder"
        )
    return f"this is a defect; what happened is in {path}"


def _program(command: str) -> str:
    if command not in COMMANDS:
        return "engine"
    return f"qood-tui {'sessions ' if command == 'rescore' else ''}{command}"


def _run(given: argparse.Namespace) -> int:
    resources = from_options(
        data=given.data,
        ood=tuple(given.ood),
        own_id=tuple(given.id),
        train=tuple(given.train),
        checkpoint=tuple(given.checkpoint),
        ema=given.ema,
        classes=given.classes,
        devices=given.devices,
        any_accuracy=given.any_accuracy,
        crops=given.crops,
    )
    fields = ("share", "seed", "class_order", "largest_image", "keep_outputs")
    changes = {name: getattr(given, name) for name in fields if getattr(given, name) is not None}
    asked = request.prepare(
        given.plan, given.preset, given.resume, resources=resources, root=given.session_dir, changes=changes
    )
    client.start(asked.session, asked.resources)
    try:
        for _ in client.watch(asked.session, asked.beyond):
            pass
    except KeyboardInterrupt:
        client.cancel(asked.session)
        sys.stderr.write(f"engine: stopped; what is finished is kept in {asked.session}\n")
        return CANCELLED
    session = Session.at(asked.session)
    if (closed := session.closed) is not None and closed.outcome == "refused":
        sys.stderr.write(f"engine: {closed.reason}\n")
        store.discard(asked.session)
        return BAD_INPUT
    found = report.document(session, quick=True)
    sys.stdout.write(report.render(msgspec.structs.replace(found, session=str(asked.session)), "json"))
    return WITH_FAILURES if found.failures else FINISHED


def _report(given: argparse.Namespace) -> int:
    found = report.document(Session.at(store.find_readable(given.session)))
    sys.stdout.write(report.render(found, given.format))
    for line in found.mismatches:
        sys.stderr.write(f"engine: {line}\n")
    return WITH_FAILURES if found.mismatches else FINISHED


if __name__ == "__main__":
    served(main, _program(next(iter(sys.argv[1:]), "")))
