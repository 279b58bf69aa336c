"""Weights in the formats in which they come: caches, files, folders; each with its own preprocessing."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.data import resolve_model_data_config

from engine import catalog
from engine.errors import InputError
from engine.images.image_set import Geometry
from engine.models.loaded import load
from engine.plan.resources import Checkpoint, Resources
from tests.real import SMALL, cache_weights, random_model

CPU = torch.device("cpu")
TINY = "vit_tiny_patch16_224"


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is in a cache, and nothing can be downloaded."""
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def same(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    ours, theirs = first.state_dict(), second.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


def silent(_text: str) -> None:
    return None


def test_a_tag_comes_from_the_hugging_face_cache_without_a_network(tmp_path: Path) -> None:
    tag = "deit_small_patch16_224.fb_in1k"
    model = random_model(tag)
    cache_weights(tmp_path / "hf", tag, model)
    loaded = load(tag, CPU, Resources(), silent)
    assert same(loaded.model, model) and not loaded.model.training
    assert loaded.classes == 1000 and loaded.geometry == Geometry(224, 0.9, "bicubic", "center")
    assert loaded.mean == (0.485, 0.456, 0.406) and "0123456789ab" in loaded.origin


def test_a_tag_comes_from_torchs_cache_as_facebook_names_it(tmp_path: Path) -> None:
    tag = "deit_small_patch16_224.fb_in1k"
    model = random_model(tag)
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save({"model": model.state_dict()}, folder / "deit_small_patch16_224-cd65a155.pth")
    loaded = load(tag, CPU, Resources(), silent)
    assert same(loaded.model, model) and "cd65a155" in loaded.origin


def test_every_study_model_has_timms_own_preprocessing() -> None:
    crops = {}
    for tag in catalog.STUDY_MODELS:
        config = resolve_model_data_config(timm.create_model(tag, pretrained=False))
        crops[tag] = (config["crop_pct"], config["mean"][0])
    assert crops["vit_small_patch16_224.augreg_in1k"] == (0.9, 0.5)
    assert crops["deit3_small_patch16_224.fb_in22k_ft_in1k"] == (1.0, 0.485)


@pytest.mark.parametrize("form", ["safetensors", "pth", "state_dict", "npz", "folder"])
def test_a_checkpoint_of_ones_own_is_loaded_with_its_classes(tmp_path: Path, form: str) -> None:
    model = random_model(TINY, num_classes=37)
    file = tmp_path / "own"
    if form == "safetensors":
        file = file.with_suffix(".safetensors")
        save_file(model.state_dict(), file)
    elif form == "folder":
        timm.models.save_for_hf(model, file, model_config={"num_classes": 37})
    elif form == "npz":
        file = file.with_suffix(".npz")
        np.savez(file, **as_google_saves(model))
    else:
        file = file.with_suffix(".pth")
        state = model.state_dict()
        torch.save({"state_dict": state, "epoch": 3} if form == "state_dict" else state, file)
    checkpoint = Checkpoint(str(file), "" if form == "folder" else TINY)
    loaded = load("mine", CPU, Resources(checkpoints={"mine": checkpoint}), silent)
    assert loaded.classes == 37 and same(loaded.model, model)


def test_a_checkpoint_for_larger_images_gets_larger_images(tmp_path: Path) -> None:
    model = random_model(TINY, num_classes=5, img_size=96)
    torch.save(model.state_dict(), tmp_path / "own.pth")
    given = Resources(checkpoints={"mine": Checkpoint(str(tmp_path / "own.pth"), TINY)})
    loaded = load("mine", CPU, given, silent)
    assert loaded.geometry.size == 96 and same(loaded.model, model)


@pytest.mark.parametrize(
    ("name", "checkpoint", "words"),
    [
        ("deit_small_patch16_224.fb_in1k", None, ("cache", "--checkpoint")),
        ("deit_small_patch16_224.fb_in2k", None, ("fb_in1k",)),
        ("deit_smal_patch16_224", None, ("deit_small_patch16_224",)),
        ("convit_small.fb_in1k", ("convit_small", "random"), ("ConVit", "plain")),
        ("mine", (TINY, "text"), ("weights of", TINY)),
        ("mine", (TINY, "other"), ("weights of", TINY)),
        ("mine", (TINY, "pickle"), ("weights of", TINY)),
    ],
)
def test_what_cannot_be_loaded_is_said_in_words(
    tmp_path: Path, name: str, checkpoint: tuple[str, str] | None, words: tuple[str, ...]
) -> None:
    given = Resources()
    if checkpoint is not None:
        model, content = checkpoint
        file = tmp_path / "own.pth"
        if content == "text":
            file.write_text("no weights")
        elif content == "other":
            torch.save(random_model(SMALL).state_dict(), file)
        elif content == "random":
            torch.save(timm.create_model(model).state_dict(), file)
        else:
            torch.save({"head.weight": Path("/anything")}, file)
        given = Resources(checkpoints={name: Checkpoint(str(file), model)})
    with pytest.raises(InputError) as caught:
        load(name, CPU, given, silent)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def as_google_saves(model: torch.nn.Module) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    """Return a model's weights under the names of Google's vision transformers, which timm reads."""
    state = {key: value.numpy() for key, value in model.state_dict().items()}
    width, heads = state["cls_token"].shape[-1], model.blocks[0].attn.num_heads  # type: ignore[index, union-attr]
    found = {
        "cls": state["cls_token"],
        "Transformer/posembed_input/pos_embedding": state["pos_embed"],
        "embedding/kernel": state["patch_embed.proj.weight"].transpose(2, 3, 1, 0),
        "embedding/bias": state["patch_embed.proj.bias"],
        "Transformer/encoder_norm/scale": state["norm.weight"],
        "Transformer/encoder_norm/bias": state["norm.bias"],
        "head/kernel": state["head.weight"].T,
        "head/bias": state["head.bias"],
    }
    for i in range(len(model.blocks)):  # type: ignore[arg-type]
        at, of = f"Transformer/encoderblock_{i}", f"blocks.{i}"
        for n, norm in (("0", "norm1"), ("2", "norm2")):
            found[f"{at}/LayerNorm_{n}/scale"] = state[f"{of}.{norm}.weight"]
            found[f"{at}/LayerNorm_{n}/bias"] = state[f"{of}.{norm}.bias"]
        qkv, bias = np.split(state[f"{of}.attn.qkv.weight"], 3), np.split(state[f"{of}.attn.qkv.bias"], 3)
        for name, weight, shift in zip(("query", "key", "value"), qkv, bias, strict=True):
            found[f"{at}/MultiHeadDotProductAttention_1/{name}/kernel"] = weight.T.reshape(width, heads, -1)
            found[f"{at}/MultiHeadDotProductAttention_1/{name}/bias"] = shift.reshape(heads, -1)
        proj = state[f"{of}.attn.proj.weight"].T.reshape(heads, -1, width)
        found[f"{at}/MultiHeadDotProductAttention_1/out/kernel"] = proj
        found[f"{at}/MultiHeadDotProductAttention_1/out/bias"] = state[f"{of}.attn.proj.bias"]
        for n, layer in (("0", "fc1"), ("1", "fc2")):
            found[f"{at}/MlpBlock_3/Dense_{n}/kernel"] = state[f"{of}.mlp.{layer}.weight"].T
            found[f"{at}/MlpBlock_3/Dense_{n}/bias"] = state[f"{of}.mlp.{layer}.bias"]
    return found


def test_a_download_is_reported_in_tenths() -> None:
    from engine.models.pretrained import _progress

    messages: list[str] = []
    bar = _progress("tag", messages.append)(total=100_000_000, desc="model.safetensors", unit="B")
    for _ in range(100):
        bar.update(1_000_000)
    bar.close()
    assert len(messages) == 11 and messages[-1] == "tag: 95.4 MiB of 95.4 MiB downloaded"


def test_arrays_of_google_for_larger_images_are_not_resampled(tmp_path: Path) -> None:
    made = random_model(TINY, num_classes=5, img_size=96)
    np.savez(tmp_path / "own.npz", **as_google_saves(made))
    given = Resources(checkpoints={"mine": Checkpoint(str(tmp_path / "own.npz"), TINY)})
    loaded = load("mine", CPU, given, silent)
    assert loaded.geometry.size == 96 and same(loaded.model, made)
    for resources, words in (
        (msgspec.structs.replace(given, ema=True), "no EMA"),
        (
            Resources(checkpoints={"mine": Checkpoint(str(tmp_path / "own.npz"), "vit_small_patch32_224")}),
            "differ",
        ),
    ):
        with pytest.raises(InputError, match=words):
            load("mine", CPU, resources, silent)
    arrays = {**as_google_saves(made), "pre_logits/kernel": np.ones((192, 192), np.float32)}
    np.savez(tmp_path / "own.npz", **arrays)
    with pytest.raises(InputError, match="pre_logits"):
        load("mine", CPU, given, silent)


def test_a_file_in_place_of_published_weights_is_warned_of(tmp_path: Path) -> None:
    tag = "deit_small_patch16_224.fb_in1k"
    made = random_model(tag)
    torch.save(made.state_dict(), tmp_path / "own.pth")
    loaded = load(tag, CPU, Resources(checkpoints={tag: Checkpoint(str(tmp_path / "own.pth"))}), silent)
    assert same(loaded.model, made) and "not the published ones" in loaded.warnings[0]


@pytest.mark.parametrize(
    ("name", "model", "words"),
    [
        ("vit-narrow", TINY, "demo"),
        (TINY, "deit_tiny_patch16_224", "a model other than"),
        ("resnet18", TINY, "a model other than"),
        ("mine", "resnet18", "ResNet"),
        ("mine", "vit-narrow", "vit"),
    ],
)
def test_a_name_that_stands_for_another_model_is_refused(
    tmp_path: Path, name: str, model: str, words: str
) -> None:
    torch.save(random_model(TINY).state_dict(), tmp_path / "own.pth")
    given = Resources(checkpoints={name: Checkpoint(str(tmp_path / "own.pth"), model)})
    with pytest.raises(InputError, match=words):
        load(name, CPU, given, silent)
