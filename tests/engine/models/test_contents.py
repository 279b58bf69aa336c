"""Files that hold no weights of a vision transformer: each is named for what it is, with what would work."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from engine.errors import InputError
from engine.models.checkpoints import load_checkpoint

ARCHITECTURE = "vit_tiny_patch16_224"


def state(**more: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return enough of a vision transformer to be told as one."""
    weights = {"blocks.0.norm1.weight": torch.ones(8), "head.weight": torch.ones(5, 8)}
    return {**weights, **more}


def saved(held: object) -> Callable[[Path], object]:
    return lambda path: torch.save(held, path)


def optimizer(path: Path) -> None:
    layer = nn.Linear(4, 4)
    steps = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 4)).sum().backward()
    steps.step()
    torch.save({"optimizer": steps.state_dict()}, path)


def archive(*names: str) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as file:
            for name in names:
                file.writestr(name, "x")

    return write


def cut(path: Path) -> None:
    torch.save(state(), path)
    path.write_bytes(path.read_bytes()[:-200])


def cut_safetensors(path: Path) -> None:
    save_file(state(), path)
    path.write_bytes(path.read_bytes()[:-20])


def tar(path: Path) -> None:
    with tarfile.open(path, "w") as file:
        file.addfile(tarfile.TarInfo("x"), io.BytesIO())


FILES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "empty": ("a.pth", lambda path: path.write_bytes(b""), "empty"),
    "a pointer": (
        "a.safetensors",
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid"),
        "git lfs pull",
    ),
    "a page": ("a.pth", lambda path: path.write_text("\ufeff\n<!DOCTYPE html><html>"), "web page"),
    "HDF5": ("a.h5", lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + b"0" * 100), "HDF5"),
    "ONNX": ("a.onnx", lambda path: path.write_bytes(b"\x08\x07\x12\x07pytorch"), "ONNX"),
    "GGUF": ("a.gguf", lambda path: path.write_bytes(b"GGUF\x03" + b"0" * 100), "GGUF"),
    "Flax": ("flax_model.msgpack", lambda path: path.write_bytes(b"\x83" + b"0" * 100), "Flax"),
    "Keras": ("a.keras", archive("config.json", "model.weights.h5"), "Keras"),
    "TorchScript": (
        "a.pt",
        lambda path: torch.jit.save(torch.jit.script(nn.Linear(2, 2)), path),
        "TorchScript",
    ),
    "TensorFlow": ("a.ckpt.data-00000-of-00001", lambda path: path.write_bytes(b"0" * 100), "TensorFlow"),
    "an archive": ("a.zip", archive("photo.jpg"), "unpack"),
    "a tar archive": ("a.tar", tar, "unpack"),
    "gzip": ("a.pth.gz", lambda path: path.write_bytes(b"\x1f\x8b" + b"0" * 100), "unpack"),
    "an array": ("a.npy", lambda path: np.save(path, np.ones(3)), "single array"),
    "arrays": ("a.npz", lambda path: np.savez(path, a=np.ones(3)), "Google"),
    "JSON": ("config.json", lambda path: path.write_text(json.dumps({"a": 1})), "text file"),
    "text": ("a.pth", lambda path: path.write_text("no weights"), "not a file of weights"),
    "cut off": ("a.pth", cut, "incomplete or damaged"),
    "cut off safetensors": ("a.safetensors", cut_safetensors, "incomplete or damaged"),
    "an optimizer": ("a.pth", optimizer, "optimizer"),
    "a number": ("a.pth", saved(3), "int"),
    "an object": ("a.pth", saved(nn.ReLU()), "ReLU"),
    "nothing": ("a.pth", saved({}), "nothing"),
    "notes": ("a.pth", saved({"epoch": 3, "loss": 0.1}), "no weights by name"),
    "a list": ("a.pth", saved([torch.ones(2, 2)]), "list"),
    "a ResNet": ("a.pth", saved({"layer1.0.conv1.weight": torch.ones(2, 2, 1, 1)}), "ResNet"),
    "a Swin": ("a.pth", saved({"layers.0.blocks.0.attn.qkv.weight": torch.ones(2, 2)}), "Swin"),
    "MMPretrain": (
        "a.pth",
        saved({"state_dict": {"backbone.layers.0.ln1.weight": torch.ones(2, 2)}}),
        "MMPretrain",
    ),
    "CLIP": ("a.pth", saved({"visual.transformer.resblocks.0.mlp.c_fc.weight": torch.ones(2, 2)}), "CLIP"),
    "no head": (
        "a.pth",
        saved({"blocks.0.norm1.weight": torch.ones(8), "proj.weight": torch.ones(2, 2)}),
        "no classification head",
    ),
    "a head elsewhere": (
        "a.pth",
        saved({"model.blocks.0.norm1.weight": torch.ones(8), "fc.weight": torch.ones(5, 8)}),
        "no classification head",
    ),
    "adapters": ("a.pth", saved(state(**{"blocks.0.attn.qkv.lora_A.weight": torch.ones(2, 2)})), "LoRA"),
    "only adapters": ("a.pth", saved({"base_model.model.lora_A.weight": torch.ones(2, 2)}), "LoRA"),
    "parametrised": (
        "a.pth",
        saved(state(**{"head.parametrizations.weight.original0": torch.ones(5, 1)})),
        "parametris",
    ),
    "ZeRO-3": ("a.pth", saved(state(**{"blocks.0.attn.qkv.weight": torch.ones(0)})), "ZeRO"),
    "FSDP": ("a.pth", saved({"_fsdp_wrapped_module._flat_param": torch.ones(2, 2)}), "FSDP"),
    "integers": (
        "a.pth",
        saved(state(**{"blocks.0.attn.qkv.weight": torch.ones(2, 2, dtype=torch.int8)})),
        "quantized",
    ),
    "a layer before the head": (
        "a.pth",
        saved(state(**{"pre_logits.fc.weight": torch.ones(2, 2)})),
        "pre_logits",
    ),
    "another shape": ("a.pth", saved(state()), "shapes differ"),
    "an index": ("model.safetensors.index.json", lambda path: path.write_text("{}"), "index"),
    "an index of files elsewhere": (
        "model.safetensors.index.json",
        lambda path: path.write_text(json.dumps({"weight_map": {"a": "../x.safetensors"}})),
        "outside",
    ),
}


