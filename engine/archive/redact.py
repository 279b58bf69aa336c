"""A copy of a session in which names that may say who or what are stand-ins; its numbers stay the same."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import tempfile
from pathlib import Path

import msgspec

from engine.archive.pseudonyms import names_of
from engine.archive.redaction_rules import Redaction, unknown_fields
from engine.errors import InputError, JournalError
from engine.protocol.events import LARGEST_LINE, Entry, Header, SessionClosed
from engine.session import journal
from engine.session.layout import check_name, kept
from engine.session.seal import sealed
from engine.system.files import open_plain

NO_TIME = "1970-01-01T00:00:00.000+00:00"


def redact(session: Path, root: Path, name: str, *, time: bool = False) -> dict[str, int]:
    """Write the redacted copy `name` into the folder `root`.

    Returns how many sets, models and images have a stand-in. Numbers stay to the last bit. Quantized variants
    and kept outputs are left out, and digests of what is the user's own: both tell what an image or a model
    is. Events and fields of an `unknown` kind are left out and counted. With `time` the time of creation
    goes too. Raises InputError, or JournalError for a damaged session.
    """
    target = root / check_name(name)
    if os.path.lexists(target):
        raise InputError("name", target.name, f"there is something of this name in {target.parent}")
    header, entries, reader = journal.read(session)
    if reader.skipped or reader.strange:
        what = reader.damage[0] if reader.damage else f"its plan has {', '.join(reader.strange)}"
        raise JournalError(f"{session}: what is not understood cannot be redacted ({what})")
    names = names_of(session, header, [entry.event for entry in entries])
    of = Redaction(names)
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = Path(tempfile.mkdtemp(dir=target.parent, prefix=".redacted-"))
    try:
        _write_journal(made / journal.NAME, _header(header, of, time=time), entries, of)
        for part in kept(session):
            if part.of == "arrays":
                (made / part.name).parent.mkdir(exist_ok=True, mode=0o700)
                with open_plain(session / part.name) as source, (made / part.name).open("xb") as file:
                    shutil.copyfileobj(source, file)
                    file.flush()
                    os.fsync(file.fileno())
        made.rename(target)
    except OSError as error:
        raise InputError("name", target.name, f"it cannot be written ({error.strerror or error})") from None
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return {
        "sets": len(names.sets),
        "models": len(names.models),
        "images": len(names.images),
        "unknown": reader.unknown + of.left_out + _unknown_fields(session, entries),
    }


def _header(header: Header, of: Redaction, *, time: bool) -> Header:
    redacted: Header = of.of(header)
    return msgspec.structs.replace(
        redacted,
        id=secrets.token_hex(8),
        created=NO_TIME if time else header.created,
        identity=redacted.plan.identity(),
    )


def _write_journal(path: Path, header: Header, entries: list[Entry], of: Redaction) -> None:
    """Write a journal like the one that was read, its lines sealed and its closing events counted again."""
    digest = hashlib.sha256()
    number = 0
    with path.open("xb") as file:
        # In this order the plan's bytes are those that its identity is of (`plan.is_identity`).
        line = sealed(msgspec.json.encode(header, order="deterministic"))
        for entry in entries:
            if (event := of.of(entry.event)) is None:
                continue
            file.write(line)
            digest.update(line)
            if isinstance(event, SessionClosed):
                event = msgspec.structs.replace(event, events=number, sha256=digest.hexdigest())
            number += 1
            line = sealed(msgspec.json.encode(Entry(number, entry.t, event)))
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def _unknown_fields(session: Path, entries: list[Entry]) -> int:
    """Count the fields of events in a journal that newer programs have written and this one does not know."""
    events = {entry.seq: entry.event for entry in entries}
    count = 0
    with open_plain(session / journal.NAME) as file:
        file.readline(LARGEST_LINE)
        while line := file.readline(LARGEST_LINE):
            with contextlib.suppress(ValueError):
                raw = msgspec.json.decode(line)
                count += unknown_fields(raw["event"], events.get(raw["seq"]))
    return count
