"""The matrix products of a vision transformer, for methods that choose scales by the error of a product.

Every product is quantized by itself on floating-point inputs, so their order does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from engine.errors import QuantizeError
from engine.quantize.grids.base import Quantizer
from engine.quantize.layers import QuantizedAttention, QuantizedLayer, without_quantizers

LEFT, RIGHT = 0, 1
Parts = dict[str, Tensor]  # parameters of a quantizer by their names


class Product(NamedTuple):
    """A product of two tensors with their quantizers: an input and a weight, or two activations."""

    name: str
    operands: tuple[Tensor, Tensor]
    quantizers: tuple[nn.Module, nn.Module]  # an Identity leaves its operand in floating point
    multiply: Callable[[Tensor, Tensor], Tensor]
    channels: int  # the axis of the output along which the weight has its channels, or the heads lie
    is_attention: bool  # a product of two activations

    def exact(self) -> Tensor:
        """Return the output in floating point."""
        return self.multiply(*self.operands)

    def quantized(self, side: int) -> Tensor:
        """Return one operand quantized and dequantized."""
        values: Tensor = self.quantizers[side](self.operands[side])
        return values

    def use(self, side: int, parts: Parts) -> None:
        """Let the quantizer of one operand take parameters, (groups,) each."""
        quantizer = self.quantizers[side]
        assert isinstance(quantizer, Quantizer)
        quantizer.use(parts)

    def errors(self, side: int, candidates: Parts, exact: Tensor, importance: Tensor | None = None) -> Tensor:
        """Return the squared error of the output under each candidate; all are (candidates, groups).

        A group is what has scales of its own: the tensor, or a run of output channels or heads.
        `importance` (as the output) weighs each element's squared error.
        """
        other = self.quantized(1 - side)
        errors = []
        for values in zip(*candidates.values(), strict=True):
            self.use(side, dict(zip(candidates, values, strict=True)))
            mine = self.quantized(side)
            out = self.multiply(mine, other) if side == LEFT else self.multiply(other, mine)
            error = out.sub_(exact).square_()
            if importance is not None:
                error.mul_(importance)
            errors.append(self._by_group(error, len(values[0])))
        return torch.stack(errors)

    def _by_group(self, error: Tensor, groups: int) -> Tensor:
        if groups == 1:
            return error.sum().reshape(1)
        return error.movedim(self.channels, 0).reshape(groups, -1).sum(1)


def in_turns(
    product: Product,
    start: Callable[[Product, int], Parts],
    best: Callable[[Product, int, Tensor], Parts],
    rounds: int,
) -> None:
    """Set the parameters of both operands in turns, each while the other stays, beginning with `start`.

    A weight is searched before its input; softmax outputs and queries before values and keys.
    """
    order = (LEFT, RIGHT) if product.is_attention else (RIGHT, LEFT)
    searched = [side for side in order if isinstance(product.quantizers[side], Quantizer)]
    for side in searched:
        product.use(side, start(product, side))
    exact = product.exact()
    # Next to an operand in floating point, a second round would only find the same again.
    for side in searched * (rounds if len(searched) > 1 else 1):
        product.use(side, best(product, side, exact))


def least(candidates: Parts, errors: Tensor) -> Parts:
    """Return the candidate with the least error in every group; all are (candidates, groups)."""
    chosen = errors.argmin(0, keepdim=True)
    return {part: values.gather(0, chosen)[0] for part, values in candidates.items()}


def products(model: VisionTransformer, images: Tensor) -> Iterator[Product]:
    """Yield the products of a quantized copy in network order, with their operands in floating point.

    One block's operands are in memory at a time. Raises QuantizeError where they are not finite.
    """
    exact = without_quantizers(model)
    parts = dict(model.named_modules())
    stages = ["patch_embed", *[f"blocks.{i}" for i in range(len(model.blocks))], "head", "head_dist"]
    for stage in stages:
        seen = _operands(exact, stage, images)
        for name, part in parts.items():
            if name == stage or name.startswith(f"{stage}."):
                yield from _products_of(name, part, seen)


def _products_of(name: str, part: nn.Module, seen: dict[str, Tensor]) -> Iterator[Product]:
    if isinstance(part, QuantizedLayer):
        operands = seen[f"{name}.input_quantizer"], part.weight
        axis = -1 if part.stride is None else 1
        yield Product(
            name, operands, (part.input_quantizer, part.weight_quantizer), part.multiply, axis, False
        )
    elif isinstance(part, QuantizedAttention):
        for product, left, right in (("query_key", "query", "key"), ("softmax_value", "softmax", "value")):
            sides = [f"{side}_quantizer" for side in (left, right)]
            yield Product(
                f"{name}.{product}",
                (seen[f"{name}.{sides[0]}"], seen[f"{name}.{sides[1]}"]),
                (getattr(part, sides[0]), getattr(part, sides[1])),
                torch.matmul,
                1,
                True,
            )


def _operands(exact: VisionTransformer, stage: str, images: Tensor) -> dict[str, Tensor]:
    """Return what reaches the places of the activation quantizers below `stage`, by their names."""
    seen: dict[str, Tensor] = {}
    hooks = []
    for name, module in exact.named_modules():
        inside = name.startswith(f"{stage}.") and name.endswith("_quantizer")
        if inside and not name.endswith("weight_quantizer"):
            hooks.append(module.register_forward_hook(_keep(seen, name)))
    exact(images)
    for hook in hooks:
        hook.remove()
    return seen


def _keep(seen: dict[str, Tensor], name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    def keep(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if not torch.isfinite(output).all():
            raise QuantizeError(f"{name.removesuffix('_quantizer')} holds NaN or infinite values")
        seen[name] = output

    return keep
