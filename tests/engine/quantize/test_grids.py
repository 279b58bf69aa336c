"""What every grid promises at its own door: codes, values, and files that give both back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from engine.errors import InputError
from engine.plan.bits import Bits
from engine.quantize.formats import packed
from engine.quantize.grids.base import Quantizer
from engine.quantize.grids.twin import LEAST_GELU
from engine.quantize.layers import freeze, quantized_copy
from engine.quantize.sites import Widths
from tests.engine.quantize.test_repq import tiny_model

ABOUT = {
    "model": "",
    "model_kwargs": {},
    "bits": "",
    "method": "repq",
    "overrides": {},
    "calibration": "",
    "calibration_images": 0,
}
# Of every kind by its label: parameters, and the least and largest value that it is for.
GRIDS: dict[str, list[tuple[dict[str, list[float]], float, float]]] = {
    "uniform": [
        ({"scale": [0.37], "zero_point": [3.0]}, -4, 4),
        ({"scale": [0.37], "zero_point": [2.75]}, -4, 4),
        ({"scale": [0.1, 0.2, 0.4, 0.8, 1.6], "zero_point": [0.0, 1.0, 2.0, 2.5, 3.0]}, -4, 4),
    ],
    "log-sqrt2": [({"scale": [0.9]}, 0, 1)],
    "adaptive log": [({"scale": [1.0], "base": [37.0]}, 0, 1), ({"scale": [0.7], "base": [11.0]}, 0, 1)],
    "adaptive log, shifted": [({"scale": [3.2], "base": [20.0]}, -LEAST_GELU, 3)],
    "twin uniform softmax": [({"scale": [2.0**-3]}, 0, 1)],
    "twin uniform softmax, summed": [({"scale": [2.0**-3]}, 0, 1)],
    "twin uniform GELU": [({"scale": [0.3]}, -LEAST_GELU, 3)],
}
NOT_MONOTONE = ("twin uniform softmax",)  # just above the split; see test_twin
CASES = [(label, number) for label, cases in GRIDS.items() for number in range(len(cases))]


def test_every_grid_is_tested_here() -> None:
    assert set(GRIDS) == {
        label for label, kind in Quantizer.kinds.items() if kind.__module__.startswith("engine.")
    }


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize(("label", "number"), CASES)
class TestGrid:
    def test_a_code_is_a_value_and_a_value_a_code(self, label: str, number: int, bits: int) -> None:
        quantizer, x = calibrated(label, number, bits), values_of(label, number)
        codes, once = quantizer.codes(x), quantizer(x)
        assert codes.dtype is torch.int32 and codes.shape == x.shape
        assert int(codes.min()) >= 0 and int(codes.max()) < 2**quantizer.code_bits
        assert torch.equal(quantizer.dequantize(codes), once)
        assert bits <= quantizer.code_bits <= bits + 1

    def test_values_are_on_the_grid_and_within_its_range(self, label: str, number: int, bits: int) -> None:
        quantizer, x = calibrated(label, number, bits), values_of(label, number)
        once, (low, high) = quantizer(x), quantizer.range()
        for row in range(len(x)):
            assert len(torch.unique(once[row])) <= min(2**quantizer.code_bits, 2**bits + 1)
        least = 0.0 if label == "log-sqrt2" else low  # its range is that of positive values
        assert least - 1e-5 <= float(once.min()) and float(once.max()) <= high + 1e-5

    def test_a_larger_value_is_never_quantized_to_a_smaller_one(
        self, label: str, number: int, bits: int
    ) -> None:
        once = calibrated(label, number, bits)(values_of(label, number))
        assert label in NOT_MONOTONE or bool((once.diff(dim=1) >= 0).all())

    def test_a_weight_comes_back_from_a_file_bit_by_bit(
        self, label: str, number: int, bits: int, tmp_path: Path
    ) -> None:
        quantizer = calibrated(label, number, bits)
        model = model_with(values_of(label, number, 48), lambda: quantizer, bits)
        packed.save(tmp_path / "q.safetensors", model, ABOUT)
        restored = packed.restore(tiny_model(num_classes=5), *packed.read(tmp_path / "q.safetensors"))
        assert torch.equal(restored.head.frozen, model.head.frozen)
        again = restored.head.weight_quantizer
        assert (type(again), again.bits, again.axis) == (type(quantizer), bits, quantizer.axis)


def calibrated(label: str, number: int, bits: int) -> Quantizer:
    parts = GRIDS[label][number][0]
    quantizer = Quantizer.kinds[label](bits)
    quantizer.use({part: torch.tensor(values) for part, values in parts.items()})
    quantizer.axis = 0 if len(parts["scale"]) > 1 else None
    assert quantizer.is_calibrated
    return quantizer


def values_of(label: str, number: int, count: int = 400) -> Tensor:
    """Return five rows of ascending values."""
    _, low, high = GRIDS[label][number]
    random = torch.Generator().manual_seed(0)
    return (torch.rand(5, count, generator=random) * (high - low) + low).sort(1).values


def model_with(weight: Tensor, quantizer: Callable[[], nn.Module], bits: int) -> nn.Module:
    """Return a model whose head has this weight, quantized."""
    model = tiny_model(num_classes=5)
    model.head.weight = nn.Parameter(weight, requires_grad=False)
    return freeze(quantized_copy(model, Widths(Bits(), {"head.weight": bits}), lambda site: quantizer()))


def test_two_grids_cannot_have_the_same_label() -> None:
    with pytest.raises(TypeError, match="log-sqrt2"):
        type("Another", (Quantizer,), {"label": "log-sqrt2"})
    assert Quantizer.kinds["log-sqrt2"].__name__ == "LogSqrt2"


@pytest.mark.parametrize("change", ["kind", "width", "code", "part", "extra"])
def test_a_strangers_file_names_only_what_is_registered(change: str, tmp_path: Path) -> None:
    path = tmp_path / "q.safetensors"
    model = model_with(values_of("log-sqrt2", 0, 48), lambda: calibrated("log-sqrt2", 0, 4), 4)
    packed.save(path, model, ABOUT)
    about, tensors = packed.read(path)
    match change:
        case "kind":
            about = about_with(about, ("os.system", 4, None))
        case "width":
            about = about_with(about, ("log-sqrt2", 40, None))
        case "code":
            tensors["head.weight.codes"] = torch.full_like(tensors["head.weight.codes"], 255)
        case "part":
            tensors["head.weight.scale"] = tensors["head.weight.scale"].long()
        case "extra":
            tensors["blocks.0.compensation.weight"] = torch.eye(48).half()
    with pytest.raises(InputError, match="quantized"):
        packed.restore(tiny_model(num_classes=5), about, tensors)


def about_with(about: packed.PackedHeader, kind: tuple[str, int, int | None]) -> packed.PackedHeader:
    import msgspec

    return msgspec.structs.replace(about, quantizers={"head.weight": kind})
