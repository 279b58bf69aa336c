"""`qood-tui sessions`: list, show, rename, annotate and delete recorded sessions.

The other commands of the group are in separate files.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

import click

from qood_tui.cli import completion as complete
from qood_tui.cli.options import session_dir_option
from qood_tui.cli.rescore import rescore
from qood_tui.cli.sharing import export, import_session, redact
from qood_tui.cli.verify import verify


@click.group(name="sessions", invoke_without_command=True)
@session_dir_option
@click.pass_context
def sessions(context: click.Context) -> None:
    """Manage recorded sessions; without a command, list them."""
    if context.invoked_subcommand is None:
        context.invoke(list_sessions)


@sessions.command(name="list")
@session_dir_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of lines.")
def list_sessions(as_json: bool = False) -> None:
    """List recorded sessions, newest first.

    Their folder, and which setting named it, is printed to standard error.
    """
    from engine.session import store as recorded
    from engine.system.paths import sessions_place

    place = sessions_place.find()
    found = [recorded.summary(folder) for folder in recorded.folders()]
    if as_json:
        listed = [_plain(one) for one in found]
        _print_json({"folder": str(place.folder), "named_by": place.named_by, "sessions": listed})
        return
    _print(f"{place.folder} (named by {place.named_by})", err=True)
    for one in found:
        ships = "  (ships with the program)" if recorded.is_shipped(one.path) else ""
        note = f"  {one.note[:80]}" if one.note else ""
        images = f"{one.rows:,}/{one.total:,} images" if one.total else ""
        line = f"{one.created:<21} {one.state:<12} {images:<21} {one.title:<42} {one.path.name}{ships}{note}"
        _print(line)


@sessions.command()
@click.argument("session", shell_complete=complete.readable_sessions)
@session_dir_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of lines.")
def show(session: str, as_json: bool) -> None:
    """Show what SESSION is and what it found."""
    from engine.session import store as recorded
    from qood_tui.cli import about

    found = about.about(recorded.find_readable(session))
    if as_json:
        import msgspec

        _print_json(msgspec.to_builtins(found))
        return
    for line in about.lines(found):
        _print(line)


@sessions.command()
@click.argument("session", shell_complete=complete.sessions)
@click.argument("name", metavar="NEW")
@session_dir_option
def rename(session: str, name: str) -> None:
    """Rename SESSION to NEW."""
    from engine.session import store as recorded

    _print(f"Renamed to {recorded.rename(recorded.find(session), name)}")


@sessions.command()
@click.argument("session", shell_complete=complete.sessions)
@click.argument("text", required=False)
@click.option("--edit", is_flag=True, help="Write it in your editor ($VISUAL or $EDITOR).")
@click.option("--clear", is_flag=True, help="Remove the note.")
@session_dir_option
def note(session: str, text: str | None, edit: bool, clear: bool) -> None:
    """Print the note of SESSION, or set it to TEXT.

    The first line of a note is shown wherever sessions are listed.
    """
    from engine.errors import InputError
    from engine.session import notes
    from engine.session import store as recorded
    from engine.session.place import Folder

    if (text is not None) + edit + clear > 1:
        raise InputError("note", text or "--edit --clear", "give only one of TEXT, --edit and --clear")
    folder = recorded.find(session)
    if text is None and not edit and not clear:
        _print_lines(notes.read(Folder(folder)).split("\n"))
        return
    recorded.check_may_change(folder)
    if edit:
        try:
            text = click.edit(notes.read(Folder(folder)) + "\n", extension=".txt")
        except click.ClickException as error:
            raise InputError(
                "editor", error.format_message(), "set EDITOR to an editor that can be run"
            ) from None
        if text is None:
            _print("Nothing was saved in the editor; the note is unchanged.")
            return
    notes.write(folder, text or "")
    _print("Note removed." if not (text or "").strip() else "Note saved.")


@sessions.command()
@click.argument("names", nargs=-1, required=True, metavar="SESSION...", shell_complete=complete.sessions)
@click.option("--yes", is_flag=True, help="Do not ask.")
@session_dir_option
def delete(names: tuple[str, ...], yes: bool) -> None:
    """Delete each SESSION for good.

    Asks first; without a terminal, --yes is needed. Files that do not belong to a session are kept, and
    so is the folder that holds them; links are not followed.
    """
    from engine.errors import CANCELLED, InputError
    from engine.session import store as recorded
    from engine.session.place import Folder
    from engine.text import in_bytes

    folders = list(dict.fromkeys(recorded.find(name) for name in names))
    for folder in folders:
        recorded.check_own(folder)
    if not yes:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise InputError("delete", list(names), "there is no terminal to ask on; add --yes")
        for folder in folders:
            size = in_bytes(sum(file.size for file in Folder(folder).files()))
            _print(f"{recorded.summary(folder).created}  {size}  {folder}", err=True)
        if not click.confirm(f"Delete {'this' if len(folders) == 1 else 'these'} for good?", err=True):
            raise SystemExit(CANCELLED)
    for folder in folders:
        left = recorded.delete(folder)
        _print(f"Deleted {folder.name}." if not left else f"Deleted the session; {folder} still holds:")
        _print_lines(f"  {name}" for name in left)


for command in (verify, rescore, export, import_session, redact):
    sessions.add_command(command)


def _plain(one: Any) -> dict[str, Any]:
    """Return a listed session as plain data."""
    import msgspec

    from engine.session.store import is_shipped

    given = msgspec.structs.asdict(one)
    return {"name": one.path.name, **given, "path": str(one.path), "ships": is_shipped(one.path)}


def _print(text: str, *, err: bool = False) -> None:
    from engine.text import clean

    click.echo(clean(text), err=err)


def _print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        _print(line)


def _print_json(document: object) -> None:
    # JSON in ASCII cannot contain control sequences for the terminal.
    click.echo(json.dumps(document, indent=2))
