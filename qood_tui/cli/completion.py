"""`qood-tui completion`: completion scripts for shells, and completers of arguments."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path

import click
from click.shell_completion import CompletionItem, get_completion_class

PROGRAM = "qood-tui"
VARIABLE = "_QOOD_TUI_COMPLETE"
# Shells insert completions verbatim, so they must not contain anything a shell interprets.
_HARMLESS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")

INSTALL = {
    "bash": 'add to ~/.bashrc: eval "$(qood-tui completion bash)"',
    "zsh": 'add to ~/.zshrc, after compinit: eval "$(qood-tui completion zsh)"',
    "fish": "qood-tui completion fish > ~/.config/fish/completions/qood-tui.fish",
}

Items = list[CompletionItem[str]]
Completer = Callable[[click.Context, click.Parameter, str], Items]


def _completer(names: Callable[[], Iterable[tuple[str, str]]]) -> Completer:
    """Return a completer of names with descriptions; on any failure it completes nothing."""

    @wraps(names)
    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
        try:
            found = list(names())
        except Exception:
            return []
        return [
            CompletionItem(name, help=words or None)
            for name, words in found
            if name.startswith(incomplete) and _HARMLESS.fullmatch(name)
        ]

    return complete


@_completer
def shells() -> Iterable[tuple[str, str]]:
    """Complete the names of supported shells."""
    return [(name, "") for name in INSTALL]


@_completer
def presets() -> Iterable[tuple[str, str]]:
    """Complete the names of presets."""
    from engine.catalog import PRESETS

    return [(name, preset.label) for name, preset in PRESETS.items()]


@_completer
def scores() -> Iterable[tuple[str, str]]:
    """Complete the names of OOD scores."""
    from engine.catalog import SCORES

    return [(name, score.label) for name, score in SCORES.items()]


@_completer
def _session_names() -> Iterable[tuple[str, str]]:
    from engine.session.store import folders

    try:
        names = [folder.name for folder in folders()]
    except (OSError, RuntimeError):
        names = []
    return [(name, "") for name in dict.fromkeys((*names, "demo"))]


@_completer
def _archives() -> Iterable[tuple[str, str]]:
    from engine.session.layout import ARCHIVE_SUFFIX

    return [(path.name, "a session in a file") for path in sorted(Path().glob(f"*{ARCHIVE_SUFFIX}"))]


def sessions(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Complete the names of sessions, or folders if none matches."""
    return _session_names(context, parameter, incomplete) or folders(context, parameter, incomplete)


def readable_sessions(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Complete names of sessions and `.qood` files, or let the shell complete a path that was begun."""
    named = [*_session_names(context, parameter, incomplete), *_archives(context, parameter, incomplete)]
    return named or files(context, parameter, incomplete)


def files(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Let the shell complete files."""
    return [CompletionItem(incomplete, type="file")]


def folders(context: click.Context, parameter: click.Parameter, incomplete: str) -> Items:
    """Let the shell complete folders."""
    return [CompletionItem(incomplete, type="dir")]


@click.command()
@click.argument("shell", shell_complete=shells)
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a completion script for SHELL: bash, zsh or fish."""
    from engine.errors import unknown_name

    if shell not in INSTALL:
        raise unknown_name("shell", shell, INSTALL)
    made = get_completion_class(shell)
    assert made, "click knows these shells"
    script = made(context.find_root().command, {}, PROGRAM, VARIABLE).source()
    comment = f"# To install: {INSTALL[shell]}\n"
    # zsh looks for #compdef only in the first line.
    first, rest = script.split("\n", 1) if script.startswith("#compdef") else ("", script)
    click.echo(f"{first}\n{comment}{rest}" if first else comment + rest, nl=False)
