import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InputError
from engine.plan.bits import Bits
from engine.plan.plan import Plan
from engine.plan.variants import VariantId
from engine.protocol.events import VariantReady
from tests.strategies import widths_or_float

MODELS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,30}", fullmatch=True)


@given(MODELS, widths_or_float, widths_or_float, st.integers(0, 99))
def test_a_key_is_read_back_as_what_it_names(model: str, weight: int, activation: int, draw: int) -> None:
    identity = VariantId(model, Bits(weight, activation), draw)
    assert VariantId.parse(identity.key) == identity
    assert identity.key == f"{model} {identity.setting}"
    assert VariantId.parse(identity.baseline) == VariantId(model, Bits())


@pytest.mark.parametrize(
    "key",
    ["", "vit-wide", "vit-wide W9A8", "vit-wide W4A4 #0", "vit wide W4A4", "vit-wide W4A4 #2\n", "../x FP32"],
)
def test_what_is_no_key_is_refused_also_in_a_journal(key: str) -> None:
    with pytest.raises(InputError, match="such as 'vit-wide W4A4'"):
        VariantId.parse(key)
    event = msgspec.json.encode(VariantReady(key, "", 0.0, 10))
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(event, type=VariantReady)


def test_every_variant_of_a_plan_is_told_by_its_key() -> None:
    plan = Plan(models=("vit-wide", "deit3-wide"), bits=("FP32", "W8A8", "W4A32"), calibration_draws=3)
    variants = plan.variants()
    assert [VariantId.parse(variant.key) for variant in variants] == [
        variant.identity for variant in variants
    ]
    assert {variant.baseline for variant in variants} == {"vit-wide FP32", "deit3-wide FP32"}
    assert len({variant.stem for variant in variants}) == len(variants) == 14
