from __future__ import annotations

from engine import catalog
from engine.protocol.events import Delta, SetDeltas, VariantDelta
from engine.report import study

ONE_K, MANY = "deit3_small_patch16_224.fb_in1k", "deit3_small_patch16_224.fb_in22k_ft_in1k"


def lost(variant: str, value: float) -> VariantDelta:
    delta = Delta(value, value - 0.01, value + 0.01, value / 0.8)
    return VariantDelta(variant, {"ap_out": SetDeltas({}, delta)}, {"top1": delta})


def test_what_the_abstract_states_stands_beside_the_4_bit_variants_alone() -> None:
    rows = study.beside([lost(f"{MANY} W4A4", 0.18), lost(f"{MANY} W8A8", 0.01), lost("vit-wide W4A4", 0.1)])
    assert [(row.measure, row.stated) for row in rows] == [("ap_out", 19.2), ("top1", 17.0)]
    assert rows[0].measured.value == 0.18


def test_every_figure_of_the_abstract_is_in_the_catalog() -> None:
    stated = {name: dict(model.stated) for name, model in catalog.MODELS.items() if model.stated}
    assert stated == {
        "vit_small_patch16_224.augreg_in1k": {"ap_out": 9.5},
        "vit_small_patch16_224.augreg_in21k_ft_in1k": {"ap_out": 15.0},
        ONE_K: {"ap_out": 12.0},
        MANY: {"ap_out": 19.2, "top1": 17.0},
    }


def test_the_order_is_told_with_its_uncertainty() -> None:
    apart = study.order_holds(study.beside([lost(f"{ONE_K} W4A4", 0.12), lost(f"{MANY} W4A4", 0.19)]))
    assert "lost more" in apart and "overlap" not in apart
    close = study.order_holds(study.beside([lost(f"{ONE_K} W4A4", 0.12), lost(f"{MANY} W4A4", 0.115)]))
    assert "lost no more" in close and "overlap" in close
    assert study.order_holds(study.beside([lost(f"{ONE_K} W4A4", 0.12)])) == ""


def test_the_order_is_of_all_calibration_draws() -> None:
    small, large = (0.10, 0.12, 0.14), (0.20, 0.19, 0.06)  # the last draw alone says the opposite
    draws = ("W4A4", "W4A4 #2", "W4A4 #3")
    rows = [lost(f"{ONE_K} {draw}", value) for draw, value in zip(draws, small, strict=True)]
    rows += [lost(f"{MANY} {draw}", value) for draw, value in zip(draws, large, strict=True)]
    told = study.order_holds(study.beside(rows))
    assert told == (
        "DeiT3-S pretrained on ImageNet-22k lost more than on ImageNet-1k (+15.0 against +12.0 points, "
        "means of 3 calibration draws; more in 2 of them)"
    )
    # A draw that one of the models has alone, because it failed in the other, counts for neither.
    told = study.order_holds(study.beside(rows[:-1]))
    assert "(+19.5 against +11.0 points, means of 2 calibration draws; more in 2 of them)" in told
    close = [lost(f"{ONE_K} W4A4", 0.18), lost(f"{ONE_K} W4A4 #2", 0.1), rows[3], rows[4]]
    assert "intervals overlap in 1)" in study.order_holds(study.beside(close))
