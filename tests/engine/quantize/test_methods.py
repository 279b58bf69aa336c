"""Methods by name: their parameters, and those that other packages offer."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pytest
import torch

from engine import catalog
from engine.catalog import methods as entries
from engine.commands import quantize as command_line
from engine.errors import InputError, QuantizeError
from engine.plan.bits import Bits
from engine.plan.plan import Plan
from engine.plan.resources import Resources
from engine.plan.validation import validated
from engine.protocol.events import BitsTabled, WorkerStarted
from engine.quantize.formats import packed
from engine.quantize.grids import search
from engine.quantize.grids.base import Quantizer
from engine.quantize.methods.base import QuantizationMethod, defaults, load_method, parse_method, quantize
from engine.quantize.methods.round_to_nearest import calibrated
from engine.quantize.sites import Widths
from engine.session import store
from engine.session.session import Session
from tests.engine.quantize.test_repq import tiny_model
from tests.sweeping import run_until

IMAGES = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
WIDTHS = Widths(Bits(4, 4))


@pytest.mark.parametrize("name", catalog.METHODS)
def test_every_method_of_the_catalog_is_a_value_with_the_parameters_of_its_entry(name: str) -> None:
    method = load_method(name)
    assert isinstance(method, QuantizationMethod)
    assert defaults(name).items() >= catalog.METHODS[name].parameters.items()
    with pytest.raises(InputError, match=rf"parameter of {name}: 'shar' cannot be used"):
        load_method(name, {"shar": 0.5})


def test_parameters_are_read_from_words_and_change_what_is_computed() -> None:
    assert parse_method("percentile:share=0.9") == ("percentile", {"share": 0.9})
    assert parse_method("repq:rounded_zero_point=true") == ("repq", {"rounded_zero_point": True})
    assert parse_method("repq") == ("repq", {})
    with pytest.raises(InputError, match="method: 'repk' cannot be used; did you mean repq"):
        parse_method("repk")
    ours = quantize("percentile", tiny_model(), WIDTHS, IMAGES, {"share": 0.9})
    right = calibrated(tiny_model(), WIDTHS, IMAGES, search.percentile(0.9))
    plain = quantize("percentile", tiny_model(), WIDTHS, IMAGES)
    with torch.inference_mode():
        assert torch.equal(ours(IMAGES), right(IMAGES)) and not torch.equal(ours(IMAGES), plain(IMAGES))


@pytest.mark.parametrize(
    ("name", "parameters", "right"),
    [
        ("percentile", {"share": "much"}, "percentile: share: 'much' cannot be used; expected `float`"),
        ("percentile", {"share": 2}, "percentile: share: 2 cannot be used"),
        ("percentile", {"share": float("nan")}, "percentile: share: nan cannot be used"),
        ("repq", {"search_again": 1}, "repq: search_again: 1 cannot be used; expected `bool`"),
        ("minmax", {"share": 0.5}, "none, it has no parameters"),
    ],
)
def test_wrong_parameters_are_named(name: str, parameters: dict[str, object], right: str) -> None:
    with pytest.raises(InputError) as caught:
        load_method(name, parameters)
    assert right in str(caught.value)


def test_a_plan_with_parameters_of_its_method_has_another_identity_and_one_without_the_former() -> None:
    plain = Plan(models=("vit-wide",), method="percentile")
    given = msgspec.structs.replace(plain, method_parameters={"share": 0.9})
    assert b"method_parameters" not in msgspec.json.encode(plain) and given.identity() != plain.identity()
    none = validated(msgspec.structs.replace(plain, method_parameters={}))
    assert none.identity() == plain.identity() and validated(given) == given
    with pytest.raises(InputError, match="share = nan"):
        validated(msgspec.structs.replace(plain, method_parameters={"share": float("nan")}))


THEIRS = """
from typing import Annotated

import torch
from msgspec import Meta

from engine.quantize.grids.base import Quantizer
from engine.quantize.layers import freeze, quantized_copy
from engine.quantize.methods.base import QuantizationMethod
from engine.quantize.sites import Role


class Signs(Quantizer):
    label = "signs"

    def codes(self, x):
        if self.scale is None:
            self.scale = x.abs().mean().reshape(1)
        return (x >= 0).int()

    def dequantize(self, codes):
        return (codes * 2 - 1) * self.scale

    def clipped(self, x):
        return x.abs() > self.scale

    def range(self):
        return -float(self.scale), float(self.scale)


