"""Weights and image folders in exactly the formats in which they come, small and random."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from engine import catalog
from engine.datasets import imagenet

SMALL = "test_vit.r160_in1k"  # a plain vision transformer of timm with 0.4 million parameters, 160 pixels
REVISION = "0123456789abcdef0123456789abcdef01234567"


STUDY = {  # what tests sweep of `openood_root`
    "id_set": "imagenet",
    "ood_sets": ("openimage-o", "textures"),
    "calibration_set": catalog.AUTO,
    "fit_set": catalog.AUTO,
    "share": 1.0,
    "calibration_images": 4,
    "fit_images": 10,
    "chunk_images": 20,
}


def random_model(tag: str, seed: int = 0, **arguments: object) -> torch.nn.Module:
    """Return a model of timm's with random weights that say something."""
    torch.manual_seed(seed)
    model: torch.nn.Module = timm.create_model(tag, pretrained=False, **arguments)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    return model.eval()


def cache_weights(home: Path, tag: str, model: torch.nn.Module) -> Path:
    """Save weights as the Hugging Face cache holds them (HF_HOME is `home`)."""
    top = home / "hub" / f"models--timm--{tag}"
    snapshot = top / "snapshots" / REVISION
    snapshot.mkdir(parents=True)
    (top / "refs").mkdir()
    (top / "refs" / "main").write_text(REVISION)
    save_file(model.state_dict(), snapshot / "model.safetensors")
    return snapshot / "model.safetensors"


def photographs_like(folder: Path, count: int, seed: int, side: int = 180) -> None:
    """Fill a folder with JPEG files of smooth noise."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    for number in range(count):
        grid = random.integers(0, 255, (6, 6, 3), np.uint8)
        image = Image.fromarray(grid).resize((side + number % 40, side), Image.Resampling.BICUBIC)
        image.save(folder / f"{number:05d}.jpg", quality=90)


def openood_root(root: Path, *, val: int = 40, held_out: int = 12, ood: int = 24) -> Path:
    """Make an OpenOOD data folder: ImageNet test and held-out lists, and three OOD sets."""
    large, listed = root / "images_largescale", root / "benchmark_imglist" / "imagenet"
    photographs_like(large / "imagenet_1k" / "val", val + held_out, 1)
    listed.mkdir(parents=True)
    names = []
    for path in sorted((large / "imagenet_1k" / "val").iterdir()):
        number = int(path.stem) + 1
        path.rename(path.with_name(f"ILSVRC2012_val_{number:08d}.JPEG"))
        name = f"ILSVRC2012_val_{number:08d}"
        label = imagenet.FIRST.get(name, (number * 37) % len(imagenet.synsets()))
        names.append(f"imagenet_1k/val/{name}.JPEG {label}")
    (listed / "test_imagenet.txt").write_text("\n".join(names[:val]) + "\n")
    (listed / "val_imagenet.txt").write_text("\n".join(names[val:]) + "\n")
    for seed, (name, place) in enumerate(
        (("openimage_o", large / "openimage_o" / "images"), ("inaturalist", large / "inaturalist" / "images"))
    ):
        photographs_like(place, ood, 10 + seed)
        lines = [f"{path.relative_to(large)} -1" for path in sorted(place.iterdir())]
        (listed / f"test_{name}.txt").write_text("\n".join(lines) + "\n")
    textures = root / "images_classic" / "texture"
    photographs_like(textures / "banded", ood, 20)
    lines = [f"texture/banded/{path.name} -1" for path in sorted((textures / "banded").iterdir())]
    (listed / "test_textures.txt").write_text("\n".join(lines) + "\n")
    return root
