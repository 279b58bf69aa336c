from __future__ import annotations

import hashlib
import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from PIL import Image

from engine.errors import InputError
from engine.plan.bits import Bits
from engine.plan.plan import Plan, from_mapping, is_identity, preset, to_mapping
from engine.plan.resources import Resources
from engine.plan.toml import read_toml, to_toml
from engine.plan.validation import validated
from engine.service.request import settle
from tests.strategies import widths


def test_demo_preset_is_the_whole_grid() -> None:
    plan = preset("demo")
    variants = plan.variants()
    assert len(variants) == 30
    assert [v.method for v in variants[:2]] == ["none", "repq"]
    assert {v.key for v in variants} >= {"vit-wide W4A4", "deit3-narrow FP32"}


def test_fp32_comes_first_whatever_the_order_given() -> None:
    variants = Plan(models=("vit-wide",), bits=("W4A4", "FP32", "W4A4")).variants()
    assert [str(v.bits) for v in variants] == ["FP32", "W4A4"]


def test_a_convention_that_nobody_gave_leaves_plans_and_their_identities_as_they_were() -> None:
    given_none = preset("demo")
    assert b"first_and_last" not in msgspec.json.encode(given_none)
    for shipped in (Path(__file__).parents[3] / "sessions").glob("*/journal.jsonl"):
        header = json.loads(shipped.read_text("utf-8").split("\n", 1)[0])
        assert from_mapping(header["plan"]).identity() == header["identity"]


def test_the_first_and_last_layer_may_have_bits_of_their_own(tmp_path: Path) -> None:
    plan = validated(from_mapping({"models": ["vit-wide"], "first_and_last": 8}))
    assert plan.first_and_last == 8
    assert json.loads(msgspec.json.encode(plan))["first_and_last"] == 8
    assert plan.identity() != from_mapping({"models": ["vit-wide"]}).identity()
    file = tmp_path / "plan.toml"
    file.write_text(to_toml(plan, Resources()), "utf-8")
    assert "first_and_last = 8" in file.read_text("utf-8")
    assert read_toml(file)[0].first_and_last == 8
    for wrong in (0, 1, 9, 16):
        with pytest.raises(InputError, match=r"first_and_last.*2 to 8"):
            validated(from_mapping({"models": ["vit-wide"], "first_and_last": wrong}))
    with pytest.raises(InputError, match="first_and_last"):
        from_mapping({"models": ["vit-wide"], "first_and_last": "eight"})


@given(widths, widths)
def test_bits_read_what_they_write(weight: int, activation: int) -> None:
    bits = Bits(weight, activation)
    assert Bits.parse(str(bits)) == bits


@pytest.mark.parametrize("text", ["W9A8", "W1A4", "4", "", "W4", "FP16", "W4A4 ", "W16A16"])
def test_wrong_bits_are_refused_by_name(text: str) -> None:
    with pytest.raises(InputError, match="bits"):
        Bits.parse(text)


@pytest.mark.parametrize(
    ("field", "given_value", "right"),
    [
        ("models", ("vit-wid",), "vit-wide"),
        ("method", "repk", "repq"),
        ("ood_sets", ("digit",), "digits"),
        ("scores", ("mps",), "msp"),
        ("headline", "knn", "msp"),
        ("id_set", "fractal", "fractals"),
        ("id_images", 3, "20 or more"),
        ("seed", -1, "whole number"),
        ("calibration_images", 5000, "500"),
        ("models", (), "at least one"),
        ("models", ("vit-wide", "vit-wide"), "only once"),
    ],
)
def test_wrong_fields_are_named_with_what_would_be_right(field: str, given_value: object, right: str) -> None:
    plan = msgspec.structs.replace(preset("demo"), **{field: given_value})
    with pytest.raises(InputError) as caught:
        validated(plan)
    assert caught.value.field == field
    assert right in str(caught.value)


def test_identity_follows_everything_that_moves_a_number() -> None:
    plan = preset("demo")
    for change in ({"seed": 1}, {"chunk_images": 64}, {"headline": "energy"}, {"bits": ("FP32", "W4A4")}):
        assert msgspec.structs.replace(plan, **change).identity() != plan.identity()
    assert preset("demo").identity() == plan.identity()


