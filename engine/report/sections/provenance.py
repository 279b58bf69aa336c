"""Sections on everything of a session that could make its numbers differ from someone else's."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from engine import catalog
from engine.plan.plan import Plan
from engine.protocol.events import AttentionCompared, SetReady, WorkerStarted
from engine.report.blocks import Items, Row, Section, Table
from engine.report.contents import Document
from engine.report.words import listed
from engine.text import in_utc, short


def images(found: Document) -> Section:
    """Return which images took part, and how many were left out."""
    columns = ("set", "used as", "images", "of", "published", "unreadable", "also evaluated, left out")
    rows: list[Row] = [_image_row(s, s.role, str(found.unreadable.get(s.name, 0)), "-") for s in found.images]
    for number, draw in enumerate(found.calibrations, start=1):
        role = f"calibration, draw {number} (seed {draw.seed})"
        counts = (f"{len(draw.images):,}", f"{draw.available:,}", "-", str(draw.unreadable), str(draw.copies))
        rows.append((draw.set, role, *counts))
    if found.fit is not None:
        unreadable = "-" if found.fit_seen is None else str(found.fit_seen.unreadable)
        rows.append(_image_row(found.fit, "fit", unreadable, str(found.fit.copies)))
    of_sets = (*found.images, *([found.fit] if found.fit is not None else []))
    notes = [f"{one.name}: {note}" for one in of_sets for note in one.notes]
    notes += [f"{one.name}: {one.label}" for one in of_sets if one.label]
    if catalog.HELD_OUT in (found.plan.calibration_set, found.plan.fit_set):
        notes.append(f"held-out: a tenth of {found.plan.id_set}, the same for every plan; not evaluated")
    notes += [
        f"calibration, draw {number}: {listed(draw.images, 64)}"
        for number, draw in enumerate(found.calibrations, start=1)
    ]
    table = Table("Image sets", columns, (tuple(rows),), texts=2)
    return Section("images", "Images", (table, *([Items(tuple(notes))] if notes else [])))


def _image_row(one: SetReady, role: str, unreadable: str, copies: str) -> Row:
    published = f"{one.expected:,}" if one.expected else "-"
    return (one.name, role, f"{one.count:,}", f"{one.available:,}", published, unreadable, copies)


def models(found: Document) -> Section:
    """Return the models with their preprocessing."""
    columns = (
        "model",
        "weights from",
        "interpolation",
        "parameters",
        "classes",
        "pixels",
        "crop",
        "mean",
        "std",
    )
    rows = tuple(
        (
            one.model,
            one.origin,
            one.interpolation,
            f"{one.parameters:,}",
            f"{one.classes:,}",
            str(one.size),
            f"{short(one.crop, 6)} ({one.crop_mode})",
            *(" ".join(short(value) for value in values) for values in (one.mean, one.std)),
        )
        for one in found.models
    )
    table = Table("Models", columns, (rows,), texts=3)
    taken = tuple(f"{one.model}: {one.weights}" for one in found.models if one.weights is not None)
    notes = (*taken, *map(_attention, found.attention))
    return Section("models", "Models", (table, *([Items(notes)] if notes else [])))


def _attention(one: AttentionCompared) -> str:
    changed = f"; {one.changed} predictions differ" if one.changed else ""
    return (
        f"{one.model}: FP32 runs fused attention and quantized variants the explicit product. With nothing "
        f"quantized a logit differs between them by at most {one.largest:.1e} (standard deviation "
        f"{one.deviation:.2g}) on {one.images} calibration images{changed}."
    )


def machine(found: Document) -> Section:
    """Return the choices behind the numbers, and what they were computed with."""
    sizes = [
        f"{one.images} from row {one.first}" + (f" ({one.reason})" if one.reason else "")
        for one in found.batches
    ]
    lines = [
        choices(found),
        *_method(found.plan.method),
        *dict.fromkeys(map(_worker, found.workers)),
        *([f"images at once: {'; '.join(dict.fromkeys(sizes))}"] if sizes else []),
        f"session {found.id}, begun {in_utc(found.created, seconds=True)} by {found.app}",
        f"plan {found.identity}",
        f"the plan in full: {msgspec.json.encode(found.plan).decode()}",
    ]
    if found.added:
        lines.append(f"scores added after the sweep: {', '.join(dict.fromkeys(found.added))}")
    return Section("machine", "Choices and machine", (Items(tuple(lines)),))


def _method(name: str) -> Iterator[str]:
    """Yield what is to be said of a method; of one from elsewhere nothing is known."""
    if name in catalog.METHODS:
        yield " ".join(catalog.described(name))


def hashes(found: Document) -> Section:
    """Return the SHA-256 of everything that was read or made."""
    rows: list[Row] = [(f"images of {one.name}", one.digest) for one in found.images]
    rows += [
        (f"calibration images, draw {number}", draw.digest)
        for number, draw in enumerate(found.calibrations, start=1)
    ]
    rows += [(f"images of {found.fit.name}", found.fit.digest)] if found.fit is not None else []
    rows += [(f"weights of {one.model}", one.digest) for one in found.models]
    rows += [(f"{variant}, as it was swept", digest) for variant, digest in found.digests.items()]
    table = Table("SHA-256", ("of", "SHA-256"), (tuple(rows),), texts=2, folded=True)
    return Section("hashes", "Hashes", (table,))


def choices(found: Document) -> str:
    """Return the choices that a plan leaves to its maker, in a sentence."""
    plan = found.plan
    sizes = (
        f"{short(plan.share * 100, 6)} % of every set"
        if plan.share is not None
        else f"{plan.id_images} ID and {plan.ood_images} images an OOD set"
    )
    parts = [
        f"score {catalog.label_of(plan.headline)} of {', '.join(map(catalog.label_of, plan.scores))}",
        f"quantized by {plan.method}{_parameters(plan)}",
        f"calibrated on {plan.calibration_images} images of {plan.calibration_set}",
        "AUPR-out as average precision",
        f"ID set {plan.id_set}",
        f"OOD sets {', '.join(plan.ood_sets)}",
        sizes,
        f"seed {plan.seed}",
        f"{'TF32' if plan.tf32 else 'float32'} arithmetic",
    ]
    if images := fit_images(found):
        parts.append(f"scores fitted on {images}")
    if plan.first_and_last is not msgspec.UNSET:
        parts.append(f"patch embedding and head at {plan.first_and_last} bits")
    if plan.overrides:
        parts.append(f"bits of their own: {', '.join(f'{k} {v}' for k, v in plan.overrides.items())}")
    if plan.score_parameters:
        parts.append(f"parameters: {msgspec.json.encode(plan.score_parameters).decode()}")
    return "; ".join(parts)


def _parameters(plan: Plan) -> str:
    """Return the parameters of the method in parentheses, if it has any that are not its own."""
    values = plan.method_parameters or {}
    return f" ({', '.join(f'{name} = {value}' for name, value in values.items())})" if values else ""


def fit_images(found: Document) -> str:
    """Say how many images scores were fitted on; nothing where none was.

    An older journal does not say how many of those that were drawn could be read.
    """
    learns = any(name in catalog.SCORES and catalog.SCORES[name].fitted for name in found.plan.scores)
    if found.fit is None or not learns:
        return ""
    if found.fit_seen is None:
        return f"at most {found.fit.count:,} images of {found.fit.name}"
    return f"{found.fit_seen.images:,} images of {found.fit.name}"


def _worker(worker: WorkerStarted) -> str:
    names = dict.fromkeys(worker.accelerators.values())
    gpus = f" ({', '.join(names)})" if names else ""
    versions = ", ".join(f"{name} {version}" for name, version in worker.versions.items())
    variables = "".join(f"; {name}={value}" for name, value in (worker.arithmetic or {}).items())
    return f"{worker.device}{gpus}, {worker.threads} threads; {versions}{variables}"
