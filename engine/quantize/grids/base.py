"""What every quantizer of a tensor is: a grid of values, each with an integer code."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn


class Quantizer(nn.Module):
    """Quantize and dequantize one tensor.

    A grid is a subclass with `codes`, `dequantize`, `clipped` and `range`, made from a width only. `label`
    names it in bit tables and files, `parts` are its parameters (float32, one value or one per channel); all
    of them are None until the quantizer is calibrated.
    """

    label: ClassVar[str]
    parts: ClassVar[tuple[str, ...]] = ("scale",)
    kinds: ClassVar[dict[str, type[Quantizer]]] = {}  # every grid that was imported, by label
    scale: Tensor | None
    axis: int | None = None  # the channel axis; None is one value per tensor

    def __init_subclass__(cls) -> None:
        if Quantizer.kinds.setdefault(cls.label, cls) is not cls:
            raise TypeError(f"a grid {cls.label!r} already exists; choose another label")

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits
        for part in self.parts:
            self.register_buffer(part, None)

    @property
    def code_bits(self) -> int:
        """Return how many bits a code takes: more than `bits` where the grid has more than 2^bits values."""
        return self.bits

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` quantized and dequantized."""
        return self.dequantize(self.codes(x))

    def codes(self, x: Tensor) -> Tensor:
        """Return the code of every element, int32 from 0 to 2^code_bits - 1; no element may be NaN."""
        raise NotImplementedError

    def dequantize(self, codes: Tensor) -> Tensor:
        """Return the values of codes, float32: bit by bit those that `forward` gives."""
        raise NotImplementedError

    def clipped(self, x: Tensor) -> Tensor:
        """Return for every element whether it lies outside the range."""
        raise NotImplementedError

    def range(self) -> tuple[float, float]:
        """Return the smallest and the largest value that can be represented, over all channels."""
        raise NotImplementedError

    @property
    def is_calibrated(self) -> bool:
        """Return whether all parameters are set."""
        return len(self.parameters_set()) == len(self.parts)

    def reset(self) -> None:
        """Forget all parameters, so that the next tensor sets them again."""
        for part in self.parts:
            setattr(self, part, None)

    def use(self, parameters: dict[str, Tensor]) -> None:
        """Take parameters by the names in `parts`."""
        for part, value in parameters.items():
            setattr(self, part, value)

    def parameters_set(self) -> dict[str, Tensor]:
        """Return the parameters that are set, by name."""
        values = {part: getattr(self, part) for part in self.parts}
        return {part: value for part, value in values.items() if value is not None}
