"""Folders of weights that describe their model, as timm and Hugging Face transformers write them."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from PIL import Image

from engine.images.decode import INTERPOLATIONS
from engine.images.image_set import Geometry
from engine.models.build import NORM_EPS, split
from engine.models.contents import SAVE, FormError

PREFERRED = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "pytorch_model.pth",
    "model.pth",
)
KINDS = ("*.safetensors", "*.pth", "*.pt", "*.bin", "*.ckpt", "*.pth.tar")
PLAIN, DISTILLED = "vit_base_patch16_224", "deit_base_distilled_patch16_224"
# Models of transformers that are timm's vision transformer under other names.
TRANSLATED = ("vit", "deit", "vit_msn")
CLASSIFIERS = ("ForImageClassification", "ForImageClassificationWithTeacher")
ACTIVATIONS = {
    "gelu": None,
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "quick_gelu": "quickgelu",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
USUAL = {  # of a ViT or DeiT, unless config.json says otherwise
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 16,
    "qkv_bias": True,
    "hidden_act": "gelu",
    "num_channels": 3,
    "layer_norm_eps": 1e-12,
}
OF_TIMM = (
    "input_size",
    "crop_pct",
    "crop_mode",
    "interpolation",
    "mean",
    "std",
    "num_classes",
    "global_pool",
    "fixed_input_size",
)
_PLACEHOLDERS = "LABEL_"


class ModelFolder(NamedTuple):
    """What a folder says about its weights; timm's have preprocessing in `overlay`, others in `geometry`."""

    weights: Path
    architecture: str
    arguments: Mapping[str, Any]
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    overlay: Mapping[str, Any] | None = None
    geometry: Geometry | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @property
    def is_translated(self) -> bool:
        """Return whether the folder is from transformers, which does not use timm's names."""
        return self.overlay is None


def read_folder(folder: Path) -> ModelFolder | None:
    """Return what a folder says about its weights, None if it has no config.json; raise FormError."""
    if form := _named(folder):
        raise FormError(form)
    if not (folder / "config.json").is_file():
        return None
    about = _json(folder / "config.json")
    if "architecture" in about:
        return _of_timm(folder, about)
    if "model_type" in about or "architectures" in about:
        return _of_transformers(folder, about)
    raise FormError("its config.json is neither timm's (architecture) nor transformers' (model_type)")


def file_in(folder: Path) -> Path:
    """Return the file of weights in a folder; raise FormError if there is none or more than one."""
    for name in PREFERRED:
        if (folder / name).is_file():
            return folder / name
    files = sorted({path for kind in KINDS for path in folder.glob(kind)})
    if len(files) != 1:
        names = ", ".join(path.name for path in files[:4]) if files else "none"
        raise FormError(f"the folder must have one file of weights ({names} found); give the file itself")
    return files[0]


def beside(file: Path) -> dict[str, float]:
    """Return the epsilon in a config.json of transformers beside a file, if there is one."""
    try:
        epsilon = _json(file.parent / "config.json").get("layer_norm_eps")
    except FormError:
        return {}
    return {NORM_EPS: float(epsilon)} if isinstance(epsilon, int | float) else {}


def is_google(file: Path) -> bool:
    """Return whether a file is an archive of arrays (.npz), as Google publishes vision transformers."""
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return all(name.endswith(".npy") for name in archive.namelist())


