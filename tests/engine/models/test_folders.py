"""Folders that say how their model is built, and repositories of the hub in the cache."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from engine.errors import InputError
from engine.images.image_set import Geometry
from engine.models.checkpoints import load_checkpoint
from engine.models.loaded import LoadedModel
from tests.engine.models.test_checkpoints import SHAPE, logits, model
from tests.real import REVISION

NAMES = ("ant", "Bee", "10", "9", "cat")
ABOUT: dict[str, Any] = {
    "architectures": ["ViTForImageClassification"],
    "model_type": "vit",
    "hidden_size": 192,
    "image_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 768,
    "layer_norm_eps": 1e-6,
    "id2label": {str(at): name for at, name in reversed(list(enumerate(NAMES)))},
}


def as_transformers_saves(state: dict[str, Tensor], kind: str = "vit") -> dict[str, Tensor]:
    """Return weights under the names of a ViT or DeiT of transformers, the inverse of what is tested."""
    found = {
        f"{kind}.embeddings.cls_token": state["cls_token"],
        f"{kind}.embeddings.position_embeddings": state["pos_embed"],
        f"{kind}.pooler.dense.bias": torch.zeros(192),
    }
    names = {
        "patch_embed.proj": f"{kind}.embeddings.patch_embeddings.projection",
        "norm": f"{kind}.layernorm",
    }
    names |= {"head": "cls_classifier" if "head_dist.weight" in state else "classifier"}
    if "head_dist.weight" in state:
        names["head_dist"] = "distillation_classifier"
    for i in range(2):
        at, of = f"{kind}.encoder.layer.{i}", f"blocks.{i}"
        names |= {
            f"{of}.norm1": f"{at}.layernorm_before",
            f"{of}.norm2": f"{at}.layernorm_after",
            f"{of}.attn.proj": f"{at}.attention.output.dense",
            f"{of}.mlp.fc1": f"{at}.intermediate.dense",
            f"{of}.mlp.fc2": f"{at}.output.dense",
        }
        for part in ("weight", "bias"):
            three = state[f"{of}.attn.qkv.{part}"].chunk(3)
            for name, value in zip(("query", "key", "value"), three, strict=True):
                found[f"{at}.attention.attention.{name}.{part}"] = value.clone()
    for own, theirs in names.items():
        found |= {f"{theirs}.{part}": state[f"{own}.{part}"] for part in ("weight", "bias")}
    for token in ("dist_token", "reg_token"):
        if token in state:
            found[f"{kind}.embeddings.distillation_token"] = state[token]
    return {name: value.contiguous() for name, value in found.items()}


def folder_of(folder: Path, weights: dict[str, Tensor], about: dict[str, Any], images: Any = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(about))
    if images is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(images))
    return folder


def read(path: object) -> LoadedModel:
    return load_checkpoint("mine", str(path), lambda _: None)


def test_a_vit_of_transformers_is_timms_under_other_names(tmp_path: Path) -> None:
    made = model()
    images = {
        "size": {"height": 32, "width": 32},
        "resample": 3,
        "image_mean": [0.1] * 3,
        "image_std": [1] * 3,
    }
    found = read(folder_of(tmp_path, as_transformers_saves(made.state_dict()), ABOUT, images))
    assert torch.equal(logits(found.model), logits(made))
    assert found.class_names == NAMES and found.classes == 5
    assert found.geometry == Geometry(32, 1.0, "bicubic", "squash") and found.mean == (0.1,) * 3
    assert "transformers" in str(found.weights) and "pooler.dense.bias" in str(found.weights)


def test_its_epsilon_and_activation_are_those_of_its_config(tmp_path: Path) -> None:
    from functools import partial

    norm = partial(torch.nn.LayerNorm, eps=0.1)
    made = model(norm_layer=norm, act_layer="gelu_tanh")
    about = {**ABOUT, "layer_norm_eps": 0.1, "hidden_act": "gelu_pytorch_tanh"}
    weights = as_transformers_saves(made.state_dict())
    found = read(folder_of(tmp_path, weights, about))
    torch.testing.assert_close(logits(found.model), logits(made), rtol=1e-6, atol=1e-6)
    file = load_checkpoint("mine", str(tmp_path / "model.safetensors"), print, model="vit_tiny_patch16_224",
                           arguments={**SHAPE, "act_layer": "gelu_tanh"})  # fmt: skip
    torch.testing.assert_close(logits(file.model), logits(made), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("heads", [1, 2])
def test_a_deit_of_transformers_has_one_head_or_two(tmp_path: Path, heads: int) -> None:
    teacher = heads == 2
    made = (
        model(architecture="deit_tiny_distilled_patch16_224")
        if teacher
        else model(architecture="deit_tiny_patch16_224", reg_tokens=1)
    )
    about = {**ABOUT, "model_type": "deit"}
    about["architectures"] = ["DeiTForImageClassification" + ("WithTeacher" if teacher else "")]
    found = read(folder_of(tmp_path, as_transformers_saves(made.state_dict(), "deit"), about))
    assert torch.equal(logits(found.model), logits(made))
    assert "preprocessor_config.json" in str(found.weights)


@pytest.mark.parametrize(
    ("images", "right"),
    [
        ({"size": 32}, Geometry(32, 1.0, "bilinear", "squash")),
        (
            {"size": {"shortest_edge": 37}, "do_center_crop": True, "crop_size": 32, "resample": 1},
            Geometry(32, 32 / 37, "lanczos", "center"),
        ),
        (
            {
                "size": {"height": 36, "width": 36},
                "do_center_crop": True,
                "crop_size": {"height": 32, "width": 32},
            },
            Geometry(32, 32 / 36, "bilinear", "squash"),
        ),
    ],
)
def test_preprocessing_is_that_of_transformers(
    tmp_path: Path, images: dict[str, Any], right: Geometry
) -> None:
    found = read(folder_of(tmp_path, as_transformers_saves(model().state_dict()), ABOUT, images)).geometry
    assert found._replace(crop=0) == right._replace(crop=0) and found.crop == pytest.approx(right.crop)
    assert int(32 / found.crop) == int(images["size"] if isinstance(images["size"], int) else
                                       next(iter(images["size"].values())))  # fmt: skip


@pytest.mark.parametrize(
    "images", [{"size": 64}, {"size": {"shortest_edge": 32}}, {"size": 32, "rescale_factor": 0.0078}, {
        "size": {"height": 32, "width": 48}}, {"size": 32, "resample": 9}, {"size": 32, "do_resize": False}]
)  # fmt: skip
def test_preprocessing_that_is_not_understood_is_refused(tmp_path: Path, images: dict[str, Any]) -> None:
    folder_of(tmp_path, as_transformers_saves(model().state_dict()), ABOUT, images)
    with pytest.raises(InputError, match=r"pixels|rescale|scaled|resized|interpolation"):
        read(tmp_path)


def test_a_folder_of_timm_brings_its_model_preprocessing_and_names(tmp_path: Path) -> None:
    made = model(global_pool="avg", pretrained_cfg_overlay={"input_size": (3, 32, 32), "crop_pct": 0.8})
    about = {"num_classes": 5, "label_names": list(NAMES)}
    timm.models.save_for_hf(made, tmp_path, model_config=about, model_args={"global_pool": "avg", **SHAPE})
    found = read(tmp_path)
    assert torch.equal(logits(found.model), logits(made)) and found.class_names == NAMES
    assert found.geometry.size == 32 and found.geometry.crop == 0.8
    assert found.arguments["global_pool"] == "avg"
    # Beside plain weights, a training program leaves their average: the plain ones are meant here too.
    (tmp_path / "model.safetensors").unlink(missing_ok=True)
    (tmp_path / "pytorch_model.bin").unlink(missing_ok=True)
    average = model(1, global_pool="avg").state_dict()
    torch.save({"model": made.state_dict(), "model_ema": average}, tmp_path / "pytorch_model.bin")
    assert torch.equal(logits(read(tmp_path).model), logits(made))


def test_a_folder_for_another_model_than_is_said_is_refused(tmp_path: Path) -> None:
    timm.models.save_for_hf(model(), tmp_path, model_args=SHAPE)
    with pytest.raises(InputError, match="vit_tiny_patch16_224"):
        load_checkpoint("mine", str(tmp_path), print, model="deit_tiny_patch16_224")


@pytest.mark.parametrize("kind", ["timm", "transformers"])
@pytest.mark.parametrize("prefix", ["hf-hub:", "hf_hub:"])
def test_a_repository_comes_from_the_cache_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, prefix: str
) -> None:
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    made = model()
    top = tmp_path / "hub" / "models--somebody--vit"
    snapshot = top / "snapshots" / REVISION
    (top / "refs").mkdir(parents=True)
    (top / "refs" / "main").write_text(REVISION)
    if kind == "timm":
        timm.models.save_for_hf(made, snapshot, model_args=SHAPE)
    else:
        folder_of(snapshot, as_transformers_saves(made.state_dict()), ABOUT)
    found = read(f"{prefix}somebody/vit")
    assert torch.equal(logits(found.model), logits(made))
    assert found.origin == f"hub repository somebody/vit, revision {REVISION[:12]}"
    for wrong, words in (("somebody/other", "cache"), ("somebody", "OWNER/NAME"), ("a/b/c", "OWNER/NAME")):
        with pytest.raises(InputError, match=words):
            read(f"{prefix}{wrong}")
