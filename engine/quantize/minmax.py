"""Round to nearest between the smallest and the largest value: the plainest quantizer there is."""

from __future__ import annotations

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from engine.plan import Bits
from engine.quantize.layers import freeze, quantized_copy
from engine.quantize.quantizer import search_min_max


@torch.inference_mode()
def quantize(model: VisionTransformer, bits: Bits, images: Tensor) -> VisionTransformer:
    """Return `model` quantized, its ranges taken from `images` (n, 3, height, width), normalised.

    Layers are calibrated in order, each on the output of its already quantized predecessors.
    """
    quantized = quantized_copy(model, bits, search_min_max, log_softmax=False)
    quantized(images)
    return freeze(quantized)