def _named(folder: Path) -> str:
    """Return what a folder is and what would work, if its weights cannot be read; else an empty text."""
    there = {path.name for path in folder.iterdir()}
    if not there:
        return "the folder is empty"
    if ".metadata" in there or any(name.endswith(".distcp") for name in there):
        return (
            "it is a distributed checkpoint; join it first: "
            "python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER FILE"
        )
    if "zero_to_fp32.py" in there or any(name.startswith("zero_pp_rank") for name in there):
        return "it is a DeepSpeed checkpoint; join it first: python zero_to_fp32.py FOLDER FILE"
    if "adapter_config.json" in there:
        return "it holds adapters (PEFT); merge them into the model first (merge_and_unload) and save that"
    if "saved_model.pb" in there:
        return f"it is a TensorFlow SavedModel; convert it to PyTorch and {SAVE}"
    if "config.json" in there and not any(
        Path(name).suffix in (".safetensors", ".bin", ".pth", ".pt") for name in there
    ):
        if any(name.startswith(("tf_model", "flax_model")) for name in there):
            return "it has only TensorFlow or Flax weights; convert them to PyTorch in transformers"
        return "it has a config.json but no weights (model.safetensors)"
    return ""


def _json(path: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(path.read_bytes().removeprefix(b"\xef\xbb\xbf"), type=dict[str, Any])
    except (OSError, msgspec.DecodeError) as error:
        raise FormError(f"{path.name} cannot be read ({error})") from None


def _of_timm(folder: Path, about: dict[str, Any]) -> ModelFolder:
    """Read what timm writes beside weights; before version 0.9.8 that had only one level."""
    described = dict(about.get("pretrained_cfg") or {k: v for k, v in about.items() if k != "model_args"})
    architecture = split(str(about["architecture"]))[0]
    arguments = dict(about.get("model_args") or {})
    count = about.get("num_classes", described.get("num_classes"))
    if count is not None:
        arguments.setdefault("num_classes", int(count))
    overlay = {key: described[key] for key in OF_TIMM if described.get(key) is not None}
    overlay |= {"num_classes": arguments["num_classes"]} if "num_classes" in arguments else {}
    pool = described.get("global_pool")
    if isinstance(pool, str) and pool:
        arguments.setdefault("global_pool", pool)
    size = overlay.get("input_size")
    if isinstance(size, list | tuple) and len(size) == 3 and described.get("fixed_input_size", True):
        overlay["input_size"] = tuple(size)
        arguments.setdefault("img_size", int(size[1]) if size[1] == size[2] else tuple(size[1:]))
    return ModelFolder(file_in(folder), architecture, arguments, _timms_names(about, described), (), overlay)


def _timms_names(about: Mapping[str, Any], described: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the outputs in order: `label_names`, else their descriptions."""
    names = about.get("label_names") or described.get("label_names") or about.get("labels")
    if isinstance(names, list):
        return tuple(map(str, names))
    texts = names or about.get("label_descriptions") or described.get("label_descriptions")
    return tuple(map(str, texts.values())) if isinstance(texts, dict) else ()


def _of_transformers(folder: Path, about: dict[str, Any]) -> ModelFolder:
    """Read transformers' description of a ViT or DeiT and its preprocessing."""
    kind, classes = str(about.get("model_type", "")), about.get("architectures") or [""]
    if kind not in TRANSLATED:
        raise FormError(
            f"it is a {kind or 'model'} of transformers, which is not a plain vision transformer of timm; "
            f"one of {', '.join(TRANSLATED)} is needed"
        )
    if classes[0] and not str(classes[0]).endswith(CLASSIFIERS):
        raise FormError(
            f"it is a {classes[0]}, which has no classification head; a fine-tuned model is needed"
        )
    usual = {**USUAL, "layer_norm_eps": 1e-6} if kind == "vit_msn" else USUAL
    config = {**usual, **{key: about[key] for key in usual if about.get(key) is not None}}
    if config["hidden_act"] not in ACTIVATIONS or config["num_channels"] != 3:
        raise FormError(
            f"its activation {config['hidden_act']!r} or {config['num_channels']} channels are not supported"
        )
    activation = ACTIVATIONS[config["hidden_act"]]
    arguments = {
        "img_size": config["image_size"],
        "patch_size": config["patch_size"],
        "embed_dim": config["hidden_size"],
        "depth": config["num_hidden_layers"],
        "num_heads": config["num_attention_heads"],
        # timm rounds the product down
        "mlp_ratio": (config["intermediate_size"] + 0.5) / config["hidden_size"],
        "qkv_bias": config["qkv_bias"],
        NORM_EPS: config["layer_norm_eps"],
        **({"act_layer": activation} if activation else {}),
    }
    architecture = DISTILLED if str(classes[0]).endswith("WithTeacher") else PLAIN
    geometry, mean, std, notes = _prepared(folder, kind, int(config["image_size"]))
    names = _transformers_names(about)
    return ModelFolder(file_in(folder), architecture, arguments, names, notes, None, geometry, mean, std)


def _transformers_names(about: Mapping[str, Any]) -> tuple[str, ...]:
    """Return `id2label` in numeric order, unless the names are placeholders."""
    labels = about.get("id2label")
    if not isinstance(labels, dict) or not all(str(key).isdecimal() for key in labels):
        return ()
    names = tuple(str(labels[key]) for key in sorted(labels, key=int))
    whole = sorted(map(int, labels)) == list(range(len(labels)))
    return names if whole and not all(name.startswith(_PLACEHOLDERS) for name in names) else ()


def _prepared(
    folder: Path, kind: str, size: int
) -> tuple[Geometry, tuple[float, ...], tuple[float, ...], tuple[str, ...]]:
    """Return geometry, mean and std from preprocessor_config.json, or transformers' defaults without it."""
    file = folder / "preprocessor_config.json"
    half = [0.5] * 3
    notes: tuple[str, ...] = ()
    if file.is_file():
        about = _json(file)
    else:
        notes = ("no preprocessor_config.json: images are prepared with the defaults of transformers",)
        cut = {"size": round(size * 256 / 224), "do_center_crop": True, "crop_size": size, "resample": 3}
        about = {**({} if kind == "vit" else cut), "size": size if kind == "vit" else cut["size"]}
    scale = about.get("rescale_factor", 1 / 255)
    if not about.get("do_rescale", True) or not math.isclose(scale, 1 / 255, rel_tol=1e-3):
        raise FormError(
            f"its images are scaled by {scale:g}; only 1/255 is supported (preprocessor_config.json)"
        )
    if not about.get("do_resize", True):
        raise FormError(
            "its images are not resized (do_resize in preprocessor_config.json), which is not supported"
        )
    resized, is_square = _side(about.get("size", size))
    cropped = _side(about.get("crop_size", resized))[0] if about.get("do_center_crop") else resized
    if cropped != size or not (is_square or about.get("do_center_crop")):
        raise FormError(
            f"its images are prepared at {cropped} pixels ({about.get('size')}), but the model takes {size}"
        )
    crop = cropped / resized
    while math.floor(cropped / crop) < resized:  # as division rounds
        crop = math.nextafter(crop, 0)
    filters = {value.value: name for name, value in INTERPOLATIONS.items()}
    interpolation = filters.get(about.get("resample", Image.Resampling.BILINEAR.value))
    if interpolation is None:
        raise FormError(f"its interpolation {about.get('resample')} is unknown (preprocessor_config.json)")
    normal = about.get("do_normalize", True)
    mean, std = (tuple(map(float, about.get(key) or half)) for key in ("image_mean", "image_std"))
    mean, std = (mean, std) if normal else ((0.0,) * 3, (1.0,) * 3)
    return Geometry(size, crop, interpolation, "squash" if is_square else "center"), mean, std, notes


def _side(size: Any) -> tuple[int, bool]:
    """Return the size in pixels that images are resized to, and whether both sides are."""
    if isinstance(size, Mapping) and "shortest_edge" in size:
        return int(size["shortest_edge"]), False
    if isinstance(size, Mapping) and size.get("height") == size.get("width"):
        return int(size["height"]), True
    if isinstance(size, int):
        return size, True
    raise FormError(
        f"its images are resized to {size}; only squares are supported (preprocessor_config.json)"
    )
