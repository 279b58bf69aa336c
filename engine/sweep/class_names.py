"""Whether labels agree with the class names in the models' own files."""

from __future__ import annotations

from engine.datasets.class_order import CODEPOINT, NATURAL, differences, placed
from engine.errors import InputError
from engine.images.image_set import ImageSet
from engine.images.sets import Sets
from engine.plan.plan import Plan
from engine.plan.resources import Resources
from engine.sweep.loaded_models import LoadedModels


def check(plan: Plan, resources: Resources, sets: Sets, models: LoadedModels) -> list[str]:
    """Return warnings about labels that may be wrong; raise InputError where they are ambiguous.

    Class folders are labelled by their order, and timm sorts them differently from torchvision.
    """
    fit = [sets.fit.images] if sets.fit is not None else []
    warnings: list[str] = []
    for images in dict.fromkeys((sets.sets[0], *fit)):
        if images.classes:
            warnings += _check(plan, resources, images, models)
    return warnings


def _check(plan: Plan, resources: Resources, images: ImageSet, models: LoadedModels) -> list[str]:
    unlike = differences(images.classes)
    if images.is_guessed and not plan.class_order and unlike:
        right = (
            f"timm and torchvision number them differently: {'; '.join(unlike)}; give the order that the "
            f"model was trained with, --class-order {NATURAL} (timm) or --class-order {CODEPOINT} "
            "(torchvision's ImageFolder), class_order in a plan, or its class names in order (--classes FILE)"
        )
        raise InputError(f"labels of {images.name}", "the order of its folders", right)
    choice = "--classes" if resources.classes else f"--class-order {plan.class_order}"
    is_chosen = bool(resources.classes or plan.class_order)
    warnings, unnamed = [], []
    for name, loaded in models.by_name.items():
        places = placed(images.classes, loaded.class_names)
        if places is None:
            unnamed.append(name)
            continue
        wrong = [one for one, label in images.classes.items() if label not in (-1, places[one])]
        if not wrong:
            continue
        where = f"{wrong[0]!r} is its class {places[wrong[0]]} but has label {images.classes[wrong[0]]}"
        if not is_chosen:
            right = (
                f"its file lists the classes in a different order from the other models ({where}); sweep it "
                "in a separate session"
            )
            raise InputError("models", name, right)
        warnings.append(
            f"labels of {images.name} follow {choice}, but according to the file of {name}, {where}"
        )
    if unnamed and unlike and not is_chosen:
        warnings.append(
            f"labels of {images.name} follow the class names in another model's file; whether they are also "
            f"right for {', '.join(unnamed)} is unknown"
        )
    return warnings
