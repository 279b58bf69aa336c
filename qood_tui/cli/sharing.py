"""`qood-tui sessions export|import|redact`: sharing sessions."""

from __future__ import annotations

from pathlib import Path

import click

from qood_tui.cli import completion as complete
from qood_tui.cli.options import session_dir_option

FORMS = ("session", "asciicast")


@click.command()
@click.argument("session", shell_complete=complete.sessions)
@click.argument("file", required=False, type=Path, shell_complete=complete.files)
@click.option("--as", "form", type=click.Choice(FORMS), help="A session, or an asciicast of its replay.")
@click.option("--with-quantized", is_flag=True, help="Include the quantized variants.")
@click.option("--with-outputs", is_flag=True, help="Include kept logits and features, which can be large.")
@click.option("--size", default="120x40", show_default=True, help="Columns and lines of the asciicast.")
@click.option("--speed", type=float, metavar="X", help="0.25 to 64 (default: at most a minute of asciicast).")
@click.option("--theme", type=click.Choice(("dark", "light")), default="dark", show_default=True)
@click.option("--force", is_flag=True, help="Overwrite FILE if it exists.")
@session_dir_option
def export(
    session: str,
    file: Path | None,
    form: str | None,
    with_quantized: bool,
    with_outputs: bool,
    size: str,
    speed: float | None,
    theme: str,
    force: bool,
) -> None:
    """Export SESSION to one FILE.

    Others can replay or import FILE (default: NAME.qood). It holds journal, note and arrays: enough to
    replay the session, verify every number and print the report, on a machine with neither GPU nor images.
    A FILE that ends in .cast is an asciicast of the replay, for people who do not have this program.
    """
    from engine.errors import InputError
    from engine.session import store
    from engine.session.layout import ARCHIVE_SUFFIX
    from engine.text import clean, counted, in_bytes

    folder = store.find(session)
    form = form or ("asciicast" if file is not None and file.suffix == ".cast" else "session")
    suffix = {"session": ARCHIVE_SUFFIX, "asciicast": ".cast"}[form]
    target = file or Path(f"{folder.resolve().name}{suffix}")
    try:
        target.stat()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise InputError("file", str(target)[:120], f"it cannot be written ({error.strerror})") from None
    if target.is_dir():
        target = target / f"{folder.resolve().name}{suffix}"
    if form == "asciicast":
        seconds = _cast(folder, target, size, speed, theme, force)
        click.echo(clean(f"Saved {target} ({seconds:.0f} s, {in_bytes(target.stat().st_size)})."))
        return
    from engine.archive import transfer

    made = transfer.export(folder, target, quantized=with_quantized, outputs=with_outputs, force=force)
    click.echo(
        clean(f"Saved {made.file} ({in_bytes(made.size)}); 'qood-tui replay' and 'report' read it as is.")
    )
    if made.is_ahead:
        message = "The session is still running: the file holds its journal so far; its arrays may be ahead."
        click.echo(message, err=True)
    if made.torn:
        click.echo(f"Its last line ({counted(made.torn, 'byte')}) is incomplete and was left out.", err=True)


@click.command(name="import")
@click.argument("file", type=Path, shell_complete=complete.files)
@click.option("--name", help="Name for the session (default: the name it had).")
@session_dir_option
def import_session(file: Path, name: str | None) -> None:
    """Import a session from FILE, made by export.

    FILE may come from anyone: anything that is not a session is refused, and nothing of it is kept. Lines
    and rows are then verified as by 'sessions verify --quick'.

    Exit status: 0 imported, 2 refused, 3 imported but damaged.
    """
    from engine.archive import transfer
    from engine.archive.verify import verify
    from engine.errors import WITH_FAILURES
    from engine.session.place import Folder
    from engine.system.paths import sessions_folder
    from engine.text import clean

    found = transfer.import_file(file, sessions_folder(), name)
    if found.was_there:
        click.echo(clean(f"{found.session.name} already exists, identical in every byte: {found.session}"))
        return
    click.echo(clean(f"Imported {found.session.name}: {found.session}"))
    verdict = verify(Folder(found.session), quick=True)
    for line in verdict.damage:
        click.echo(clean(f"damaged: {line}"), err=True)
    if not verdict.is_whole:
        raise SystemExit(WITH_FAILURES)
    hint = f"'qood-tui sessions verify {found.session.name}' also recomputes every number"
    click.echo(clean(f"Lines and rows are intact; {hint}."))


@click.command()
@click.argument("session", shell_complete=complete.sessions)
@click.argument("name", metavar="NEW")
@click.option("--time", is_flag=True, help="Also remove when it was recorded.")
@session_dir_option
def redact(session: str, name: str, time: bool) -> None:
    """Make NEW, an anonymised copy of SESSION.

    Pseudonyms replace the names of images, of your own sets and checkpoints, and of processors and GPUs.
    Labels, notes, file names and SHA-256 digests of your own sets and checkpoints are removed, since a
    digest identifies an image or a model. Names and digests of published sets and models are kept, and so
    are names of scores. The note, quantized variants and kept outputs are left out. All numbers are
    unchanged to the last bit; the copy has its own id and hashes.
    """
    from engine.archive.redact import redact as made
    from engine.session import store
    from engine.system.paths import sessions_folder
    from engine.text import clean, counted

    counts = made(store.find(session), sessions_folder(), name, time=time)
    replaced = ", ".join(
        counted(counts[kind], kind.removesuffix("s")) for kind in ("sets", "models", "images")
    )
    click.echo(clean(f"{sessions_folder() / name}: replaced the names of {replaced}."))
    if counts["unknown"]:
        click.echo(f"Left out {counted(counts['unknown'], 'event')} of a newer qood-tui.", err=True)
    click.echo("Check it before you share it: 'qood-tui replay' and its log show every word.", err=True)


def _cast(folder: Path, target: Path, size: str, speed: float | None, theme: str, force: bool) -> float:
    """Write an asciicast and return its length in seconds."""
    from engine.errors import InputError
    from qood_tui.cli import asciicast
    from qood_tui.state.sources import SPEEDS

    if speed is not None and speed not in SPEEDS:
        raise InputError("speed", speed, f"choose from {', '.join(f'{s:g}' for s in SPEEDS)}")
    wanted = asciicast.check_size(size)
    click.echo("Playing the session; this takes about half as long as the asciicast.", err=True)
    return asciicast.write(folder, target, size=wanted, speed=speed, theme=theme, force=force)
