"""ERQ (Zhong et al., "ERQ: Error Reduction for Post-Training Quantization of ViTs", ICML 2024).

Activations are quantized first, as in RepQ-ViT; then every weight is corrected for the error of
its quantized input by ridge regression, and rounded half by half while the other half makes up for it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from engine.plan.bits import FLOAT
from engine.quantize.grids.search import best_percentile
from engine.quantize.grids.uniform import Uniform
from engine.quantize.layers import QuantizedLayer, freeze, quantized_layers
from engine.quantize.methods import repq
from engine.quantize.methods.base import QuantizationMethod
from engine.quantize.sites import Role, Widths

RIDGE = 0.01  # times the number of rows; the official lambda of 2,000 on 1,024 images of 197 tokens
MOST_FLIPS = 64  # roundings changed per output channel and half


class ERQ(QuantizationMethod, frozen=True):
    """ERQ, as described at the top of this file."""

    @torch.inference_mode()
    def quantize(self, model: VisionTransformer, widths: Widths, images: Tensor) -> VisionTransformer:
        """Return `model` quantized.

        A weight that stays in floating point behind a quantized input is corrected anyway.
        """
        quantized = repq.first_pass(model, widths, images, only_activations=True)
        repq.reparameterize(quantized)
        for name, layer in quantized_layers(quantized):
            bits = widths.site(f"{name}.weight", Role.WEIGHT).bits
            if bits == FLOAT and isinstance(layer.input_quantizer, nn.Identity):
                continue  # its correction would be rounding noise
            exact = _input_of(quantized, layer, images)
            reduce_error(layer, exact, bits)
        return freeze(quantized)


def reduce_error(layer: QuantizedLayer, x: Tensor, bits: int) -> None:
    """Correct and round the weight of one layer for inputs `x` before their quantization."""
    exact, seen = as_rows(layer, x), as_rows(layer, layer.input_quantizer(x))
    weight = layer.weight.flatten(1).double()
    bias = weight.new_zeros(len(weight)) if layer.bias is None else layer.bias.double()
    weight, bias = ridge(weight, bias, exact.double(), seen.double())
    layer.bias = nn.Parameter(bias.float(), requires_grad=False)
    if bits != FLOAT:
        quantizer = Uniform(bits, best_percentile, axis=0)
        quantizer(weight.float())
        gram = seen.double().T @ seen.double() / len(seen)
        weight = round_by_halves(weight, gram, quantizer)
        layer.weight_quantizer = quantizer
    layer.weight = nn.Parameter(weight.float().reshape(layer.weight.shape), requires_grad=False)


def ridge(weight: Tensor, bias: Tensor, exact: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Return weight (out, in) and bias that give on `seen` (n, in) what the old ones give on `exact`.

    Minimises |Y - A (W + dW)|^2 + lambda |dW|^2 with A = [seen, 1] (ERQ, equation 7).
    """
    ones = seen.new_ones(len(seen), 1)
    design = torch.cat([seen, ones], 1)
    both = torch.cat([weight, bias[:, None]], 1)
    error = exact @ weight.T + bias - design @ both.T
    matrix = design.T @ design
    matrix.diagonal().add_(RIDGE * len(seen))
    change = torch.linalg.solve(matrix, design.T @ error)
    both = both + change.T
    return both[:, :-1], both[:, -1]


def round_by_halves(weight: Tensor, gram: Tensor, quantizer: Uniform) -> Tensor:
    """Round half of the input columns, let the rest make up for the error, and continue with the rest.

    `gram` (in, in) is the mean outer product of the layer's quantized inputs.
    """
    done = torch.zeros_like(weight)
    rest = torch.arange(weight.shape[1], device=weight.device)
    weight = weight.clone()
    while len(rest):
        half = rest[: (len(rest) + 1) // 2]
        rest = rest[len(half) :]
        done[:, half] = refine(weight[:, half], gram[half][:, half], quantizer)
        if len(rest):
            error = done[:, half] - weight[:, half]
            own = gram[rest][:, rest]
            own.diagonal().add_(RIDGE)
            weight[:, rest] -= torch.linalg.solve(own, gram[rest][:, half] @ error.T).T
    return done


def refine(weight: Tensor, gram: Tensor, quantizer: Uniform) -> Tensor:
    """Round (out, in) to the grid, then flip roundings between floor and ceiling while the error falls.

    The error of a row is d G d^T for its rounding error d; each step flips the one entry that lowers it most.
    """
    assert quantizer.scale is not None and quantizer.zero_point is not None
    scale, zero_point = quantizer.scale.double()[:, None], quantizer.zero_point.double()[:, None]
    top = 2**quantizer.bits - 1
    code = (weight / scale).round().add(zero_point).clamp(0, top)
    rows = torch.arange(len(weight), device=weight.device)
    for _ in range(MOST_FLIPS):
        error = (code - zero_point) * scale - weight
        step = torch.where(error > 0, -1.0, 1.0)
        allowed = (code + step >= 0) & (code + step <= top)
        move = step * scale
        change = 2 * (error @ gram) * move + gram.diagonal() * move.square()
        change = torch.where(allowed, change, torch.inf)
        best = change.argmin(1)
        better = change[rows, best] < -1e-12
        if not better.any():
            break
        code[rows[better], best[better]] += step[rows[better], best[better]]
    return (code - zero_point) * scale


def as_rows(layer: QuantizedLayer, x: Tensor) -> Tensor:
    """Return a layer's inputs as rows (n, in); patches are cut out for a convolution."""
    if layer.stride is None:
        return x.reshape(-1, x.shape[-1])
    patches: Tensor = F.unfold(x, layer.weight.shape[2:], stride=layer.stride)
    return patches.transpose(1, 2).reshape(-1, patches.shape[1])


def _input_of(model: VisionTransformer, layer: QuantizedLayer, images: Tensor) -> Tensor:
    caught: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _module, inputs: caught.append(inputs[0]))
    model(images)
    hook.remove()
    return caught[0]
