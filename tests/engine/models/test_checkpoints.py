"""One small vision transformer in every form in which programs leave it, read by the one loader.

The right logits are those of timm's own model that the file was written from.
"""

from __future__ import annotations

import argparse
import collections
import datetime
import json
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from engine.errors import InputError
from engine.models.checkpoints import load_checkpoint
from engine.models.loaded import LoadedModel

ARCHITECTURE = "vit_tiny_patch16_224"
SHAPE: dict[str, Any] = {"img_size": 32, "depth": 2}  # the classes follow from the weights
IMAGES = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
State = dict[str, Tensor]


def model(seed: int = 0, architecture: str = ARCHITECTURE, **arguments: Any) -> Any:
    torch.manual_seed(seed)
    made = timm.create_model(architecture, **{"num_classes": 5, **SHAPE, **arguments}).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return made


def logits(of: nn.Module) -> Tensor:
    with torch.no_grad():
        found: Tensor = of(IMAGES)
    return found


def read(path: Path, architecture: str = ARCHITECTURE, *, ema: bool = False, **arguments: Any) -> LoadedModel:
    given = {} if path.is_dir() else {**SHAPE, **arguments}
    model = "" if path.is_dir() else architecture
    return load_checkpoint("mine", str(path), lambda _: None, model=model, ema=ema, arguments=given)


def behind(prefix: str, state: State) -> State:
    return {prefix + name: value for name, value in state.items()}


class Config(dict[str, object]):
    """A dictionary of somebody's program, which is not installed where the file is read."""


class Note:
    """An object of somebody's program."""

    def __init__(self) -> None:
        self.text = "x"


def wrapped_within(state: State) -> State:
    """Name tensors as FSDP and checkpointing of activations do, in the middle of a name too."""
    inner = {n.replace("blocks.0.", "blocks.0._checkpoint_wrapped_module."): v for n, v in state.items()}
    return behind("_fsdp_wrapped_module.", inner)


OPTIONS = argparse.Namespace(lr=0.1, path=Path("/data"), when=datetime.timedelta(1), kind=np.dtype("f4"))
FORMS: dict[str, Callable[[State], Any]] = {
    "plain": lambda s: s,
    "train.py of timm": lambda s: {"epoch": 3, "arch": ARCHITECTURE, "state_dict": s, "args": OPTIONS},
    "DeiT": lambda s: {"model": s, "optimizer": optimizer(), "epoch": 3, "scaler": {}, "args": OPTIONS},
    "DDP": lambda s: behind("module.", s),
    "torch.compile": lambda s: behind("_orig_mod.", s),
    "DDP, compiled": lambda s: {"state_dict": behind("module._orig_mod.", s)},
    "compiled, DDP": lambda s: {"model_state_dict": behind("_orig_mod.module.", s)},
    "Lightning": lambda s: {"state_dict": behind("model.", s), "hyper_parameters": {"lr": 1e-3}, "epoch": 1},
    "Lightning, compiled": lambda s: {"state_dict": behind("net._orig_mod.", s), "loops": {"x": {"y": 1}}},
    "Lightning with a loss": lambda s: {"state_dict": {**behind("model.", s), "loss.weight": torch.ones(5)}},
    "FSDP": wrapped_within,
    "DeepSpeed": lambda s: {"module": s, "optimizer": None, "param_shapes": [], "ds_version": "0.16"},
    "numpy's numbers": lambda s: {"state_dict": s, "best": np.float64(77.1), "x": np.ones(2)},
    "a namespace": lambda s: {"state_dict": s, "args": types.SimpleNamespace(a=1)},
    "dictionaries": lambda s: {"state_dict": s, "log": collections.defaultdict(list, a=[1])},
    "somebody's classes": lambda s: {"state_dict": s, "cfg": Config(a=Config(b=1)), "note": Note()},
    "a pair of the same": lambda s: {"model": s, "state_dict": dict(s)},
}  # fmt: skip


def optimizer() -> dict[str, Any]:
    """Return an optimizer's state, in which there are tensors by name too."""
    layer = nn.Linear(4, 4)
    steps = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(1, 4)).sum().backward()
    steps.step()
    return steps.state_dict()


