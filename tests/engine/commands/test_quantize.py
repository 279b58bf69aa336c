"""Bring your own model: quantize, save, load, run; through the command line as its user does."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from engine import catalog
from engine.commands import quantize
from engine.errors import InputError
from engine.plan.bits import Bits
from engine.quantize.bit_table import tabulate
from engine.quantize.formats import packed
from engine.quantize.methods import adalog
from engine.quantize.methods import base as methods
from engine.quantize.sites import Widths
from tests.commands import engine
from tests.engine.quantize.test_repq import tiny_model

KWARGS = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3, "num_classes": 10}
IMAGES = np.random.default_rng(0).normal(size=(24, 3, 32, 32)).astype(np.float32)
ABOUT = {
    "model": "vision_transformer",
    "model_kwargs": KWARGS,
    "bits": "W4A4",
    "method": "repq",
    "overrides": {},
    "calibration": "",
    "calibration_images": 24,
}


@pytest.fixture
def arrays(tmp_path: Path) -> Path:
    np.save(tmp_path / "x.npy", IMAGES)
    save_file(tiny_model().state_dict(), tmp_path / "w.safetensors")
    torch.save({"state_dict": tiny_model().state_dict()}, tmp_path / "w.pth")
    return tmp_path


def call(*arguments: str) -> CompletedProcess[str]:
    return engine("quantize", *arguments)


def test_quantize_save_load_and_run_give_the_same_bits(arrays: Path) -> None:
    own = ["--model", "vision_transformer", "--model-kwargs", json.dumps(KWARGS)]
    x, q = str(arrays / "x.npy"), str(arrays / "q.safetensors")
    first = call(
        *own, "--checkpoint", str(arrays / "w.safetensors"), "--bits", "W4A4", "--calibration", x,
        "--inputs", x, "--logits", str(arrays / "a.npy"), "--output", q, "--table",
    )  # fmt: skip
    assert first.returncode == 0, first.stderr
    assert "blocks.1.mlp.fc2.weight" in first.stdout and "Packed" in first.stdout
    second = call("--quantized", q, "--inputs", x, "--logits", str(arrays / "b.npy"))
    assert second.returncode == 0, second.stderr
    first_logits, second_logits = np.load(arrays / "a.npy"), np.load(arrays / "b.npy")
    assert first_logits.shape == (24, 10) and first_logits.dtype == np.float32
    np.testing.assert_array_equal(first_logits, second_logits)


@pytest.mark.parametrize("method", sorted(catalog.METHODS))
@pytest.mark.parametrize("bits", ["W4A4", "W3A7", "W32A4", "W5A32", "W8A8"])
def test_every_method_and_width_comes_back_bit_by_bit(
    tmp_path: Path, method: str, bits: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is found does not matter here, only that it comes back: a short search will do.
    monkeypatch.setattr(adalog, "REFINEMENTS", 1)
    monkeypatch.setattr(adalog, "ROUNDS", 1)
    x = torch.from_numpy(IMAGES)
    widths = Widths(Bits.parse(bits), {"head": 6})
    model = methods.quantize(method, tiny_model(qkv_bias=False), widths, x)
    packed.save(tmp_path / "q.safetensors", model, {**ABOUT, "method": method})
    about, tensors = packed.read(tmp_path / "q.safetensors")
    restored = packed.restore(tiny_model(qkv_bias=False), about, tensors)
    with torch.inference_mode():
        assert torch.equal(restored(x), model(x))


@pytest.mark.parametrize("method", ["repq", "ptq4vit", "qwt"])
def test_the_tables_bytes_are_the_files_bytes(tmp_path: Path, method: str) -> None:
    x = torch.from_numpy(IMAGES)
    model = methods.quantize(method, tiny_model(), Widths(Bits(4, 4)), x)
    packed.save(tmp_path / "q.safetensors", model, ABOUT)
    stored = load_file(tmp_path / "q.safetensors")
    table = tabulate("", model, x)
    assert sum(value.nbytes for value in stored.values()) == table.packed_bytes
    for row in table.rows:
        own = [v.nbytes for n, v in stored.items() if n.rpartition(".")[0] == row.tensor]
        assert sum(own) == row.bytes, row.tensor
    assert stored["blocks.0.attn.qkv.weight.codes"].nbytes == 144 * 48 // 2


@pytest.mark.parametrize("damage", ["cut", "flip", "newer", "foreign", "text"])
def test_what_is_damaged_or_newer_is_refused_with_the_reason(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "q.safetensors"
    x = torch.from_numpy(IMAGES)
    model = methods.quantize("minmax", tiny_model(), Widths(Bits(4, 4)), x)
    packed.save(path, model, ABOUT)
    data = bytearray(path.read_bytes())
    match damage:
        case "cut":
            path.write_bytes(data[:-100])
        case "flip":
            data[-1000] ^= 1
            path.write_bytes(data)
        case "newer":
            path.write_bytes(bytes(data).replace(b'\\"version\\":1', b'\\"version\\":2'))
        case "foreign":
            save_file({"a": torch.zeros(2)}, path)
        case _:
            path.write_text("no tensors")
    with pytest.raises(InputError) as caught:
        packed.read(path)
    assert str(path) in str(caught.value)


def test_a_file_of_another_model_is_refused(tmp_path: Path) -> None:
    x = torch.from_numpy(IMAGES)
    model = methods.quantize("repq", tiny_model(), Widths(Bits(4, 4)), x)
    packed.save(tmp_path / "q.safetensors", model, ABOUT)
    about, tensors = packed.read(tmp_path / "q.safetensors")
    for other in (
        {"depth": 3},
        {"embed_dim": 24},
        {"num_classes": 7},
        {"class_token": False, "global_pool": "avg"},
    ):
        with pytest.raises(InputError):
            packed.restore(tiny_model(**other), about, tensors)


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--bits", "W9A4"], ["bits", "W9A4"]),
        (["--method", "repk"], ["method", "repq"]),
        (["--override", "head"], ["override", "TENSOR=BITS"]),
        (["--override", "haed=8"], ["haed", "no tensor"]),
        (["--model", "vit_smal_patch16_224"], ["vit_small_patch16_224"]),
        (["--model-kwargs", "{"], ["model-kwargs", "JSON"]),
        (["--model-kwargs", '{"depht": 2}'], ["model-kwargs", "depht"]),
        (["--checkpoint", "nothing.safetensors"], ["checkpoint", "no such file"]),
        (["--calibration", "nothing.npy"], ["calibration", "no such file"]),
        (["--inputs", "x.npy"], ["inputs", "--logits"]),
        (["--model-kwargs", json.dumps({**KWARGS, "qk_norm": True})], ["normalised"]),
        (["--model", "resnet18", "--model-kwargs", "{}"], ["ResNet", "plain vision transformer"]),
        (["--model", "resnet18", "--model-kwargs", "{}", "--checkpoint", "w.pth"], ["ResNet", "plain"]),
        (["--model", "vit_small_patch16_18x2_224", "--model-kwargs", '{"depth": 1}'], ["ParallelThings"]),
        (["--ema"], ["ema", "--checkpoint"]),
        (["--ema", "--checkpoint", "{arrays}/w.pth"], ["EMA", "state_dict"]),
        (["--model", "vit-narrow", "--checkpoint", "{arrays}/w.pth"], ["vit-narrow", "own weights"]),
        (["--model", "hf-hub:a/b", "--checkpoint", "{arrays}/w.pth"], ["hf-hub:a/b", "own weights"]),
        (["--checkpoint", "{arrays}"], ["one file of weights"]),
    ],
)
def test_bad_input_is_named(arrays: Path, arguments: list[str], names: list[str]) -> None:
    from engine.errors import QoodError

    parser = argparse.ArgumentParser()
    quantize.arguments(parser)
    own = ["--model", "vision_transformer", "--model-kwargs", json.dumps(KWARGS)]
    named = [argument.replace("{arrays}", str(arrays)) for argument in arguments]
    given = parser.parse_args([*own, "--calibration", str(arrays / "x.npy"), *named])
    with pytest.raises(QoodError) as caught:
        quantize.run(given)
    assert all(name in str(caught.value) for name in names), str(caught.value)


@pytest.mark.parametrize(
    "array", [IMAGES.astype(np.float64), IMAGES[:, :1], IMAGES[0], IMAGES[:0], IMAGES * np.nan]
)
def test_arrays_of_another_kind_are_refused(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "bad.npy", array)
    with pytest.raises(InputError, match="inputs"):
        quantize.images(tmp_path / "bad.npy", "inputs")


def test_a_checkpoint_is_read_without_running_its_code(arrays: Path) -> None:
    import pickle

    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return (Path.touch, (arrays / "owned",))

    (arrays / "evil.pth").write_bytes(pickle.dumps(Hostile()))
    torch.save({"state_dict": tiny_model().state_dict(), "args": Hostile()}, arrays / "beside.pth")
    for name in ("evil.pth", "beside.pth"):
        with pytest.raises(InputError, match="checkpoint"):
            quantized_with(arrays, name)
    torch.testing.assert_close(quantized_with(arrays, "w.pth"), tiny_model()(torch.from_numpy(IMAGES)))
    assert not (arrays / "owned").exists()


def quantized_with(arrays: Path, checkpoint: str, *more: str) -> torch.Tensor:
    """Return the logits of a checkpoint of `tiny_model` in floating point, through the command."""
    parser = argparse.ArgumentParser()
    quantize.arguments(parser)
    x, out = str(arrays / "x.npy"), arrays / "out.npy"
    own = ["--model", "vision_transformer", "--model-kwargs", json.dumps(KWARGS)]
    paths = [
        "--checkpoint",
        str(arrays / checkpoint),
        "--calibration",
        x,
        "--inputs",
        x,
        "--logits",
        str(out),
    ]
    quantize.run(parser.parse_args([*own, *paths, "--bits", "W32A32", "--method", "minmax", *more]))
    return torch.from_numpy(np.load(out))


def test_what_was_taken_of_a_checkpoint_is_said(arrays: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = {f"module.{name}": value for name, value in tiny_model().state_dict().items()}
    average = tiny_model(qkv_bias=True)
    torch.nn.init.normal_(average.head.weight)
    torch.save({"state_dict": plain, "state_dict_ema": average.state_dict()}, arrays / "both.pth")
    x = torch.from_numpy(IMAGES)
    torch.testing.assert_close(quantized_with(arrays, "both.pth"), tiny_model()(x))
    said = capsys.readouterr().err
    assert "plain weights from entry 'state_dict'" in said and "not used: state_dict_ema" in said
    assert "prefixes stripped: module." in said
    torch.testing.assert_close(quantized_with(arrays, "both.pth", "--ema"), average(x))
    assert "EMA weights from entry 'state_dict_ema'" in capsys.readouterr().err


def test_a_quantized_model_with_inferred_pooling_comes_back(arrays: Path) -> None:
    torch.save({"model": tiny_model(global_pool="avg").state_dict()}, arrays / "mae.pth")
    q, x = arrays / "q.safetensors", str(arrays / "x.npy")
    first = quantized_with(arrays, "mae.pth", "--output", str(q))
    torch.testing.assert_close(first, tiny_model(global_pool="avg")(torch.from_numpy(IMAGES)))
    parser = argparse.ArgumentParser()
    quantize.arguments(parser)
    again = ["--quantized", str(q), "--inputs", x, "--logits", str(arrays / "b.npy")]
    quantize.run(parser.parse_args(again))
    assert np.array_equal(np.load(arrays / "b.npy"), first.numpy())


def test_one_calibration_image_is_enough() -> None:
    x = torch.from_numpy(IMAGES[:1])
    for name in ("minmax", "percentile", "omse", "repq"):
        model = methods.quantize(name, tiny_model(), Widths(Bits(4, 4)), x)
        assert torch.isfinite(model(x)).all()


def test_every_method_is_listed_with_what_its_published_numbers_have(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert quantize.run(parsed("--list")) == 0
    listed = capsys.readouterr().out
    for name, method in catalog.METHODS.items():
        assert f"{name}: {method.label}." in listed
        assert method.published in listed and all(one in listed for one in method.departures)
    # What official code has for the image: RepQ-ViT and AdaLog 8 bits, PTQ4ViT and ERQ floating point.
    published = {name: method.published for name, method in catalog.METHODS.items()}
    assert all("the image at 8 bits" in published[name] for name in ("repq", "adalog"))
    assert all("the image in floating point" in published[name] for name in ("ptq4vit", "erq"))
    assert "first_and_last = 8" in published["qwt"]


def test_bits_of_the_first_and_last_layer_are_given_by_one_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / "images.npy"
    np.save(images, np.random.default_rng(0).normal(size=(4, 3, 32, 32)).astype(np.float32))
    asked = ("--model", "vit-narrow", "--calibration", str(images), "--table", "--first-and-last")
    assert quantize.run(parsed(*asked, "8")) == 0
    rows = [line.split("|") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    bits = {row[1].strip(): row[3].strip() for row in rows}
    ends = ("patch_embed.proj.input", "patch_embed.proj.weight", "head.input", "head.weight")
    assert {bits[name] for name in ends} == {"8"} and bits["blocks.0.attn.qkv.weight"] == "4"
    with pytest.raises(InputError, match="first-and-last"):
        quantize.run(parsed(*asked, "9"))


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    quantize.arguments(parser)
    return parser.parse_args(words)
