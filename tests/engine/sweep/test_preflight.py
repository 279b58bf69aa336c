"""What would end a run later, or make its numbers mean something else, is refused before it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import timm
import torch

from engine.errors import InputError
from engine.images.array_images import ArrayImages
from engine.images.image_set import Geometry
from engine.images.sets import Sets
from engine.models.loaded import LoadedModel
from engine.plan.plan import Plan
from engine.plan.resources import Resources
from engine.sweep import preflight


def model(classes: int, architecture: str = "test_vit", **arguments: Any) -> LoadedModel:
    made = timm.create_model(architecture, num_classes=classes, **arguments).eval()
    return LoadedModel(made, Geometry(32), (0.5,) * 3, (0.5,) * 3, classes, "file x", architecture)


def check(
    tmp_path: Path, loaded: LoadedModel, labels: list[int], of: str = "pets", **given: Any
) -> list[str]:
    """Return the warnings before a sweep of a set with these labels."""
    bits = given.pop("bits", ("FP32", "W4A4"))
    plan = Plan(models=("mine",), bits=bits, id_set=of, ood_sets=("birds",), calibration_set="pets-train")
    pixels = np.zeros((len(labels), 32, 32, 3), np.uint8)
    images = ArrayImages(of, "", "id", pixels, np.array(labels))
    sets = Sets([images], np.zeros(len(labels), np.int64), np.arange(len(labels)), [len(labels)], [], None)
    models: Any = SimpleNamespace(by_name={"mine": loaded}, most_classes=loaded.classes)
    return preflight.check(plan, Resources(**given), tmp_path, sets, models, torch.device("cpu"))


@pytest.mark.parametrize("outputs", [21841, 21843, 11821])
@pytest.mark.parametrize("of", ["imagenet", "pets"])
@pytest.mark.parametrize("labels", [[3], [0, 500, 999]])
def test_outputs_of_imagenet_22k_are_refused_for_labels_of_1k_at_any_number_of_images(
    tmp_path: Path, outputs: int, of: str, labels: list[int]
) -> None:
    with pytest.raises(InputError) as caught:
        check(tmp_path, model(outputs), labels, of)
    assert f"{outputs:,}" in str(caught.value) and "--classes" in str(caught.value)


def test_other_outputs_than_imagenets_are_refused_for_imagenet(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1,001 outputs"):
        check(tmp_path, model(1001), [3, 5], "imagenet")


def test_outputs_with_names_and_labels_of_22k_are_let_be(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("\n".join(f"n{number:08d}" for number in range(21841)))
    check(tmp_path, model(21841), [3, 999], classes=str(tmp_path / "classes.txt"))
    check(tmp_path, model(21841), [3, 20000])
    check(tmp_path, model(1000), [3, 999], "imagenet")
    check(tmp_path, model(21841), [-1, -1])


def test_an_architecture_that_cannot_be_quantized_is_refused_unless_nothing_is(tmp_path: Path) -> None:
    given = {"depth": 1, "embed_dim": 48, "num_heads": 3, "img_size": 32}
    of_pairs = model(5, "vit_small_patch16_18x2_224", **given)
    with pytest.raises(InputError, match="ParallelThingsBlock"):
        check(tmp_path, of_pairs, [1, 2])
    check(tmp_path, of_pairs, [1, 2], bits=("FP32",))


def test_a_stem_in_floating_point_and_doubts_about_weights_are_warned_of(tmp_path: Path) -> None:
    hybrid = model(5, "vit_small_r26_s32_224", depth=1, img_size=64)
    warnings = check(tmp_path, hybrid._replace(warnings=("mine: a doubt",)), [1, 2])
    assert "mine: a doubt" in warnings
    assert any("of its weights" in text and "floating point" in text for text in warnings)
    assert not any("floating point" in text for text in check(tmp_path, hybrid, [1, 2], bits=("FP32",)))