@pytest.mark.parametrize("form", FORMS)
def test_weights_are_found_in_every_form_that_programs_leave(tmp_path: Path, form: str) -> None:
    made = model()
    torch.save(FORMS[form](made.state_dict()), tmp_path / "own.pth")
    found = read(tmp_path / "own.pth")
    assert torch.equal(logits(found.model), logits(made)) and found.classes == 5
    assert found.weights is not None and not found.weights.is_ema


def test_what_was_taken_and_what_else_there_was_is_said(tmp_path: Path) -> None:
    state = behind("module._orig_mod.", model().state_dict())
    torch.save(
        {"model": state, "model_ema": state, "optimizer": optimizer(), "epoch": 1}, tmp_path / "own.pth"
    )
    said = str(read(tmp_path / "own.pth").weights)
    assert said == (
        "plain weights from entry 'model'; not used: model_ema, optimizer, epoch; "
        "prefixes stripped: module._orig_mod."
    )


AVERAGES: dict[str, Callable[[State, State], Any]] = {
    "DeiT": lambda s, e: {"model": s, "model_ema": e},
    "timm": lambda s, e: {"state_dict_ema": e, "state_dict": s},
    "behind prefixes": lambda s, e: {"state_dict": {**behind("ema.module.", e), **behind("model.", s)}},
    "beside the model": lambda s, e: {"state_dict": {**s, **behind("model_ema.module.", e)}},
    "nested": lambda s, e: {"model": {"model": s, "ema": {"module": e}}},
    "DINO": lambda s, e: {"teacher": behind("module.backbone.", e), "student": behind("module.", s)},
    "Lightning's callback": lambda s, e: {
        "state_dict": behind("model.", e),
        "current_model_state": behind("model.", s),
        "averaging_state": {"n_averaged": torch.tensor(3)},
    },
}


@pytest.mark.parametrize("form", AVERAGES)
def test_averages_are_taken_only_when_asked_for(tmp_path: Path, form: str) -> None:
    plain, average = model(0), model(1)
    torch.save(AVERAGES[form](plain.state_dict(), average.state_dict()), tmp_path / "own.pth")
    assert torch.equal(logits(read(tmp_path / "own.pth").model), logits(plain))
    found = read(tmp_path / "own.pth", ema=True)
    assert torch.equal(logits(found.model), logits(average)) and "EMA" in str(found.weights)


@pytest.mark.parametrize(
    ("held", "ema", "words"),
    [
        (lambda s: {"model_ema": s}, False, "--ema"),
        (lambda s: {**behind("module.", s), "n_averaged": torch.tensor(3)}, False, "--ema"),
        (lambda s: {"model": s}, True, "no EMA"),
        (lambda s: {"model": s, "net": {n: v + 1 for n, v in s.items()}}, False, "several"),
    ],
)
def test_what_is_not_certainly_meant_is_refused(
    tmp_path: Path, held: Callable[[State], Any], ema: bool, words: str
) -> None:
    torch.save(held(model().state_dict()), tmp_path / "own.pth")
    with pytest.raises(InputError, match=words):
        read(tmp_path / "own.pth", ema=ema)


def test_a_pickled_model_is_read_without_running_its_code(tmp_path: Path) -> None:
    made = model()
    torch.save(nn.DataParallel(made), tmp_path / "whole.pth")
    found = read(tmp_path / "whole.pth")
    assert torch.equal(logits(found.model), logits(made)) and "pickled" in str(found.weights)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_come_as_float32(tmp_path: Path, kind: torch.dtype) -> None:
    state = {name: value.to(kind) for name, value in model().state_dict().items()}
    torch.save(state, tmp_path / "own.pth")
    made = model()
    made.load_state_dict(state)
    assert torch.equal(logits(read(tmp_path / "own.pth").model), logits(made))


