"""`qood-tui sessions export|import|redact`: sessions for others, and from them."""

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
@click.option("--with-quantized", is_flag=True, help="Add the quantized variants.")
@click.option("--with-outputs", is_flag=True, help="Add kept logits and features, which can be large.")
@click.option("--size", default="120x40", show_default=True, help="Columns and lines of an asciicast.")
@click.option(
    "--speed", type=float, metavar="X", help="0.25 to 64; else an asciicast lasts a minute at most."
)
@click.option("--theme", type=click.Choice(("dark", "light")), default="dark", show_default=True)
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
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
    """Write SESSION into one FILE that others can read: NAME.qood where no FILE is given.

    Journal, note and arrays are in it: enough to replay it, check every number and print the report, on a
    machine with neither GPU nor images. A FILE that ends in .cast is an asciicast of the replay, for people
    without this program.
    """
    from engine.errors import InputError
    from engine.session import store
    from engine.session.layout import ARCHIVE_SUFFIX
    from engine.text import clean, in_bytes

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
        click.echo(clean(f"{target}: {seconds:.0f} s, {in_bytes(target.stat().st_size)}."))
        return
    from engine.archive import transfer

    made = transfer.export(folder, target, quantized=with_quantized, outputs=with_outputs, force=force)
    click.echo(clean(f"{made.file}: {in_bytes(made.size)}; 'qood-tui replay' and 'report' read it as it is."))
    if made.is_ahead:
        told = (
            "The session is still running: its journal is in there as far as it was, its arrays may be ahead."
        )
        click.echo(told, err=True)
    if made.torn:
        click.echo(f"Its last line, {made.torn:,} bytes, is not whole and was left out.", err=True)


@click.command(name="import")
@click.argument("file", type=Path, shell_complete=complete.files)
@click.option("--name", help="Call it so; else it keeps the name that it had.")
@session_dir_option
def import_session(file: Path, name: str | None) -> None:
    """Put the session in FILE, made by export, among yours.

    FILE may be from anybody: what is no session is refused, and nothing of it is kept. Lines and rows are
    then checked as 'sessions verify --quick' does.

    Exit status: 0 it is there, 2 it is refused, 3 it is there and damaged.
    """
    from engine.archive import transfer
    from engine.archive.verify import verify
    from engine.errors import WITH_FAILURES
    from engine.session.place import Folder
    from engine.system.paths import sessions_folder
    from engine.text import clean

    found = transfer.import_file(file, sessions_folder(), name)
    if found.was_there:
        click.echo(clean(f"{found.session.name} is there already, the same in every byte: {found.session}"))
        return
    click.echo(clean(f"{found.session.name} is imported: {found.session}"))
    verdict = verify(Folder(found.session), quick=True)
    for line in verdict.damage:
        click.echo(clean(f"damaged: {line}"), err=True)
    if not verdict.is_whole:
        raise SystemExit(WITH_FAILURES)
    told = f"'qood-tui sessions verify {found.session.name}' measures every number again"
    click.echo(clean(f"Lines and rows are as they were written; {told}."))


@click.command()
@click.argument("session", shell_complete=complete.sessions)
@click.argument("name", metavar="NEW")
@click.option("--time", is_flag=True, help="Take away when it was recorded, too.")
@session_dir_option
def redact(session: str, name: str, time: bool) -> None:
    """Make NEW, a copy of SESSION without names that may say who or what.

    Stand-ins take the place of the names of images, of your own sets and checkpoints, of processors and GPUs,
    wherever they are; of your own sets and checkpoints, labels, notes, file names and SHA-256 digests go too,
    since a digest identifies an image or a model. Names and digests of published sets and models stay, and so
    do names of scores. Notes, quantized variants and kept outputs are left out. All numbers stay as they are,
    to the last bit; the copy has an id and hashes of its own.
    """
    from engine.archive.redact import redact as made
    from engine.session import store
    from engine.system.paths import sessions_folder
    from engine.text import clean

    counts = made(store.find(session), sessions_folder(), name, time=time)
    told = ", ".join(f"{counts[kind]:,} {kind}" for kind in ("sets", "models", "images"))
    click.echo(clean(f"{sessions_folder() / name}: stand-ins for names of {told}."))
    if counts["unknown"]:
        click.echo(f"{counts['unknown']:,} events of a newer qood-tui were left out.", err=True)
    click.echo(
        "Look through it before you hand it on: 'qood-tui replay' and its log show every word.", err=True
    )


def _cast(folder: Path, target: Path, size: str, speed: float | None, theme: str, force: bool) -> float:
    """Write an asciicast and return how many seconds it lasts."""
    from engine.errors import InputError
    from qood_tui.cli import asciicast
    from qood_tui.state.sources import SPEEDS

    if speed is not None and speed not in SPEEDS:
        raise InputError("speed", speed, f"choose from {', '.join(f'{s:g}' for s in SPEEDS)}")
    wanted = asciicast.check_size(size)
    click.echo("Playing it; this takes about half as long as the asciicast will last.", err=True)
    return asciicast.write(folder, target, size=wanted, speed=speed, theme=theme, force=force)
