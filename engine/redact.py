"""A copy of a session in which names that may say who or what are stand-ins; its numbers stay the same."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from engine import journal
from engine.errors import InputError, JournalError
from engine.files import open_plain
from engine.parts import check_name, kept
from engine.plan import Plan
from engine.protocol import (
    AttentionCompared,
    BatchSized,
    CalibrationDraw,
    CurvesDrawn,
    DeltasMeasured,
    Entry,
    Header,
    ImageUnreadable,
    Logged,
    ModelLoaded,
    OutputsKept,
    PhaseChanged,
    ScoresAdded,
    SessionClosed,
    SetReady,
    SetsPrepared,
    VariantDelta,
    VariantFailed,
    VariantReady,
    WorkerDied,
    WorkerStarted,
)
from engine.seal import sealed
from engine.stand_ins import GONE, Names, names_of

NO_TIME = "1970-01-01T00:00:00.000+00:00"


def redact(session: Path, root: Path, name: str, *, time: bool = False) -> dict[str, int]:
    """Write the redacted copy `name` into the folder `root`.

    Returns how many sets, models and images have a stand-in. Numbers stay to the last bit. Quantized variants
    and kept outputs are left out, and digests of what is the user's own: both tell what an image or a model
    is. Events of an `unknown` kind are left out and counted. With `time` the time of creation goes too.
    Raises InputError, or JournalError for a damaged session.
    """
    target = root / check_name(name)
    if os.path.lexists(target):
        raise InputError("name", target.name, f"there is something of this name in {target.parent}")
    header, entries, reader = journal.read(session)
    if reader.skipped or reader.strange:
        what = reader.damage[0] if reader.damage else f"its plan has {', '.join(reader.strange)}"
        raise JournalError(f"{session}: what is not understood cannot be redacted ({what})")
    names = names_of(session, header, [entry.event for entry in entries])
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = Path(tempfile.mkdtemp(dir=target.parent, prefix=".redacted-"))
    try:
        _write_journal(made / journal.NAME, _header(header, names, time=time), entries, names)
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
        "unknown": reader.unknown,
    }


def _header(header: Header, names: Names, *, time: bool) -> Header:
    plan = _plan(header.plan, names)
    return msgspec.structs.replace(
        header,
        id=secrets.token_hex(8),
        created=NO_TIME if time else header.created,
        plan=plan,
        identity=plan.identity(),
        folders=tuple(names.set(name) for name in header.folders),
    )


def _plan(plan: Plan, names: Names) -> Plan:
    return msgspec.structs.replace(
        plan,
        models=tuple(names.models.get(name, name) for name in plan.models),
        id_set=names.set(plan.id_set),
        ood_sets=tuple(map(names.set, plan.ood_sets)),
        calibration_set=names.set(plan.calibration_set),
        fit_set=names.set(plan.fit_set),
    )


def _write_journal(path: Path, header: Header, entries: list[Entry], names: Names) -> None:
    """Write a journal like the one that was read, its lines sealed and its closing events counted again."""
    digest = hashlib.sha256()
    with path.open("xb") as file:
        # In this order the plan's bytes are those that its identity is of (`plan.is_identity`).
        line = sealed(msgspec.json.encode(header, order="deterministic"))
        for number, entry in enumerate(entries, 1):
            file.write(line)
            digest.update(line)
            event = _redacted(entry.event, names)
            if isinstance(event, SessionClosed):
                event = msgspec.structs.replace(event, events=number - 1, sha256=digest.hexdigest())
            line = sealed(msgspec.json.encode(Entry(number, entry.t, event)))
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def _redacted(event: Any, names: Names) -> Any:
    """Return an event with stand-ins; every field of every event that may hold a name is here."""
    match event:
        case SetsPrepared():
            return msgspec.structs.replace(
                event,
                sets=tuple(_set(one, names) for one in event.sets),
                calibrations=tuple(_draw(one, names) for one in event.calibrations),
                fit=_set(event.fit, names) if event.fit else None,
            )
        case WorkerStarted():
            gpus = {f"gpu-{number}": "GPU" for number, _ in enumerate(event.accelerators, 1)}
            return msgspec.structs.replace(event, versions=_versions(event.versions), accelerators=gpus)
        case OutputsKept():
            fits = {
                names.variant(key): GONE if key.partition(" ")[0] in names.own_weights else digest
                for key, digest in event.fits.items()
            }
            return msgspec.structs.replace(event, fits=fits)
        case ScoresAdded():
            return msgspec.structs.replace(event, versions=_versions(event.versions))
        case ModelLoaded(model=model):
            known = model not in names.own_weights
            return msgspec.structs.replace(
                event,
                model=names.models.get(model, model),
                origin=event.origin if known else GONE,
                digest=event.digest if known else GONE,
                weights=event.weights if known else None,
            )
        case AttentionCompared(model=model):
            return msgspec.structs.replace(event, model=names.models.get(model, model))
        case VariantReady(variant=variant):
            own = variant.partition(" ")[0] in names.own_weights
            return msgspec.structs.replace(
                event, variant=names.variant(variant), digest=GONE if own else event.digest
            )
        case ImageUnreadable():
            name = names.images[event.set, event.name]
            return ImageUnreadable(names.set(event.set), name, names.text(event.reason))
        case VariantFailed():
            return VariantFailed(names.variant(event.variant), names.text(event.reason))
        case PhaseChanged():
            return msgspec.structs.replace(event, note=names.text(event.note))
        case Logged():
            return msgspec.structs.replace(event, text=names.text(event.text))
        case BatchSized() | WorkerDied() | SessionClosed():
            return msgspec.structs.replace(event, reason=names.text(event.reason))
        case CurvesDrawn():
            curves = tuple(msgspec.structs.replace(c, set=names.set(c.set)) for c in event.curves)
            return msgspec.structs.replace(event, variant=names.variant(event.variant), curves=curves)
        case DeltasMeasured():
            return msgspec.structs.replace(event, variants=tuple(_delta(v, names) for v in event.variants))
    return _of_variant(event, names)


def _of_variant(event: Any, names: Names) -> Any:
    """Return an event with stand-ins for its variant and the sets of its cells, if it has such."""
    changes: dict[str, Any] = {}
    if hasattr(event, "variant"):
        changes["variant"] = names.variant(event.variant)
    if hasattr(event, "cells"):
        changes["cells"] = tuple(
            msgspec.structs.replace(cell, name=names.set(cell.name), problem=names.text(cell.problem))
            for cell in event.cells
        )
    return msgspec.structs.replace(event, **changes) if changes else event


def _versions(given: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in given.items() if name != "processor"}


def _set(one: SetReady, names: Names) -> SetReady:
    own = one.name in names.of_own
    return msgspec.structs.replace(
        one,
        name=names.set(one.name),
        label=GONE if own else one.label,
        digest=GONE if own else one.digest,
        notes=() if own else tuple(map(names.text, one.notes)),
    )


def _draw(one: CalibrationDraw, names: Names) -> CalibrationDraw:
    return msgspec.structs.replace(
        one,
        set=names.set(one.set),
        images=tuple(names.images[one.set, name] for name in one.images),
        digest=GONE if one.set in names.of_own else one.digest,
    )


def _delta(one: VariantDelta, names: Names) -> VariantDelta:
    def changed(by: dict[str, Any]) -> dict[str, Any]:
        return {names.set(name): delta for name, delta in by.items()}

    return msgspec.structs.replace(
        one,
        variant=names.variant(one.variant),
        ap_out=changed(one.ap_out),
        auroc=changed(one.auroc),
        ap_in=changed(one.ap_in),
        fpr95=changed(one.fpr95),
    )
