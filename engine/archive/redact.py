"""A copy of a session in which pseudonyms replace names that may identify somebody; numbers stay the same."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import tempfile
from pathlib import Path

import msgspec

from engine.archive.pseudonyms import Names, names_of
from engine.archive.redaction_rules import redacted
from engine.errors import InputError, JournalError
from engine.plan.plan import Plan
from engine.protocol.events import Entry, Header, SessionClosed
from engine.session.layout import ARRAYS, JOURNAL
from engine.session.seal import sealed
from engine.session.session import Session
from engine.session.store import check_name

NO_TIME = "1970-01-01T00:00:00.000+00:00"


def redact(folder: Path, root: Path, name: str, *, time: bool = False) -> dict[str, int]:
    """Write the redacted copy `name` into the folder `root`.

    Returns how many sets, models and images have a pseudonym, and how many events of a newer program were
    left out (`unknown`). Numbers stay the same to the last bit. Quantized variants, kept outputs and
    digests of the user's own images and models are left out, since they identify an image or a model. With
    `time` the time of creation is removed too. Raises InputError, or JournalError for a damaged session.
    """
    target = root / check_name(name)
    if os.path.lexists(target):
        raise InputError("name", target.name, f"{target.parent} already has something of this name")
    session = Session.at(folder)
    header, entries, reader = session.header, session.entries, session.journal
    if reader.skipped or reader.strange:
        what = reader.damage[0] if reader.damage else f"its plan has {', '.join(reader.strange)}"
        raise JournalError(f"{folder}: what this version does not understand cannot be redacted ({what})")
    names = names_of(folder, header, [entry.event for entry in entries])
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = Path(tempfile.mkdtemp(dir=target.parent, prefix=".redacted-"))
    try:
        _write_journal(made / JOURNAL, _header(header, names, time=time), entries, names)
        for part in session.files:
            if part.part == ARRAYS:
                (made / part.name).parent.mkdir(exist_ok=True, mode=0o700)
                with session.place.open(part.name) as source, (made / part.name).open("xb") as file:
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
        "unknown": reader.unknown,
    }


def _header(header: Header, names: Names, *, time: bool) -> Header:
    """Return a header with pseudonyms; its identity and its id are new."""
    plan = _plan(header.plan, names)
    return Header(
        format=header.format,
        version=header.version,
        id=secrets.token_hex(8),
        created=NO_TIME if time else header.created,
        app=names.text(header.app),
        plan=plan,
        identity=plan.identity(),
        folders=tuple(map(names.set, header.folders)),
    )


def _plan(plan: Plan, names: Names) -> Plan:
    return Plan(
        models=tuple(names.models.get(name, name) for name in plan.models),
        bits=plan.bits,
        method=plan.method,
        method_parameters=plan.method_parameters,
        first_and_last=plan.first_and_last,
        overrides=plan.overrides,
        id_set=names.set(plan.id_set),
        ood_sets=tuple(map(names.set, plan.ood_sets)),
        scores=plan.scores,
        score_parameters=plan.score_parameters,
        headline=plan.headline,
        share=plan.share,
        id_images=plan.id_images,
        ood_images=plan.ood_images,
        calibration_set=names.set(plan.calibration_set),
        fit_set=names.set(plan.fit_set),
        calibration_images=plan.calibration_images,
        calibration_draws=plan.calibration_draws,
        fit_images=plan.fit_images,
        stop_width=plan.stop_width,
        chunk_images=plan.chunk_images,
        keep_outputs=plan.keep_outputs,
        class_order=plan.class_order,
        largest_image=plan.largest_image,
        tf32=plan.tf32,
        seed=plan.seed,
    )


def _write_journal(path: Path, header: Header, entries: list[Entry], names: Names) -> None:
    """Write the journal with pseudonyms, its lines sealed and its closing events recomputed."""
    digest = hashlib.sha256()
    number = 0
    with path.open("xb") as file:
        # In this order the plan's bytes are those that its identity is of (`plan.is_identity`).
        line = sealed(msgspec.json.encode(header, order="deterministic"))
        for entry in entries:
            event = redacted(entry.event, names)
            file.write(line)
            digest.update(line)
            if isinstance(event, SessionClosed):
                event = msgspec.structs.replace(event, events=number, sha256=digest.hexdigest())
            number += 1
            line = sealed(msgspec.json.encode(Entry(number, entry.t, event)))
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
