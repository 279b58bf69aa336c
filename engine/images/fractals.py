"""Formula-driven fractal images: every class is one iterated function system.

The idea of training on fractals is that of FractalDB (Kataoka et al., ACCV 2020); the sampling of
well-behaved systems by their singular values follows Anderson & Farrell, "Improving Fractal
Pre-training", WACV 2022, section 3.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SIZE = 32
CLASSES = Path(__file__).with_name("fractal_classes.json")
MAPS = 4  # systems of two or three maps are padded to four with maps of probability zero
POINTS = 192
WARM_UP, STEPS = 16, 18
JITTER = 0.12
ROTATION = 0.5  # radians
NOISE = 0.04

Floats = NDArray[np.float64]


def sample_system(number: int) -> tuple[Floats, Floats]:
    """Draw candidate system `number`; return its affine maps (4, 2, 3) and cumulated odds (4,).

    The singular values of the maps satisfy (5 + n) / 2 <= sum(s1 + 2 s2) <= (6 + n) / 2 for n maps,
    the range in which Anderson & Farrell find shapes neither dust nor blob.
    """
    random = np.random.Generator(np.random.PCG64([20260201, number]))
    count = 2 + int(random.random() * 3)
    while True:
        singular = np.sort(random.random((count, 2)), axis=1)[:, ::-1]
        volume = float((singular @ [1.0, 2.0]).sum())
        if (5 + count) / 2 <= volume <= (6 + count) / 2 and singular.max() < 0.96:
            break
    maps = np.zeros((MAPS, 2, 3))
    for i in range(count):
        left, right = random.random(2) * 2 * np.pi
        signs = np.where(random.random(2) < 0.5, -1.0, 1.0)
        maps[i, :, :2] = _rotation(left) @ np.diag(singular[i]) @ _rotation(right) * signs
        maps[i, :, 2] = random.random(2) * 2 - 1
    weight = np.zeros(MAPS)
    weight[:count] = np.maximum(singular.prod(axis=1), 0.05)
    return maps, np.cumsum(weight / weight.sum())


@cache
def classes(pool: str) -> tuple[int, ...]:
    """Return the candidate numbers that make up `pool`: `id`, `wide` or `unseen`.

    The numbers are data, not recomputed: a candidate at the edge of the fill test must not change
    the meaning of every later label on a machine that rounds differently.
    """
    pools: dict[str, list[int]] = json.loads(CLASSES.read_text("utf-8"))
    return tuple(pools[pool])


def choose_classes(first: int, count: int) -> list[int]:
    """Find `count` systems from candidate `first` on that fill 15 to 75 % of the frame."""
    chosen: list[int] = []
    number = first
    while len(chosen) < count:
        random = np.random.Generator(np.random.PCG64([7, number]))
        maps, odds = sample_system(number)
        still = _chaos_game(np.repeat(maps[None], 4, 0), np.repeat(odds[None], 4, 0), random)
        fill = float((still > 0).mean())
        spread = float(still.std(axis=(1, 2)).mean())
        if 0.15 <= fill <= 0.75 and spread > 0.12:
            chosen.append(number)
        number += 1
    return chosen


def render(numbers: NDArray[np.int64], seed: int) -> NDArray[np.uint8]:
    """Draw one jittered image for each class number: (n, 32, 32, 3), a function of its arguments.

    Every image has its own parameters (12 % jitter), rotation, mirror, two colours and contrast
    polarity, so that neither colour nor brightness tells the class.
    """
    return np.concatenate(
        [_render_block(numbers[start : start + 500], [seed, start]) for start in range(0, len(numbers), 500)]
        or [np.zeros((0, SIZE, SIZE, 3), np.uint8)]
    )


def colourise(shade: Floats, random: np.random.Generator) -> NDArray[np.uint8]:
    """Paint shades in [0, 1] (n, h, w) between two random colours of random polarity, with noise."""
    n = len(shade)
    dark, bright = random.random((n, 3)) * 0.45, 0.5 + random.random((n, 3)) * 0.5
    flip = (random.random(n) < 0.5)[:, None]
    paper, ink = np.where(flip, bright, dark), np.where(flip, dark, bright)
    image = paper[:, None, None] + shade[..., None] * (ink - paper)[:, None, None]
    image += (random.random(image.shape) - 0.5) * 2 * NOISE * 1.7
    return np.asarray(np.clip(image * 255 + 0.5, 0, 255), np.uint8)


def _render_block(numbers: NDArray[np.int64], seed: list[int]) -> NDArray[np.uint8]:
    random = np.random.Generator(np.random.PCG64(seed))
    distinct, where = np.unique(numbers, return_inverse=True)
    systems = [sample_system(int(number)) for number in distinct]
    maps = np.stack([m for m, _ in systems])[where]
    odds = np.stack([o for _, o in systems])[where]
    maps = maps * (1 + JITTER * (2 * random.random(maps.shape) - 1))
    return colourise(_chaos_game(maps, odds, random), random)


def _chaos_game(maps: Floats, odds: Floats, random: np.random.Generator) -> Floats:
    """Iterate many points at once and histogram them into frames of shades in [0, 1]."""
    n = len(maps)
    flat = np.ascontiguousarray(maps.reshape(n * MAPS, 6).astype(np.float32).T)
    base = (np.arange(n) * MAPS)[:, None]
    x = np.zeros((n, POINTS), np.float32)
    y = np.zeros((n, POINTS), np.float32)
    seen_x, seen_y = [], []
    for step in range(WARM_UP + STEPS):
        draw = random.random((n, POINTS))
        pick = base + sum((draw >= odds[:, k, None]).astype(np.int64) for k in range(MAPS - 1))
        a, b, c, d, e, f = flat[:, pick]
        x, y = a * x + b * y + c, d * x + e * y + f
        if step >= WARM_UP:
            seen_x.append(x)
            seen_y.append(y)
    points_x, points_y = np.concatenate(seen_x, 1), np.concatenate(seen_y, 1)
    return _histogram(points_x, points_y, random)


def _histogram(x: NDArray[np.float32], y: NDArray[np.float32], random: np.random.Generator) -> Floats:
    n = len(x)
    angle = (random.random((n, 1)) * 2 - 1) * ROTATION
    mirror = np.where(random.random((n, 1)) < 0.5, -1.0, 1.0)
    x, y = mirror * (x * np.cos(angle) - y * np.sin(angle)), x * np.sin(angle) + y * np.cos(angle)
    frame = []
    for axis in (x, y):
        low, high = np.percentile(axis[:, ::8], (1, 99), axis=1)[:, :, None]
        frame.append(2 + (axis - low) / np.maximum(high - low, 1e-6) * (SIZE - 4))
    column, row = (np.floor(axis).astype(np.int64) for axis in frame)
    inside = (column >= 0) & (column < SIZE) & (row >= 0) & (row < SIZE)
    cell = (np.arange(n)[:, None] * SIZE + row) * SIZE + column
    count = np.bincount(cell[inside], minlength=n * SIZE * SIZE).reshape(n, SIZE, SIZE)
    shade = np.log1p(count.astype(np.float64))
    shade /= np.maximum(shade.max(axis=(1, 2), keepdims=True), 1e-9)
    return shade


def _rotation(angle: float) -> Floats:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
