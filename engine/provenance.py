"""Everything of a session that could make its numbers differ from someone else's, as markdown."""

from __future__ import annotations

import msgspec

from engine import catalog, study
from engine.protocol import Delta, SetReady, WorkerStarted
from engine.report import Document

SHOWN = 16  # characters of a hash


def stated_lines(found: Document) -> list[str]:
    """Return what the study's abstract states beside what was measured; nothing where it states nothing."""
    if not found.stated:
        return []
    lines = [
        f"## Beside the {catalog.STATED_BY}",
        "",
        "Losses from FP32 to 4 bits. The abstract does not say whether its figures are points or relative.",
        "",
        "| model | measure | stated | measured, points | 95 % interval | measured, relative |",
        "|---" * 6 + "|",
    ]
    for row in found.stated:
        delta = row.measured
        relative = f"{delta.relative:+.1%}" if delta.relative is not None else "-"
        between = f"{delta.low * 100:+.1f} to {delta.high * 100:+.1f}"
        lines.append(
            f"| {row.variant} | {study.MEASURES[row.measure]} | {row.stated:.1f} % | "
            f"{_points(delta)} | {between} | {relative} |"
        )
    order = study.order_holds(found.stated)
    choices = f"Chosen here: {_choices(found)}."
    benchmark = catalog.PRESETS["kuang-wong-2026"].plan["ood_sets"]
    left_out = ", ".join(name for name in benchmark if name not in found.plan.ood_sets)
    choices += f" Not here of OpenOOD's sets: {left_out}." if left_out else ""
    return [*lines, "", *([f"{order}.", ""] if order else []), catalog.STATED_NOT, "", choices, ""]


def provenance_lines(found: Document) -> list[str]:
    """Return images, models, machine and choices."""
    return [
        "## Images",
        "",
        *_image_lines(found),
        "",
        "## Models",
        "",
        *_model_lines(found),
        "",
        "## Choices and machine",
        "",
        f"- {_choices(found)}",
        f"- plan {found.identity}",
        *_machine_lines(found),
    ]


def _image_lines(found: Document) -> list[str]:
    lines = [
        "| set | used as | images | of | published | unreadable | also evaluated, left out | SHA-256 |",
        "|---" * 8 + "|",
    ]
    lines += [_image_line(s, s.role, found.unreadable.get(s.name, 0), "-") for s in found.images]
    for number, draw in enumerate(found.calibrations, start=1):
        lines.append(
            f"| {draw.set} | calibration, draw {number} (seed {draw.seed}) | {len(draw.images):,} | "
            f"{draw.available:,} | - | {draw.unreadable} | {draw.copies} | {draw.digest[:SHOWN]} |"
        )
    if found.fit is not None:
        lines.append(_image_line(found.fit, "fit", None, str(found.fit.copies)))
    of_sets = (*found.images, *([found.fit] if found.fit is not None else []))
    notes = [f"- {one.name}: {note}" for one in of_sets for note in one.notes]
    if catalog.HELD_OUT in (found.plan.calibration_set, found.plan.fit_set):
        notes.append(f"- held-out: a tenth of {found.plan.id_set}, the same for every plan; not evaluated")
    return [*lines, "", *notes] if notes else lines


def _image_line(one: SetReady, role: str, unreadable: int | None, copies: str) -> str:
    published = f"{one.expected:,}" if one.expected else "-"
    lost = "-" if unreadable is None else str(unreadable)
    return (
        f"| {one.name} | {role} | {one.count:,} | {one.available:,} | {published} | {lost} | {copies} "
        f"| {one.digest[:SHOWN]} |"
    )


def _model_lines(found: Document) -> list[str]:
    lines = [
        "| model | weights from | SHA-256 | parameters | classes | pixels | crop | resize | mean | std |",
        "|---" * 10 + "|",
    ]
    for one in found.models:
        mean, std = (" ".join(f"{value:.3g}" for value in values) for values in (one.mean, one.std))
        lines.append(
            f"| {one.model} | {_cell(one.origin)} | {one.digest[:SHOWN]} | {one.parameters:,} | "
            f"{one.classes:,} | {one.size} | {one.crop:g} ({one.crop_mode}) | {one.interpolation} | {mean} "
            f"| {std} |"
        )
    return lines


def _choices(found: Document) -> str:
    plan = found.plan
    sizes = (
        f"{plan.share * 100:g} % of every set"
        if plan.share is not None
        else f"{plan.id_images} ID and {plan.ood_images} images an OOD set"
    )
    parts = [
        f"score {catalog.label_of(plan.headline)}",
        f"quantizer {plan.quantizer}",
        f"calibrated on {plan.calibration_images} images of {plan.calibration_set}",
        "AUPR-out as average precision",
        f"ID set {plan.id_set}",
        f"OOD sets {', '.join(plan.ood_sets)}",
        sizes,
        f"seed {plan.seed}",
        f"{'TF32' if plan.tf32 else 'float32'} arithmetic",
    ]
    if found.fit is not None:
        parts.append(f"scores fitted on {found.fit.count} images of {plan.fit_set}")
    if plan.overrides:
        parts.append(f"bits of their own: {', '.join(f'{k} {v}' for k, v in plan.overrides.items())}")
    if plan.score_parameters:
        parts.append(f"parameters: {msgspec.json.encode(plan.score_parameters).decode()}")
    return "; ".join(parts)


def _machine_lines(found: Document) -> list[str]:
    lines = [f"- {worker}" for worker in dict.fromkeys(map(_worker, found.workers))]
    sizes = [
        f"{one.images} from row {one.first}" + (f" ({one.reason})" if one.reason else "")
        for one in found.batches
    ]
    if sizes:
        lines.append(f"- images at once: {'; '.join(dict.fromkeys(sizes))}")
    return lines


def _worker(worker: WorkerStarted) -> str:
    names = dict.fromkeys(worker.accelerators.values())
    gpus = f" ({', '.join(names)})" if names else ""
    versions = ", ".join(f"{name} {version}" for name, version in worker.versions.items())
    return f"{worker.device}{gpus}, {worker.threads} threads; {versions}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _points(delta: Delta) -> str:
    return f"{delta.value * 100:+.1f}{'*' if delta.is_change else ''}"
