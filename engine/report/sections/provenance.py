"""Sections on everything in a session that could make its numbers differ from someone else's."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from engine import catalog
from engine.plan.plan import Plan
from engine.protocol.events import AttentionCompared, SetReady, WorkerStarted
from engine.report.blocks import Items, Row, Section, Table
from engine.report.contents import Document
from engine.report.words import listed
from engine.text import counted, in_utc, short


def images(document: Document) -> Section:
    """Return which images were used, and how many were left out."""
    columns = ("set", "used as", "images", "of", "published", "unreadable", "left out (also evaluated)")
    rows: list[Row] = [
        _image_row(s, s.role, str(document.unreadable.get(s.name, 0)), "-") for s in document.images
    ]
    for number, draw in enumerate(document.calibrations, start=1):
        role = f"calibration, draw {number} (seed {draw.seed})"
        counts = (f"{len(draw.images):,}", f"{draw.available:,}", "-", str(draw.unreadable), str(draw.copies))
        rows.append((draw.set, role, *counts))
    if document.fit is not None:
        unreadable = "-" if document.fit_seen is None else str(document.fit_seen.unreadable)
        rows.append(_image_row(document.fit, "fit", unreadable, str(document.fit.copies)))
    of_sets = (*document.images, *([document.fit] if document.fit is not None else []))
    notes = [f"{one.name}: {note}" for one in of_sets for note in one.notes]
    notes += [f"{one.name}: {one.label}" for one in of_sets if one.label]
    if catalog.HELD_OUT in (document.plan.calibration_set, document.plan.fit_set):
        notes.append(f"held-out: a tenth of {document.plan.id_set}, the same for every plan; not evaluated")
    notes += [
        f"calibration, draw {number}: {listed(draw.images, 64)}"
        for number, draw in enumerate(document.calibrations, start=1)
    ]
    table = Table("Image sets", columns, (tuple(rows),), texts=2)
    return Section("images", "Images", (table, *([Items(tuple(notes))] if notes else [])))


def _image_row(one: SetReady, role: str, unreadable: str, copies: str) -> Row:
    published = f"{one.expected:,}" if one.expected else "-"
    return (one.name, role, f"{one.count:,}", f"{one.available:,}", published, unreadable, copies)


def models(document: Document) -> Section:
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
        for one in document.models
    )
    table = Table("Models", columns, (rows,), texts=3)
    taken = tuple(f"{one.model}: {one.weights}" for one in document.models if one.weights is not None)
    notes = (*taken, *map(_attention, document.attention))
    return Section("models", "Models", (table, *([Items(notes)] if notes else [])))


def _attention(one: AttentionCompared) -> str:
    changed = f"; {counted(one.changed, 'prediction')} changed" if one.changed else ""
    return (
        f"{one.model}: FP32 runs fused attention and quantized variants the explicit product. Before "
        f"quantization their logits differ by at most {one.largest:.1e} (standard deviation "
        f"{one.deviation:.2g}) on {counted(one.images, 'calibration image')}{changed}."
    )


def machine(document: Document) -> Section:
    """Return the choices behind the numbers, and the machine and software that computed them."""
    sizes = [
        f"{one.images} from row {one.first}" + (f" ({one.reason})" if one.reason else "")
        for one in document.batches
    ]
    lines = [
        choices(document),
        *_method(document.plan.method),
        *dict.fromkeys(map(_worker, document.workers)),
        *([f"batch size: {'; '.join(dict.fromkeys(sizes))}"] if sizes else []),
        f"session {document.id}, created {in_utc(document.created, seconds=True)} by {document.app}",
        f"plan {document.identity}",
        f"the complete plan: {msgspec.json.encode(document.plan).decode()}",
    ]
    if document.added:
        lines.append(f"scores added after the sweep: {', '.join(dict.fromkeys(document.added))}")
    return Section("machine", "Choices and machine", (Items(tuple(lines)),))


def _method(name: str) -> Iterator[str]:
    """Yield the description of a method, if the catalog has it."""
    if name in catalog.METHODS:
        yield " ".join(catalog.described(name))


def hashes(document: Document) -> Section:
    """Return the SHA-256 of everything that was read or made."""
    rows: list[Row] = [(f"images of {one.name}", one.digest) for one in document.images]
    rows += [
        (f"calibration images, draw {number}", draw.digest)
        for number, draw in enumerate(document.calibrations, start=1)
    ]
    rows += [(f"images of {document.fit.name}", document.fit.digest)] if document.fit is not None else []
    rows += [(f"weights of {one.model}", one.digest) for one in document.models]
    rows += [(f"{variant}, as swept", digest) for variant, digest in document.digests.items()]
    table = Table("SHA-256", ("of", "SHA-256"), (tuple(rows),), texts=2, folded=True)
    return Section("hashes", "Hashes", (table,))


def choices(document: Document) -> str:
    """Return the choices that the author of a plan makes, in a sentence."""
    plan = document.plan
    sizes = (
        f"{short(plan.share * 100, 6)} % of every set"
        if plan.share is not None
        else f"{plan.id_images} ID and {plan.ood_images} images per OOD set"
    )
    parts = [
        f"score {catalog.label_of(plan.headline)} out of {', '.join(map(catalog.label_of, plan.scores))}",
        f"quantized by {plan.method}{_parameters(plan)}",
        f"calibrated on {plan.calibration_images} images of {plan.calibration_set}",
        "AUPR-out as average precision",
        f"ID set {plan.id_set}",
        f"OOD sets {', '.join(plan.ood_sets)}",
        sizes,
        f"seed {plan.seed}",
        f"{'TF32' if plan.tf32 else 'float32'} arithmetic",
    ]
    if images := fit_images(document):
        parts.append(f"scores fitted on {images}")
    if plan.first_and_last is not msgspec.UNSET:
        parts.append(f"patch embedding and head at {plan.first_and_last} bits")
    if plan.overrides:
        parts.append(f"bits overridden: {', '.join(f'{k} {v}' for k, v in plan.overrides.items())}")
    if plan.score_parameters:
        parts.append(f"parameters: {msgspec.json.encode(plan.score_parameters).decode()}")
    return "; ".join(parts)


def _parameters(plan: Plan) -> str:
    """Return the parameters of the method in parentheses, if any differ from its defaults."""
    values = plan.method_parameters or {}
    return f" ({', '.join(f'{name} = {value}' for name, value in values.items())})" if values else ""


def fit_images(document: Document) -> str:
    """Say how many images scores were fitted on; an empty text if none were.

    Older journals do not say how many of the drawn images could be read.
    """
    learns = any(name in catalog.SCORES and catalog.SCORES[name].fitted for name in document.plan.scores)
    if document.fit is None or not learns:
        return ""
    if document.fit_seen is None:
        return f"at most {document.fit.count:,} images of {document.fit.name}"
    return f"{document.fit_seen.images:,} images of {document.fit.name}"


def _worker(worker: WorkerStarted) -> str:
    names = dict.fromkeys(worker.accelerators.values())
    gpus = f" ({', '.join(names)})" if names else ""
    versions = ", ".join(f"{name} {version}" for name, version in worker.versions.items())
    variables = "".join(f"; {name}={value}" for name, value in (worker.arithmetic or {}).items())
    return f"{worker.device}{gpus}, {counted(worker.threads, 'thread')}; {versions}{variables}"
