"""PTQ4ViT (Yuan et al., ECCV 2022): twin uniform quantizers, scales chosen by a Hessian-guided metric.

What the Hessian is: the paper expands the loss to second order and takes the squared gradient of a
product's output for the diagonal of the Hessian. Its official code differentiates KL(p || p) of the
floating-point model with itself, which is 0: what it squares is rounding noise. Here the diagonal is
that of KL(p || q) in q = p, the Fisher information: sum over labels y of p(y) (d log p(y) / d output)^2,
over the five most probable labels of each calibration image.

What the official code's softmax is: above the split it adds both ranges where the paper takes one. Here one
is taken; `summed_softmax` has the code's form. Its queries, keys and values have one scale per head, here one
per tensor; and it searches the split beside exact values, here beside quantized ones.
"""

from __future__ import annotations

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from engine.plan.bits import FLOAT
from engine.quantize.grids.base import Quantizer
from engine.quantize.grids.twin import SummedTwinSoftmax, TwinGelu, TwinSoftmax
from engine.quantize.grids.uniform import symmetric
from engine.quantize.layers import (
    MatrixProduct,
    QuantizedLayer,
    freeze,
    quantized_copy,
    without_quantizers,
)
from engine.quantize.methods.base import QuantizationMethod
from engine.quantize.methods.products import RIGHT, Parts, Product, in_turns, least, products
from engine.quantize.sites import Role, Site, Widths

ROUNDS = 3  # each searches one operand, then the other
CANDIDATES = tuple(0.01 + i * 1.19 / 100 for i in range(100))  # times the scale that clips nothing
SPLITS = tuple(2.0**-i for i in range(20))  # of the twin softmax quantizer
QKV = ("queries", "keys", "values")  # each has its scale in the weight that computes all three
LABELS = 5
IMAGES_AT_ONCE = 8  # in the backward pass


class PTQ4ViT(QuantizationMethod, frozen=True):
    """PTQ4ViT. Ablation, on in the official code: `summed_softmax` adds both softmax ranges."""

    summed_softmax: bool = False

    @torch.inference_mode(False)  # gradients are needed, wherever this is called
    def quantize(self, model: VisionTransformer, widths: Widths, images: Tensor) -> VisionTransformer:
        """Return `model` quantized.

        Symmetric uniform quantizers with one scale per tensor, three in qkv weights (queries, keys, values)
        and one per output channel in the patch convolution, whose input stays in floating point. Softmax and
        GELU outputs have twin ranges. Every product sees floating-point inputs.
        """
        widths = Widths(widths.bits, widths.overrides, FLOAT, widths.first_and_last)
        quantized = quantized_copy(model, widths, self.choose).to(images.device)
        importance = fisher(without_quantizers(quantized), images)
        with torch.inference_mode():
            for product in products(quantized, images):
                search(product, importance[product.name])
            return freeze(quantized)

    def choose(self, site: Site) -> Quantizer:
        """Return the quantizer of a tensor."""
        match site.role:
            case Role.SOFTMAX:
                return (SummedTwinSoftmax if self.summed_softmax else TwinSoftmax)(site.bits)
            case Role.GELU:
                return TwinGelu(site.bits)
            case Role.WEIGHT:
                return symmetric(site.bits, axis=0)
            case _:
                return symmetric(site.bits)


def search(product: Product, importance: Tensor) -> None:
    """Set the scales of both operands in turns, each to the candidate with the least weighted error."""

    def start(product: Product, side: int) -> Parts:
        return {"scale": widest(product, side)}

    def best(product: Product, side: int, exact: Tensor) -> Parts:
        twin = isinstance(product.quantizers[side], TwinSoftmax)
        ratios = exact.new_tensor(SPLITS if twin else CANDIDATES)
        candidates = {"scale": ratios[:, None] * widest(product, side)}
        return least(candidates, product.errors(side, candidates, exact, importance))

    in_turns(product, start, best, ROUNDS)


def widest(product: Product, side: int) -> Tensor:
    """Return the scale of an operand that clips nothing, (groups,); 1 for the split of a twin softmax."""
    x, quantizer = product.operands[side], product.quantizers[side]
    assert isinstance(quantizer, Quantizer)
    if isinstance(quantizer, TwinSoftmax):
        return x.new_ones(1)
    groups = 1
    if side == RIGHT and not product.is_attention:
        groups = len(x) if x.dim() == 4 else len(QKV) if product.name.endswith(".qkv") else 1
    largest = (x if isinstance(quantizer, TwinGelu) else x.abs()).reshape(groups, -1).amax(1)
    # A tensor of zeros has no scale of its own; any represents it exactly.
    largest = torch.where(largest > 0, largest, torch.ones_like(largest))
    return largest.div(2 ** (quantizer.bits - 1) - 0.5)


def fisher(exact: VisionTransformer, images: Tensor) -> dict[str, Tensor]:
    """Return the diagonal of the Fisher information of every product's output, by name, mean 1.

    `exact` is a quantized copy without quantizers.
    """
    outputs: dict[str, Tensor] = {}
    hooks = [
        module.register_forward_hook(lambda _m, _i, out, name=name: outputs.__setitem__(name, out))
        for name, module in exact.named_modules()
        if isinstance(module, QuantizedLayer | MatrixProduct)
    ]
    parts: dict[str, list[Tensor]] = {}
    with torch.enable_grad():
        for batch in torch.split(images, IMAGES_AT_ONCE):
            log_p = exact(batch.clone().requires_grad_()).double().log_softmax(1)
            best = log_p.detach().topk(min(LABELS, log_p.shape[1]), 1)
            total = {name: torch.zeros_like(out) for name, out in outputs.items()}
            for label, share in zip(best.indices.T, best.values.exp().T, strict=True):
                # The square root, because the gradient is squared.
                loss = (share.sqrt() * log_p.gather(1, label[:, None])[:, 0]).sum()
                gradients = torch.autograd.grad(loss, list(outputs.values()), retain_graph=True)
                for sum_so_far, gradient in zip(total.values(), gradients, strict=True):
                    sum_so_far.addcmul_(gradient, gradient)
            for name, value in total.items():
                parts.setdefault(name, []).append(value.detach())
    for hook in hooks:
        hook.remove()
    return {name: _mean_one(torch.cat(values)) for name, values in parts.items()}


def _mean_one(values: Tensor) -> Tensor:
    mean = values.double().mean()
    return (values / mean).float() if mean > 0 else torch.ones_like(values)
