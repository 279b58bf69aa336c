from __future__ import annotations

import json

import pytest
import torch

from engine import catalog
from engine.images import demo
from engine.models import zoo
from engine.models.loaded import load, normalise
from tests.running import CPU


@pytest.mark.parametrize("name", list(catalog.DEMO_MODELS))
def test_a_micro_model_is_good_but_not_perfect_on_fractals_it_never_saw(name: str) -> None:
    loaded = load(name, torch.device("cpu"), CPU, print)
    images = demo.load_set("fractals")
    pixels = normalise(torch.from_numpy(images.images.transpose(0, 3, 1, 2).copy()), loaded)
    with torch.inference_mode():
        predicted = loaded.model(pixels).argmax(1).numpy()
    assert 0.85 <= (predicted == images.labels).mean() <= 0.97


def test_weights_are_small_and_say_how_they_were_made() -> None:
    total = 0
    for name in catalog.DEMO_MODELS:
        file = zoo.weights_file(name)
        size = len(file.read_bytes())
        assert size <= 2_000_000
        total += size
        log = zoo.resources.files("engine.models").joinpath("zoo_weights", f"{name}.log.jsonl")
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert lines[0]["command"].startswith(f"python -m engine.models.train --model {name} --seed")
        assert lines[1]["recipe"] == json.loads(json.dumps(zoo.msgspec.to_builtins(zoo.RECIPES[name])))
        assert lines[-1]["saved"] == f"{name}.safetensors"
    assert total <= 10_000_000


def test_recipes_differ_as_the_systems_they_stand_for() -> None:
    assert zoo.RECIPES["vit-wide"].pretrain_epochs and not zoo.RECIPES["vit-narrow"].pretrain_epochs
    assert zoo.RECIPES["deit-narrow"].mixup and not zoo.RECIPES["vit-narrow"].mixup
    scales = [m for m in zoo.build("deit3-wide").modules() if type(m).__name__ == "LayerScale"]
    assert len(scales) == 12