class Shift:
    attribute = "shift"

    @staticmethod
    def attach(module, tensors):
        module.shift = torch.nn.ParameterDict({"value": torch.nn.Parameter(tensors["value"], False)})
        module.register_forward_hook(lambda _module, _inputs, out: out + module.shift["value"])


class Binary(QuantizationMethod, frozen=True):
    shift: Annotated[float, Meta(ge=0)] = 0.0
    extras = (Shift,)

    @torch.inference_mode()
    def quantize(self, model, widths, images):
        def choose(site):
            return Signs(site.bits) if site.role is Role.WEIGHT else torch.nn.Identity()

        quantized = freeze(quantized_copy(model, widths, choose))
        quantized(images)
        if self.shift:
            Shift.attach(quantized.head, {"value": torch.full((len(quantized.head.weight),), self.shift)})
        return quantized


class Itself(QuantizationMethod, frozen=True):
    def quantize(self, model, widths, images):
        return model


class Nothing(Itself, frozen=True):
    def quantize(self, model, widths, images):
        return None


class Uncalibrated(Itself, frozen=True):
    def quantize(self, model, widths, images):
        return quantized_copy(model, widths, lambda site: Signs(site.bits))


class Failing(Itself, frozen=True):
    def quantize(self, model, widths, images):
        return 1 / 0


def function(model, widths, images):
    return model
"""
NAMES = ("Binary", "Itself", "Nothing", "Uncalibrated", "Failing", "function", "absent")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with another package's methods, as pip would install it."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "qood_theirs.py").write_text(THEIRS)
    about = folder / "qood_theirs-1.5.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: qood-theirs\nVersion: 1.5\n")
    points = [f"{name.lower()} = qood_theirs:{name}" for name in NAMES]
    points += ["broken = qood_missing:Method", "repq = qood_theirs:Binary"]
    (about / "entry_points.txt").write_text("\n".join(["[qood_tui.methods]", *points, ""]))
    return folder


@pytest.fixture
def theirs(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the catalog look again, with the package on the path."""
    monkeypatch.syspath_prepend(package)
    offered = {one.name: one for one in entries._third_party()}
    for module in (catalog, entries):
        monkeypatch.setattr(module, "METHODS", {**catalog.METHODS, **offered})


@pytest.mark.usefixtures("theirs")
def test_a_method_of_another_package_is_in_the_catalog_and_none_of_ours_is_replaced() -> None:
    entry = catalog.METHODS["binary"]
    assert entry.package == {"qood-theirs": "1.5"}
    assert catalog.described("binary") == ("binary: from the package qood-theirs 1.5.",)
    assert catalog.METHODS["repq"].package == {}


@pytest.mark.usefixtures("theirs")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("broken", "broken: it cannot be loaded (ModuleNotFoundError: No module named 'qood_missing')"),
        ("absent", "absent: it cannot be loaded (AttributeError"),
        ("function", "function: a subclass of QuantizationMethod is needed"),
        ("itself", "itself: it returned the model itself"),
        ("nothing", "nothing: it returned a NoneType"),
        ("uncalibrated", "uncalibrated: it left patch_embed.proj.input without a scale"),
        ("failing", "failing: it failed (ZeroDivisionError: division by zero)"),
    ],
)
def test_what_is_wrong_with_anothers_method_is_said_with_its_name(name: str, words: str) -> None:
    with pytest.raises(QuantizeError) as caught:
        quantize(name, tiny_model(), WIDTHS, IMAGES)
    assert words in str(caught.value)


@pytest.mark.usefixtures("theirs")
def test_a_file_of_anothers_method_brings_back_its_grid_and_its_extras(tmp_path: Path) -> None:
    about = {"model": "", "model_kwargs": {}, "bits": "W4A4", "method": "binary", "overrides": {}}
    about |= {"calibration": "", "calibration_images": 8}
    path = tmp_path / "q.safetensors"
    model = quantize("binary", tiny_model(), WIDTHS, IMAGES, {"shift": 0.5})
    packed.save(path, model, about)
    restored = packed.restore(tiny_model(), *packed.read(path))
    with torch.inference_mode():
        assert torch.equal(restored(IMAGES), model(IMAGES))
    unknown = msgspec.structs.replace(packed.read(path)[0], method="elsewhere")
    with pytest.raises(InputError, match="shift"):
        packed.restore(tiny_model(), unknown, packed.read(path)[1])