def test_layer_scale_of_deit3_is_renamed(tmp_path: Path) -> None:
    made = model(architecture="deit3_small_patch16_224")
    state = {n.replace("ls1.gamma", "gamma_1").replace("ls2.gamma", "gamma_2"): v for n, v in
             made.state_dict().items()}  # fmt: skip
    torch.save({"model": state}, tmp_path / "own.pth")
    for architecture in ("deit3_small_patch16_224", "deit_small_patch16_224"):
        found = read(tmp_path / "own.pth", architecture, no_embed_class=True)
        assert torch.equal(logits(found.model), logits(made)) and "gamma_1" in str(found.weights)


def test_pooling_is_inferred_from_the_norm_behind_it(tmp_path: Path) -> None:
    made = model(global_pool="avg")
    torch.save({"model": made.state_dict()}, tmp_path / "mae.pth")
    found = read(tmp_path / "mae.pth")
    assert torch.equal(logits(found.model), logits(made)) and "global_pool" in str(found.weights)
    assert found.arguments["global_pool"] == "avg"


def shards(folder: Path, state: State) -> Path:
    names = list(state)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, own in parts.items():
        save_file({name: state[name] for name in own}, folder / file)
    index = {"weight_map": {name: file for file, own in parts.items() for name in own}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder / "model.safetensors.index.json"


def test_shards_are_joined_and_a_missing_one_is_named(tmp_path: Path) -> None:
    made = model()
    index = shards(tmp_path, made.state_dict())
    assert torch.equal(logits(read(index).model), logits(made))
    (tmp_path / "b.safetensors").unlink()
    with pytest.raises(InputError, match=r"b\.safetensors"):
        read(index)


def test_a_file_of_another_name_is_read_by_its_content(tmp_path: Path) -> None:
    made = model()
    save_file(made.state_dict(), tmp_path / "weights.bin")
    assert torch.equal(logits(read(tmp_path / "weights.bin").model), logits(made))


def test_the_old_form_of_torch_save_is_read(tmp_path: Path) -> None:
    made = model()
    held = {"state_dict": made.state_dict(), "args": argparse.Namespace(a=1)}
    torch.save(held, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert torch.equal(logits(read(tmp_path / "old.pth").model), logits(made))


def test_torchvisions_own_model_gives_its_own_logits(tmp_path: Path) -> None:
    from torchvision.models.vision_transformer import VisionTransformer

    torch.manual_seed(0)
    theirs = VisionTransformer(32, 16, 2, 3, 192, 768, num_classes=5).eval()
    nn.init.normal_(theirs.heads.head.weight)
    torch.save(behind("module.", theirs.state_dict()), tmp_path / "own.pth")
    found = read(tmp_path / "own.pth")
    torch.testing.assert_close(logits(found.model), logits(theirs), rtol=1e-5, atol=1e-5)
    assert "torchvision" in str(found.weights) and "mean" in found.warnings[0]


@pytest.mark.parametrize("field", ["class_to_idx", "idx_to_class", "classes"])
def test_names_of_the_classes_are_read_in_the_order_of_the_outputs(tmp_path: Path, field: str) -> None:
    names = ("Zebra", "ant", "10", "9", "cat")
    held: dict[str, Any] = {
        "class_to_idx": {name: at for at, name in sorted(enumerate(names), key=lambda one: one[1])},
        "idx_to_class": dict(reversed(list(enumerate(names)))),
        "classes": list(names),
    }
    state = model().state_dict()
    torch.save({"state_dict": state, field: held[field]}, tmp_path / "own.pth")
    assert read(tmp_path / "own.pth").class_names == names
    torch.save({"state_dict": state, "hyper_parameters": {field: held[field]}}, tmp_path / "own.pth")
    assert read(tmp_path / "own.pth").class_names == names
    torch.save({"state_dict": state, "classes": ["a", "b"]}, tmp_path / "own.pth")
    assert read(tmp_path / "own.pth").class_names == ()


def test_a_file_that_says_that_it_is_of_another_model_is_doubted(tmp_path: Path) -> None:
    torch.save({"arch": "deit_tiny_patch16_224", "state_dict": model().state_dict()}, tmp_path / "own.pth")
    assert "deit_tiny_patch16_224" in read(tmp_path / "own.pth").warnings[0]
