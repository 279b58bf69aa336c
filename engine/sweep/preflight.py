"""Before a long run, and soon after its start: is everything there, and do the numbers make sense?"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from engine import catalog
from engine.datasets import imagenet
from engine.datasets.discover import read_classes
from engine.errors import InputError, QuantizeError, ScoreError
from engine.images.sets import Sets
from engine.measure.guessing import LEAST_ACCURACY, least_accuracy
from engine.models.loaded import LoadedModel, count_parameters
from engine.plan.plan import Plan
from engine.plan.resources import Resources
from engine.quantize.layers import check_architecture, warning_of
from engine.quantize.methods.base import load_method
from engine.scores import scorers
from engine.session.arrays import FinishedRows, layout, type_of_ranks
from engine.session.layout import FOLDERS
from engine.session.outputs import bytes_of
from engine.sweep import class_names
from engine.sweep.devices.backend import backend_of
from engine.sweep.loaded_models import LoadedModels
from engine.text import in_bytes

# Numbers of outputs of models trained on ImageNet-22k, for which counts differ, or on its larger classes.
IMAGENET_22K = (21841, 21842, 21843, 11821, 11221, 10450)
LEAST_IMAGES = 200  # labelled ones, before accuracy is judged
FLOAT_BYTES = 4
COPIES = 2  # of the weights in a quantized variant: rounded and original
SPARE = 256 * 2**20  # bytes of disk for the journal


def check_plan(plan: Plan) -> None:
    """Raise InputError for a method or a score that cannot be used as the plan says."""
    _method(plan)
    for name, parameters in plan.score_parameters.items():
        try:
            scorers.check(name, parameters)
        except ScoreError as error:
            raise InputError("score_parameters", parameters, str(error)) from None


def check(
    plan: Plan, resources: Resources, session: Path, sets: Sets, models: LoadedModels, device: torch.device
) -> list[str]:
    """Raise InputError for anything that would end the run later; return warnings."""
    classes = read_classes(resources.classes) if resources.classes else ()
    warnings = []
    for name, loaded in models.by_name.items():
        if classes and len(classes) != loaded.classes:
            right = f"{name} has {loaded.classes} classes; a name for each is needed"
            raise InputError("classes", f"{len(classes)} names", right)
        warnings += [*loaded.warnings, *_form(plan, name, loaded)]
        warnings += _labels(plan, sets, name, loaded, classes)
    warnings += class_names.check(plan, resources, sets, models)
    _disk(plan, session, sets, models)
    return [*dict.fromkeys(warnings), *_memory(plan, models, device)]


def _method(plan: Plan) -> None:
    """Check that the method can be loaded and takes its parameters, if anything is quantized."""
    if all(variant.bits.is_float for variant in plan.variants()):
        return
    try:
        load_method(plan.method, plan.method_parameters or {})
    except QuantizeError as error:
        raise InputError("method", plan.method, str(error)) from None
    except InputError as error:
        raise InputError("method_parameters", f"{error.field} = {error.given!r}", error.right) from None


def _form(plan: Plan, name: str, loaded: LoadedModel) -> list[str]:
    """Check that a model can be quantized faithfully, if anything is quantized."""
    if all(variant.bits.is_float for variant in plan.variants()):
        return []
    try:
        check_architecture(loaded.model)
    except QuantizeError as error:
        raise InputError("models", name, f"it cannot be quantized faithfully: {error}") from None
    warning = warning_of(loaded.model)
    return [f"{name}: {warning}"] if warning else []


def check_accuracy(plan: Plan, rows: FinishedRows, classes: Mapping[str, int], hint: str) -> None:
    """Raise InputError if a model in floating point is no better than guessing."""
    for column, variant in enumerate(plan.variants()):
        ranks = rows.values("rank", column, 0)
        labelled = ranks[ranks >= 0]
        if not variant.bits.is_float or variant.key not in classes or len(labelled) < LEAST_IMAGES:
            continue
        least = least_accuracy(classes[variant.key])
        top1 = float((labelled == 0).mean())
        if top1 < least:
            right = (
                f"a trained model is far above {least:.1%}: {hint}; if this is intended, give --any-accuracy"
            )
            raise InputError(f"accuracy of {variant.key}", f"{top1:.2%} of {len(labelled)} images", right)


def why_wrong(predicted: NDArray[np.int64], labels: NDArray[np.int64]) -> str:
    """Guess from predictions and labels of the same images why accuracy is at chance."""
    has_label = labels >= 0
    predicted, labels = predicted[has_label], labels[has_label]
    for shift, words in (
        (1, "start at 1, but the model's classes at 0"),
        (-1, "start at 0, but the model's classes at 1"),
    ):
        if len(labels) and float((predicted + shift == labels).mean()) > 10 * LEAST_ACCURACY:
            return f"the labels {words}"
    if len(np.unique(predicted)) <= max(2, len(labels) // 50):
        return "it predicts the same few classes for nearly all images, as untrained weights do"
    return (
        "labels and model most likely number the classes in different orders (ImageNet's development kit has "
        "its own; give the model's with --classes)"
    )


def _labels(
    plan: Plan, sets: Sets, name: str, loaded: LoadedModel, classes: tuple[str, ...] = ()
) -> list[str]:
    """Check that all labels are classes of a model."""
    images = sets.sets[0]
    fit = [("fit_set", sets.fit.images)] if sets.fit is not None else []
    for field, of_set in (("id_set", images), *fit):
        highest = int(of_set.labels.max(initial=-1))
        if highest >= loaded.classes:
            right = (
                f"{name} has {loaded.classes} classes; give a model trained on {of_set.name}, or "
                "the names of its classes in order (--classes FILE)"
            )
            raise InputError(field, f"labels up to {highest}", right)
        _outputs(plan, field, of_set.name, highest, name, loaded, named=bool(classes or loaded.class_names))
        distinct = len(of_set.classes)
        if of_set.is_guessed and distinct != loaded.classes:
            right = (
                f"{name} has {loaded.classes} classes, so their alphabetical order does not give the labels; "
                "give the names of its classes in order (--classes FILE)"
            )
            raise InputError(field, f"{of_set.name} with {distinct} folders", right)
    if not (images.labels >= 0).any():
        return [f"{plan.id_set} has no labels: accuracy, NLL and calibration errors are not measured"]
    if sets.fit is not None and not (sets.fit.images.labels >= 0).all():
        return [
            f"{plan.fit_set} has images without a label; scores that need classes treat them as one class"
        ]
    shown = len(np.unique(images.labels[images.labels >= 0]))
    if shown < loaded.classes and not catalog.is_made(plan.id_set):
        return [f"{plan.id_set} has images of {shown} of the {loaded.classes} classes of {name}"]
    return []


def _outputs(
    plan: Plan, field: str, of_set: str, highest: int, name: str, loaded: LoadedModel, *, named: bool
) -> None:
    """Raise InputError for labels of ImageNet-1k with a model whose outputs are other classes.

    Where the outputs have names (`named`), these say which output a label stands for.
    """
    count = loaded.classes
    of_1k = of_set == "imagenet" or of_set.startswith("imagenet-")
    is_22k = count in IMAGENET_22K and highest < imagenet.CLASSES and not catalog.is_made(plan.id_set)
    if named or highest < 0 or count == imagenet.CLASSES or not (of_1k or is_22k):
        return
    of = "ImageNet-22k or a part of it" if count in IMAGENET_22K else "another set of classes"
    right = (
        f"{name} has {count:,} outputs, those of {of}, which do not match these labels; give weights "
        "fine-tuned on ImageNet-1k (timm's tags that end in in1k), or the names of its outputs in order "
        "(--classes FILE)"
    )
    raise InputError(field, f"{of_set} with labels up to {highest}", right)


def _disk(plan: Plan, session: Path, sets: Sets, models: LoadedModels) -> None:
    """Raise InputError if arrays, quantized variants and kept outputs would not fit on the disk."""
    ranks = type_of_ranks(models.most_classes)
    row = sum(dtype.itemsize * columns for dtype, columns in layout(plan, ranks).values())
    states = sum(
        count_parameters(models.by_name[v.model].model) for v in plan.variants() if not v.bits.is_float
    )
    needed = row * sets.rows + states + (0 if catalog.is_made(plan.id_set) else SPARE)
    if plan.keep_outputs:
        fitted_on = len(sets.fit.chosen) if sets.fit is not None else 0
        needed += sum(bytes_of(*models.sizes[v.model], sets.rows, fitted_on) for v in plan.variants())
    taken = sum(file.stat().st_size for part in FOLDERS for file in (session / part).glob("*"))
    free = shutil.disk_usage(session).free + taken
    if needed > free:
        less = "a smaller share, or do not keep outputs" if plan.keep_outputs else "a smaller share"
        wrong = f"is not enough: {in_bytes(needed)} are needed"
        raise InputError(
            "disk", f"{in_bytes(free)} free", f"give another --session-dir or {less}", wrong=wrong
        )


def _memory(plan: Plan, models: LoadedModels, device: torch.device) -> list[str]:
    """Warn if the variants alone fill most of the memory."""
    needed = (
        sum(count_parameters(models.by_name[v.model].model) for v in plan.variants()) * FLOAT_BYTES * COPIES
    )
    free = backend_of(device).free_memory(device)
    where = "this machine" if device.type == catalog.CPU else str(device)
    if needed < 0.8 * free:
        return []
    sizes = f"{in_bytes(needed)} of weights, {in_bytes(free)} free on {where}"
    return [f"memory may run out: {sizes}; use fewer models or bit settings per run"]
