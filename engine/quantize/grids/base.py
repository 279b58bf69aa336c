"""What every quantizer of a tensor is: a module that quantizes and dequantizes, and can say how."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn


class Quantizer(nn.Module):
    """Quantize and dequantize one tensor.

    `label` names the kind in bit tables and files, `parts` are its parameters (float32, one value or one
    a channel); all of them are None until the quantizer is calibrated. A new kind is a subclass.
    """

    label: ClassVar[str]
    parts: ClassVar[tuple[str, ...]] = ("scale",)
    kinds: ClassVar[dict[str, type[Quantizer]]] = {}
    scale: Tensor | None
    axis: int | None = None  # the channel axis; None is one value per tensor

    def __init_subclass__(cls) -> None:
        Quantizer.kinds[cls.label] = cls

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits
        for part in self.parts:
            self.register_buffer(part, None)

    def reset(self) -> None:
        """Forget all parameters, so that the next tensor sets them anew."""
        for part in self.parts:
            setattr(self, part, None)

    def use(self, parameters: dict[str, Tensor]) -> None:
        """Take parameters by the names in `parts`."""
        for part, value in parameters.items():
            setattr(self, part, value)

    def parameters_set(self) -> dict[str, Tensor]:
        """Return the parameters that are set, by name."""
        found = {part: getattr(self, part) for part in self.parts}
        return {part: value for part, value in found.items() if value is not None}

    def clipped(self, x: Tensor) -> Tensor:
        """Tell for every element whether it lies outside the range."""
        raise NotImplementedError

    def range(self) -> tuple[float, float]:
        """Return the smallest and the largest value that can be represented, over all channels."""
        raise NotImplementedError
