"""What calibrating RepQ-ViT costs: vectorised over channels against a loop over them, and its memory."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from engine.plan.bits import Bits
from engine.quantize.grids.search import PERCENTILES
from engine.quantize.grids.uniform import channels_first, fake_quantize
from engine.quantize.methods import repq
from engine.quantize.sites import Widths

IMAGES = 32
WHAT = ("forward", "package", "loop")


def figures() -> Iterator[tuple[str, float, float, str]]:
    """Yield name, value, bound and unit; each run is a process of its own, so that peaks are its own."""
    found = {what: _measured(what) for what in WHAT}
    share = found["package"]["seconds"] / found["loop"]["seconds"]
    above = (found["package"]["peak"] - found["forward"]["peak"]) / 1e9
    seconds = ", ".join(f"{what} {found[what]['seconds']:.1f} s" for what in WHAT)
    print(f"       calibrating a ViT-S on {IMAGES} images: {seconds}")
    yield "repq W4A4 on a ViT-S, share of a loop over channels", share, 0.2, ""
    yield "its peak memory above the FP32 forward pass", above, 1.5, "GB"


def _measured(what: str) -> dict[str, float]:
    out = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.calibration", what],
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, float] = json.loads(out.stdout)
    return found


def loop_over_channels(x: Tensor, bits: int, axis: int | None) -> tuple[Tensor, Tensor]:
    """Search as `best_percentile` does, one channel after the other, as one would write it first."""
    found = [_one_channel(row, bits) for row in channels_first(x, axis)]
    return torch.stack([scale for scale, _ in found]), torch.stack([zero for _, zero in found])


def _one_channel(row: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    least, best = torch.inf, (row.new_tensor(1.0), row.new_tensor(0.0))
    for share in PERCENTILES:
        high, low = torch.quantile(row, share), torch.quantile(row, 1 - share)
        scale = (high - low) / (2**bits - 1)
        zero_point = torch.round(-low / scale)
        error = float((fake_quantize(row, scale, zero_point, bits) - row).square().mean())
        if error < least:
            least, best = error, (scale, zero_point)
    return best


def _run(what: str) -> dict[str, Any]:
    torch.manual_seed(0)
    model = VisionTransformer(embed_dim=384, depth=12, num_heads=6).eval()
    images = torch.randn(IMAGES, 3, 224, 224)
    if what == "loop":
        repq.best_percentile = loop_over_channels
    began = time.monotonic()
    if what == "forward":
        with torch.inference_mode():
            model(images)
    else:
        repq.RepQ().quantize(model, Widths(Bits(4, 4)), images)
    seconds = time.monotonic() - began
    return {"seconds": seconds, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


if __name__ == "__main__":
    print(json.dumps(_run(sys.argv[1])))