def test_the_command_finds_anothers_method_in_a_process_of_its_own(package: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", IMAGES.numpy())
    environment = {**os.environ, "PYTHONPATH": f"{package}:{os.environ.get('PYTHONPATH', '')}"}
    x, q = (str(tmp_path / name) for name in ("x.npy", "q.safetensors"))
    command = [sys.executable, "-m", "engine", "quantize", "--model", "vit-narrow", "--calibration", x]
    command += ["--output", q, "--method", "binary:shift=0.5", "--table"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and "| signs" in done.stdout, done.stderr
    about, _ = packed.read(Path(q))
    assert about.method == "binary" and about.method_parameters == {"shift": 0.5}


def command(*words: str) -> int:
    parser = argparse.ArgumentParser()
    command_line.arguments(parser)
    return command_line.run(parser.parse_args(words))


@pytest.mark.usefixtures("theirs")
def test_the_command_lists_anothers_methods_with_their_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("--list") == 0
    listed = capsys.readouterr().out
    assert "binary: from the package qood-theirs 1.5.\n  Parameters: shift = 0.0." in listed
    assert "broken: it cannot be loaded" in listed


@pytest.mark.usefixtures("theirs")
def test_a_file_of_anothers_method_needs_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "x.npy", IMAGES.numpy())
    x, q, a, b = (str(tmp_path / name) for name in ("x.npy", "q.safetensors", "a.npy", "b.npy"))
    own = ("--model", "vit-narrow", "--calibration", x, "--inputs", x, "--logits", a, "--output", q)
    command(*own, "--method", "binary:shift=0.5")
    command("--quantized", q, "--inputs", x, "--logits", b)
    np.testing.assert_array_equal(np.load(a), np.load(b))
    monkeypatch.delitem(catalog.METHODS, "binary")  # type: ignore[arg-type]  # a dict of the fixture
    monkeypatch.delitem(Quantizer.kinds, "signs")
    with pytest.raises(InputError, match=r"'signs' cannot be used; .* install the method 'binary'"):
        command("--quantized", q, "--inputs", x, "--logits", b)


class Swept(NamedTuple):
    outcome: str
    session: Path


def swept(folder: Path, **changes: object) -> Swept:
    plan = Plan(
        models=("vit-narrow",),
        bits=("FP32", "W4A8"),
        ood_sets=("noise",),
        scores=("msp",),
        id_images=20,
        ood_images=20,
        calibration_images=8,
        **changes,  # type: ignore[arg-type]
    )
    session = store.create(validated(plan), (), folder)
    return Swept(run_until(session, Resources()), session)


@pytest.mark.usefixtures("theirs")
def test_a_sweep_runs_anothers_method_and_records_its_version(tmp_path: Path) -> None:
    outcome, session = swept(tmp_path, method="binary", method_parameters={"shift": 0.5})
    assert outcome == "finished"
    events = [entry.event for entry in Session.at(session).entries]
    (worker,) = (event for event in events if isinstance(event, WorkerStarted))
    assert worker.versions["qood-theirs"] == "1.5"
    (table,) = (event for event in events if isinstance(event, BitsTabled))
    assert {row.quantizer for row in table.rows} == {"signs"} and "head.shift.value" in table.floats
    about, _ = packed.read(session / "quantized" / "vit-narrow_W4A8.safetensors")
    assert about.method == "binary" and about.method_parameters == {"shift": 0.5}


@pytest.mark.usefixtures("theirs")
@pytest.mark.parametrize(
    ("method", "parameters", "words"),
    [
        ("binary", {"shift": -1.0}, "method_parameters: 'binary: shift = -1.0' cannot be used"),
        ("binary", {"shfit": 1.0}, "did you mean shift"),
        ("broken", {}, "method: 'broken' cannot be used; broken: it cannot be loaded"),
    ],
)
def test_a_sweep_is_refused_before_it_begins(
    method: str, parameters: dict[str, object], words: str, tmp_path: Path
) -> None:
    assert words in swept(tmp_path, method=method, method_parameters=parameters).outcome


@pytest.mark.usefixtures("theirs")
def test_a_variant_that_anothers_method_fails_at_is_left_out_with_the_reason(tmp_path: Path) -> None:
    outcome, session = swept(tmp_path, method="failing")
    assert outcome == "finished"
    assert "failing: it failed (ZeroDivisionError" in (session / "journal.jsonl").read_text()