def test_identity_leaves_out_what_moves_no_number() -> None:
    plan = preset("demo")
    kept = msgspec.structs.replace(plan, keep_outputs=True)
    assert kept.identity() == plan.identity()
    for one in (plan, kept):
        found = msgspec.json.encode(one, order="deterministic")
        assert is_identity(one.identity(), found)
        assert is_identity(hashlib.sha256(found).hexdigest(), found)  # as older programs wrote it
        assert not is_identity(one.identity(), found.replace(b'"seed":0', b'"seed":1'))


@pytest.mark.parametrize(
    "bits", [("FP32", "w4a4", "W6A6"), ("W4A4", "fp32", "W6A6"), ("W04A4", "W6a6", "W32A32")]
)
def test_the_same_bit_settings_have_one_identity(bits: tuple[str, ...]) -> None:
    plan = msgspec.structs.replace(preset("demo"), bits=("FP32", "W4A4", "W6A6"))
    other = validated(msgspec.structs.replace(plan, bits=bits))
    assert other.bits == ("FP32", "W4A4", "W6A6")
    assert other.identity() == plan.identity() and other.variants() == plan.variants()


def test_a_bit_setting_given_twice_is_refused_however_it_is_written() -> None:
    plan = msgspec.structs.replace(preset("demo"), bits=("FP32", "W4A4", "w4a4"))
    with pytest.raises(InputError, match="bits"):
        validated(plan)


def test_toml_with_a_folder(tmp_path: Path) -> None:
    file = tmp_path / "plan.toml"
    file.write_text('models = ["vit-wide"]\nseed = 3\n[folders]\nmine = "/pictures"\n')
    plan, resources = read_toml(file)
    assert resources.ood == {"mine": "/pictures"} and plan.seed == 3


def test_sets_of_a_plan_may_be_folders_below_the_data_root(tmp_path: Path) -> None:
    (tmp_path / "birds").mkdir()
    Image.new("RGB", (40, 40)).save(tmp_path / "birds" / "1.png")
    plan = Plan(models=("vit-wide",), ood_sets=("noise", "birds"))
    settled, resources, missing = settle(plan, Resources(data=str(tmp_path)))
    assert resources.ood == {"birds": str(tmp_path / "birds")} and not missing
    assert settled.ood_sets == ("noise", "birds")
    with pytest.raises(InputError, match="birds"):
        settle(plan, Resources())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models = [", "TOML"),
        ('modles = ["vit-wide"]', "models"),
        ('models = ["vit-wide"]\nid_images = "many"', "id_images"),
        ('models = "vit-wide"', "models"),
        ('models = ["vit-wide"]\nfolders = 3', "folders"),
    ],
)
def test_wrong_toml_is_refused_in_words(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "plan.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        read_toml(file)


def test_missing_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_toml(tmp_path / "nothing.toml")


def test_unknown_field_names_the_nearest() -> None:
    with pytest.raises(InputError, match="method"):
        from_mapping({"models": ["vit-wide"], "metod": "repq"})


def test_a_method_has_its_former_name_in_journals_and_older_plan_files(tmp_path: Path) -> None:
    file = tmp_path / "plan.toml"
    file.write_text('models = ["vit-wide"]\nquantizer = "minmax"\n', "utf-8")
    plan = read_toml(file)[0]
    assert plan.method == "minmax" and json.loads(msgspec.json.encode(plan))["quantizer"] == "minmax"
    assert plan == from_mapping(to_mapping(plan)) == Plan(models=("vit-wide",), method="minmax")
    assert 'method = "minmax"' in to_toml(plan, Resources())
    with pytest.raises(InputError, match="old name of method"):
        from_mapping({"models": ["vit-wide"], "method": "omse", "quantizer": "minmax"})
    with pytest.raises(InputError, match="method: 3"):
        from_mapping({"models": ["vit-wide"], "quantizer": 3})


def test_parameters_of_the_method_are_a_table_of_a_plan_file(tmp_path: Path) -> None:
    file = tmp_path / "plan.toml"
    file.write_text(
        'models = ["vit-wide"]\nmethod = "percentile"\n[method_parameters]\nshare = 0.99\n', "utf-8"
    )
    plan = validated(read_toml(file)[0])
    assert plan.method_parameters == {"share": 0.99}
    file.write_text(to_toml(plan, Resources()), "utf-8")
    assert read_toml(file)[0] == plan
    file.write_text('models = ["vit-wide"]\n[method_parameters]\nshare = [1]\n', "utf-8")
    with pytest.raises(InputError, match="method_parameters"):
        read_toml(file)
