"""Quantized variants on the disk: loaded only under the key of everything that they depend on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from engine import catalog
from engine.errors import EngineError
from engine.images import decode
from engine.models import zoo
from engine.plan.bits import Bits
from engine.plan.plan import Plan
from engine.plan.variants import Variant
from engine.quantize.methods.round_to_nearest import MinMax
from engine.quantize.sites import Widths
from engine.sweep import saved_variants
from engine.sweep.saved_variants import SavedVariants, key_of

PLAN = Plan(models=("vit-narrow",), method="minmax")
VARIANT = Variant("vit-narrow", Bits(4, 8), "minmax")


@dataclass
class OnAnotherDevice:
    """What a key asks of a model whose weights lie elsewhere."""

    device: torch.device

    def parameters(self) -> Any:
        return iter([self])


def test_every_part_of_the_key_of_a_quantized_variant_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = zoo.load_model("vit-narrow")

    def key(
        variant: Variant = VARIANT,
        weights: str = "w",
        calibration: str = "c",
        plan: Plan = PLAN,
        **changes: Any,
    ) -> str:
        return key_of(variant, loaded._replace(**changes), weights, calibration, plan)

    before = key()
    assert key() == before
    others = {
        "weights": key(weights="v"),
        "calibration images": key(calibration="d"),
        "bits": key(msgspec.structs.replace(VARIANT, bits=Bits(8, 4))),
        "method": key(msgspec.structs.replace(VARIANT, method="repq")),
        "overrides": key(plan=msgspec.structs.replace(PLAN, overrides={"head": 8})),
        "its parameters": key(plan=msgspec.structs.replace(PLAN, method_parameters={"share": 0.9})),
        "first and last layer": key(plan=msgspec.structs.replace(PLAN, first_and_last=8)),
        "tf32": key(plan=msgspec.structs.replace(PLAN, tf32=True)),
        "architecture": key(build="another"),
        "its arguments": key(arguments={"depth": 3}),
        "geometry": key(geometry=loaded.geometry._replace(crop=0.5)),
        "mean": key(mean=(0.0, 0.0, 0.0)),
        "std": key(std=(1.0, 1.0, 1.0)),
        "device": key(model=OnAnotherDevice(torch.device("cuda"))),
    }
    for name in ("qood-tui", "torch", "timm", "numpy"):
        with monkeypatch.context() as patch:
            patch.setattr(saved_variants, "version", lambda one, name=name: "99" if one == name else before)
            with_one = key()
            patch.setattr(saved_variants, "version", lambda one: before)
            assert with_one != key(), name
    with monkeypatch.context() as patch:
        patch.setattr(saved_variants, "made_by", lambda: {**decode.made_by(), "pillow": "99"})
        others["decoder"] = key()
    with monkeypatch.context() as patch:
        patch.setattr(saved_variants, "_source", lambda: "another")
        others["code that quantizes"] = key()
    assert before not in others.values()
    assert len(set(others.values())) == len(others)


def test_a_method_with_other_parameters_in_the_catalog_is_another_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded = zoo.load_model("vit-narrow")
    before = key_of(VARIANT, loaded, "w", "c", PLAN)
    other = msgspec.structs.replace(catalog.METHODS["minmax"], parameters={"share": 0.5})
    monkeypatch.setattr(catalog, "METHODS", {**catalog.METHODS, "minmax": other})
    assert key_of(VARIANT, loaded, "w", "c", PLAN) != before


def test_a_method_of_another_package_counts_with_its_version_and_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = zoo.load_model("vit-narrow")
    module = tmp_path / "qood_method_of_another.py"
    monkeypatch.syspath_prepend(tmp_path)

    def key(version: str, source: str) -> str:
        module.write_text(source)
        entry = catalog.Method("minmax", "", f"{module.stem}:Method", package={"another": version})
        monkeypatch.setattr(catalog, "METHODS", {**catalog.METHODS, "minmax": entry})
        return key_of(VARIANT, loaded, "w", "c", PLAN)

    before = key("1", "Method = 1")
    assert key("1", "Method = 1") == before
    assert len({before, key("2", "Method = 1"), key("1", "Method = 2")}) == 3


def test_a_variant_is_loaded_only_under_its_key_and_never_replaced_by_another(tmp_path: Path) -> None:
    loaded = zoo.load_model("vit-narrow")
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    about: dict[str, object] = {"overrides": {}, "calibration": "c", "calibration_images": 4}
    kept = SavedVariants(tmp_path)
    digest = kept.save(
        VARIANT, MinMax().quantize(loaded.model, Widths(VARIANT.bits, {}), images), loaded, "key", about
    )
    assert kept.load(VARIANT, loaded, "key", digest) is not None
    assert kept.load(VARIANT, loaded, "another key", digest) is None
    assert kept.load(VARIANT, loaded, "key", "another digest") is None
    other = MinMax().quantize(loaded.model, Widths(VARIANT.bits, {}), images * 2)
    with pytest.raises(EngineError, match="vit-narrow W4A8"):
        kept.save(VARIANT, other, loaded, "key", about, required=digest)
    assert kept.load(VARIANT, loaded, "key", digest) is not None
    assert [path.name for path in kept.folder.iterdir()] == ["vit-narrow_W4A8.safetensors"]
