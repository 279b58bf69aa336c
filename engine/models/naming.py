"""Names of a vision transformer's tensors in other libraries, translated to timm's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from engine.models.contents import FormError

TIMM, TRANSFORMERS, TORCHVISION = (
    "blocks.0.norm1.weight",
    "embeddings.patch_embeddings.projection.weight",
    "encoder.layers.encoder_layer_0.ln_1.weight",
)
ANCHORS = (TIMM, TRANSFORMERS, TORCHVISION)
FOREIGN = (  # part of a name, and whose it is
    ("lora_", "LoRA adapters, which must be merged into their model first (merge_and_unload)"),
    ("_flat_param", "a shard of FSDP; save the full state dict"),
    ("layers.0.ln1.", "MMPretrain's"),
    ("resblocks.0.", "those of (Open)CLIP, which has no classification head"),
    ("layer1.0.conv1.", "a ResNet's"),
    ("layers.0.blocks.0.", "a Swin Transformer's"),
    ("stages.0.", "a ConvNeXt's or another convolutional network's"),
    ("features.0.", "a convolutional network's"),
    ("embed_tokens", "a language model's"),
    ("word_embeddings", "a language model's"),
)
HEADS = ("head.", "heads.", "classifier.", "cls_classifier.")
EPSILON = 1e-12  # of LayerNorm in transformers, unless config.json says otherwise
_LAYER = re.compile(r"(?:encoder\.layer|layers)\.(\d+)\.(.+)\.(weight|bias)")
_OF_LAYER = {
    "attention.output.dense": "attn.proj",
    "attention.o_proj": "attn.proj",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
}
_QKV = {
    f"{before}{name}": part
    for part, names in enumerate((("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj")))
    for before in ("attention.attention.", "attention.")
    for name in names
}
_OUTSIDE = {
    "embeddings.cls_token": "cls_token",
    "embeddings.position_embeddings": "pos_embed",
    "embeddings.patch_embeddings.projection.weight": "patch_embed.proj.weight",
    "embeddings.patch_embeddings.projection.bias": "patch_embed.proj.bias",
    "layernorm.weight": "norm.weight",
    "layernorm.bias": "norm.bias",
}
_UNUSED = ("pooler.", "embeddings.mask_token")
_OF_TORCHVISION = (
    (r"encoder\.layers\.encoder_layer_(\d+)\.", r"blocks.\1."),
    (r"\.ln_([12])\.", r".norm\1."),
    (r"\.self_attention\.in_proj_", r".attn.qkv."),
    (r"\.self_attention\.out_proj\.", r".attn.proj."),
    (r"\.mlp\.(?:0|linear_1)\.", r".mlp.fc1."),
    (r"\.mlp\.(?:3|linear_2)\.", r".mlp.fc2."),
    (r"^class_token$", r"cls_token"),
    (r"^encoder\.pos_embedding$", r"pos_embed"),
    (r"^conv_proj\.", r"patch_embed.proj."),
    (r"^encoder\.ln\.", r"norm."),
    (r"^heads\.head\.", r"head."),
)


class Named(NamedTuple):
    """Weights under timm's names; `unused` names the tensors that are not part of the model."""

    state: dict[str, Tensor]
    mapped: str = ""
    notes: tuple[str, ...] = ()
    hints: Mapping[str, Any] = {}
    unused: list[str] = []


def to_timm(own: Mapping[str, Tensor], outer: Mapping[str, Tensor], prefix: str) -> Named:
    """Return weights under timm's names; `outer` are the tensors outside the transformer's prefix."""
    if TRANSFORMERS in own:
        return _from_transformers(own, outer, prefix)
    if TORCHVISION in own:
        return _from_torchvision(own, outer)
    return _from_timm(own, outer)


def _from_timm(own: Mapping[str, Tensor], outer: Mapping[str, Tensor]) -> Named:
    """Name LayerScale as timm does: DeiT III's own code calls `ls1.gamma` `gamma_1`."""
    state = {re.sub(r"^(blocks\.\d+\.)gamma_([12])$", r"\1ls\2.gamma", name): v for name, v in own.items()}
    if len(state) < len(own):
        raise FormError("it has LayerScale under two names (gamma_1 and ls1.gamma)")
    count = len(state.keys() - own.keys())
    return Named(
        state, f"gamma_1, gamma_2 to ls1.gamma, ls2.gamma ({count})" if count else "", unused=[*outer]
    )


def _from_transformers(own: Mapping[str, Tensor], outer: Mapping[str, Tensor], prefix: str) -> Named:
    """Name a ViT or DeiT of transformers as timm does, and join queries, keys and values.

    With one head, DeiT reads only its class token, so the distillation token is a register.
    """
    if any("layer_scale1." in name for name in own):
        raise FormError(
            "it is a DINOv2 of transformers, whose head reads the class token and the mean of all patches; "
            "timm has no such model"
        )
    state: dict[str, Tensor] = {}
    unused: list[str] = []
    parts: dict[str, list[Tensor | None]] = {}
    for name, value in own.items():
        match = _LAYER.fullmatch(name)
        if name.startswith(_UNUSED):
            unused.append(name)
        elif match and match[2] in _QKV:
            joined = f"blocks.{match[1]}.attn.qkv.{match[3]}"
            parts.setdefault(joined, [None] * 3)[_QKV[match[2]]] = value
        elif match and match[2] in _OF_LAYER:
            state[f"blocks.{match[1]}.{_OF_LAYER[match[2]]}.{match[3]}"] = value
        else:
            state[_OUTSIDE.get(name, name)] = value
    for joined, three in parts.items():
        whole = [part for part in three if part is not None]
        if len(whole) < 3:
            raise FormError(f"{joined} has only {len(whole)} of queries, keys and values")
        state[joined] = torch.cat(whole)
    stem = prefix.rpartition(".")[0].rpartition(".")[0]
    before = f"{stem}." if stem else ""
    heads = {"classifier.": "head.", "cls_classifier.": "head.", "distillation_classifier.": "head_dist."}
    for name, value in outer.items():
        of_head = next((one for one in heads if name.startswith(before + one)), None)
        if of_head is None:
            unused.append(name)
        else:
            state[heads[of_head] + name.removeprefix(before + of_head)] = value
    hints: dict[str, Any] = {"norm_eps": EPSILON}
    if (token := state.pop("embeddings.distillation_token", None)) is not None:
        state["dist_token" if "head_dist.weight" in state else "reg_token"] = token
        if "head_dist.weight" not in state:
            hints["reg_tokens"] = 1
    return Named(state, "from transformers' to timm's, queries, keys and values joined", (), hints, unused)


def _from_torchvision(own: Mapping[str, Tensor], outer: Mapping[str, Tensor]) -> Named:
    state = {}
    for name, value in own.items():
        for pattern, timms in _OF_TORCHVISION:
            name = re.sub(pattern, timms, name)
        state[name] = value
    return Named(state, "from torchvision's to timm's", unused=[*outer])