@pytest.mark.parametrize("form", FILES)
def test_what_a_file_is_instead_is_said(tmp_path: Path, form: str) -> None:
    name, write, words = FILES[form]
    write(tmp_path / name)
    with pytest.raises(InputError) as caught:
        load_checkpoint("mine", str(tmp_path / name), print, model=ARCHITECTURE)
    said = str(caught.value)
    assert words in said and str(tmp_path / name) in said and "Placeholder" not in said, said
    assert caught.value.field == "checkpoint mine"


FOLDERS: dict[str, tuple[dict[str, str], str]] = {
    "empty": ({}, "empty"),
    "distributed": ({".metadata": "", "__0_0.distcp": ""}, "distributed checkpoint"),
    "DeepSpeed": ({"zero_to_fp32.py": "", "latest": "x"}, "DeepSpeed"),
    "adapters": ({"adapter_config.json": "{}", "adapter_model.safetensors": ""}, "PEFT"),
    "SavedModel": ({"saved_model.pb": "", "variables": ""}, "SavedModel"),
    "TensorFlow": ({"config.json": "{}", "tf_model.h5": ""}, "TensorFlow"),
    "no weights": ({"config.json": "{}", "README.md": ""}, "no weights"),
    "of neither": ({"config.json": "{}", "model.safetensors": ""}, "neither"),
    "broken": ({"config.json": "{", "model.safetensors": ""}, "config.json"),
    "BEiT": ({"config.json": '{"model_type": "beit"}', "model.safetensors": ""}, "beit"),
    "no head": (
        {"config.json": '{"model_type": "vit", "architectures": ["ViTModel"]}', "model.safetensors": ""},
        "no classification head",
    ),
    "several": ({"a.pth": "", "b.pth": ""}, "a.pth, b.pth"),
    "of no model": ({"a.pth": ""}, "mine=MODEL:FOLDER"),
}


@pytest.mark.parametrize("form", FOLDERS)
def test_what_a_folder_is_instead_is_said(tmp_path: Path, form: str) -> None:
    files, words = FOLDERS[form]
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as caught:
        load_checkpoint("mine", str(tmp_path), print, model=ARCHITECTURE if form == "several" else "")
    assert words in str(caught.value) and str(tmp_path) in str(caught.value), str(caught.value)
