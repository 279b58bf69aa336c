"""Train the demo zoo: `python -m engine.models.train --model vit-narrow --seed 0`.

Each run writes fp16 weights and a log (JSON Lines: the command, the recipe, every epoch) to
`engine/models/zoo_weights/`.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from timm.data import Mixup
from timm.data.random_erasing import RandomErasing
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as picture

from engine.images import fractals
from engine.models import zoo
from engine.models.loaded import count_parameters

BATCH = 64
IMAGES_PER_CLASS = {"id": 200, "wide": 40}
TRAIN_SEED, VALIDATION_SEED = 11, 12
FOLDER = Path(__file__).parent / "zoo_weights"


def main() -> None:
    """Train one model, or all of them, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=sorted(zoo.RECIPES), action="append")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    FOLDER.mkdir(exist_ok=True)
    for name in options.model or sorted(zoo.RECIPES):
        command = (
            f"python -m engine.models.train --model {name} --seed {options.seed} --threads {options.threads}"
        )
        with (FOLDER / f"{name}.log.jsonl").open("wb") as log:
            train(name, options.seed, TrainingLog(log, command))


class TrainingLog:
    """Write one JSON object per line, to the log file and to the screen."""

    def __init__(self, file: object, command: str) -> None:
        self.file = file
        self.started = time.monotonic()
        self.write(command=command, torch=str(torch.__version__), numpy=np.__version__)

    def write(self, **facts: object) -> None:
        """Append `facts` and the seconds since the start."""
        line = msgspec.json.encode({"seconds": round(time.monotonic() - self.started, 1), **facts})
        self.file.write(line + b"\n")  # type: ignore[attr-defined]
        self.file.flush()  # type: ignore[attr-defined]
        sys.stdout.write(line.decode() + "\n")
        sys.stdout.flush()


def train(name: str, seed: int, log: TrainingLog) -> None:
    """Train `name` from scratch and save its weights."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    recipe = zoo.RECIPES[name]
    log.write(model=name, seed=seed, recipe=msgspec.to_builtins(recipe))
    trunk: dict[str, Tensor] = {}
    if recipe.pretrain_epochs:
        pool = "wide"
        model = zoo.build(name, len(fractals.classes(pool)))
        # With binary cross-entropy and heavy augmentation, 500 classes of 40 images are hardly learnt at all.
        simpler = zoo.Recipe(recipe.pretrain_epochs, label_smoothing=0.05)
        fit(model, simpler, pool, recipe.pretrain_epochs, 2e-3, log)
        trunk = {k: v for k, v in model.state_dict().items() if not k.startswith("head.")}
    model = zoo.build(name)
    model.load_state_dict(trunk, strict=False)
    top1 = fit(model, recipe, "id", recipe.epochs, 1e-3 if trunk else 2e-3, log)
    halves = {key: value.half().contiguous() for key, value in model.state_dict().items()}
    save_file(halves, FOLDER / f"{name}.safetensors", {"model": name, "seed": str(seed)})
    log.write(saved=f"{name}.safetensors", parameters=count_parameters(model), top1=top1)


def fit(model: nn.Module, recipe: zoo.Recipe, pool: str, epochs: int, rate: float, log: TrainingLog) -> float:
    """Train for `epochs` epochs with AdamW and a one-cycle rate; return the validation top-1."""
    images, labels = split(pool, IMAGES_PER_CLASS[pool], TRAIN_SEED)
    held_out = split(pool, 20 if pool == "id" else 4, VALIDATION_SEED)
    steps = epochs * (len(images) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps, pct_start=0.2)
    augment = Augment(recipe, len(fractals.classes(pool)))
    top1 = 0.0
    for epoch in range(1, epochs + 1):
        model.train()
        total = 0.0
        order = torch.randperm(len(images))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            batch = order[start : start + BATCH]
            loss = augment.loss(model, images[batch], labels[batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += loss.item()
        top1 = accuracy(model, *held_out)
        log.write(pool=pool, epoch=epoch, loss=round(total / (steps // epochs), 4), top1=top1)
    return top1


class Augment:
    """Augment batches according to a recipe, and compute its loss on them."""

    def __init__(self, recipe: zoo.Recipe, classes: int) -> None:
        self.recipe = recipe
        self.classes = classes
        self.erase = RandomErasing(probability=recipe.erase, mode="pixel", device="cpu")
        self.mix = Mixup(
            mixup_alpha=0.8,
            cutmix_alpha=1.0,
            prob=recipe.mixup,
            label_smoothing=recipe.label_smoothing,
            num_classes=classes,
        )

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of one augmented batch of uint8 images (n, 3, 32, 32)."""
        flipped = torch.where((torch.rand(len(images)) < 0.5)[:, None, None, None], images.flip(3), images)
        if self.recipe.three_augment:
            flipped = three_augment(flipped)
        pixels = normalise(flipped)
        if self.recipe.erase:
            pixels = self.erase(pixels)
        target: Tensor
        if self.recipe.mixup:
            pixels, target = self.mix(pixels, labels)
        else:
            target = smooth(labels, self.classes, self.recipe.label_smoothing)
        logits = model(pixels)
        if self.recipe.loss == "binary":
            return F.binary_cross_entropy_with_logits(logits, target) * 10
        return F.cross_entropy(logits, target)


def three_augment(images: Tensor) -> Tensor:
    """Apply grayscale, solarize or blur to each image, then jitter brightness (DeiT III, section 3)."""
    choice = torch.randint(0, 3, (len(images), 1, 1, 1))
    gray = picture.rgb_to_grayscale(images, num_output_channels=3)
    bent = picture.solarize(images, 128.0)
    blurred = picture.gaussian_blur(images, [3, 3], [0.6, 0.6])
    changed = torch.where(choice == 0, gray, torch.where(choice == 1, bent, blurred))
    gain = 1 + 0.3 * (2 * torch.rand(len(images), 1, 1, 1) - 1)
    return (changed.float() * gain).clamp(0, 255).to(torch.uint8)


def smooth(labels: Tensor, classes: int, amount: float) -> Tensor:
    """Return one-hot targets with label smoothing."""
    return F.one_hot(labels, classes).float() * (1 - amount) + amount / classes


def split(pool: str, per_class: int, seed: int) -> tuple[Tensor, Tensor]:
    """Render `per_class` images of every class of `pool`; uint8 (n, 3, 32, 32) and labels."""
    numbers = np.asarray(fractals.classes(pool))
    labels = np.repeat(np.arange(len(numbers)), per_class)
    images = torch.from_numpy(fractals.render(numbers[labels], seed))
    return images.permute(0, 3, 1, 2).contiguous(), torch.from_numpy(labels)


def normalise(images: Tensor) -> Tensor:
    """Map uint8 pixels to [-1, 1]."""
    return images.float() / 127.5 - 1


@torch.inference_mode()
def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return the top-1 accuracy in evaluation mode."""
    model.eval()
    right = [
        (model(normalise(images[i : i + 500])).argmax(1) == labels[i : i + 500]).sum().item()
        for i in range(0, len(images), 500)
    ]
    return round(float(sum(right)) / len(images), 4)


if __name__ == "__main__":
    main()
