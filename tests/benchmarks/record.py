"""Record the sessions that ship with the project, each by a real run: `make sessions`."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import psutil
import torch
from PIL import Image
from safetensors.torch import save_file

from engine.images.demo import load_set
from engine.models import zoo
from engine.plan.plan import Plan, preset
from engine.plan.resources import Checkpoint, Resources
from engine.protocol.messages import Status
from engine.service import client
from engine.service.request import settle
from engine.session import store
from engine.session.layout import RESERVE
from engine.session.session import Session

SHIPPED = Path(__file__).resolve().parents[2] / "sessions"
CPU = Resources(devices="cpu")


def demo() -> Path:
    """Sweep the demo plan."""
    session = store.create(preset("demo"), (), title="demo")
    _sweep(session, CPU)
    return session


def interrupted() -> Path:
    """Sweep, kill the engine with SIGKILL in the middle, and go on."""
    plan = Plan(
        models=("vit-narrow", "vit-wide"),
        bits=("FP32", "W8A8", "W4A4"),
        id_images=800,
        ood_images=300,
        chunk_images=100,
    )
    session = store.create(plan, (), title="interrupted")
    client.start(session, CPU)
    while Session.at(session).rows < 800:
        time.sleep(0.01)
    status = client.call(Status())
    assert status is not None
    engine = psutil.Process(status.process)
    family = [engine, *engine.children(recursive=True)]
    os.kill(status.process, signal.SIGKILL)
    psutil.wait_procs(family, timeout=20)
    _sweep(session, CPU)
    return session


def failures() -> Path:
    """Sweep two checkpoints on folders of images: one of them diverged in training, one image is torn."""
    with TemporaryDirectory() as place:
        folder = Path(place)
        _checkpoint(folder / "micro", "vit-narrow", diverged=False)
        _checkpoint(folder / "micro-diverged", "deit-narrow", diverged=True)
        _pictures(folder / "fractals", "fractals", 660, by_class=True)
        _pictures(folder / "digit-files", "digits", 300)
        _pictures(folder / "patch-files", "photo-patches", 300)
        torn = folder / "digit-files" / "0017.png"
        torn.write_bytes(torn.read_bytes()[:200])
        resources = Resources(
            devices="cpu",
            id={"fractal-files": str(folder / "fractals")},
            ood={name: str(folder / name) for name in ("digit-files", "patch-files")},
            checkpoints={name: Checkpoint(str(folder / name), "") for name in ("micro", "micro-diverged")},
            any_accuracy=True,
        )
        plan = Plan(
            models=("micro", "micro-diverged"),
            bits=("FP32", "W8A8", "W4A4"),
            id_set="fractal-files",
            ood_sets=(),
            calibration_set="auto",
            fit_set="auto",
            id_images=600,
            ood_images=300,
            chunk_images=100,
        )
        plan, resources, _ = settle(plan, resources)
        session = store.create(plan, resources.names(), title="failures")
        _sweep(session, resources)
        return session


def _checkpoint(folder: Path, name: str, *, diverged: bool) -> None:
    """Save a micro model as timm does; one that diverged has a weight that is no number."""
    loaded = zoo.load_model(name)
    state = {key: value.clone().contiguous() for key, value in loaded.model.state_dict().items()}
    if diverged:
        state["blocks.5.mlp.fc2.bias"][0] = torch.nan
    folder.mkdir(parents=True)
    save_file(state, folder / "model.safetensors")
    about = {
        "architecture": "vit_tiny_patch16_224",
        "num_classes": loaded.classes,
        "model_args": {"img_size": 32, "patch_size": 8, "embed_dim": 64, "depth": 6, "num_heads": 4},
        "pretrained_cfg": {
            "input_size": [3, 32, 32],
            "mean": loaded.mean,
            "std": loaded.std,
            "crop_pct": 1.0,
            "interpolation": "bicubic",
            "num_classes": loaded.classes,
        },
    }
    (folder / "config.json").write_bytes(msgspec.json.encode(about))


def _pictures(folder: Path, name: str, count: int, *, by_class: bool = False) -> None:
    """Write the first images of a made set as files."""
    images = load_set(name)
    for number in range(count):
        within = folder / f"{int(images.labels[number]):02d}" if by_class else folder
        within.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images.images[number]).save(within / f"{number:04d}.png")


def _sweep(session: Path, resources: Resources) -> None:
    client.start(session, resources)
    beyond = len(Session.at(session).entries)
    for entries in client.watch(session, beyond):
        for entry in entries:
            print(entry.seq, type(entry.event).__name__, flush=True)


RECORDERS: dict[str, Callable[[], Path]] = {
    "demo": demo,
    "interrupted": interrupted,
    "failures": failures,
}


def main() -> None:
    """Record the named sessions, or all of them, and put them in their places."""
    for name in sys.argv[1:] or RECORDERS:
        session = RECORDERS[name]()
        target = SHIPPED / name
        shutil.rmtree(target, ignore_errors=True)
        shutil.rmtree(session / "quantized")  # megabytes that the demo makes again in seconds
        for aside in (RESERVE, "lease"):
            (session / aside).unlink(missing_ok=True)
        shutil.move(session, target)
        for folder in (target, target / "arrays"):
            folder.chmod(0o755)


if __name__ == "__main__":
    main()
