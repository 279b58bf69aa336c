"""What a sweep of photographs costs beyond its forward passes, what memory it takes, what survives kills."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import torch

from engine import catalog
from engine.models.loaded import load
from engine.plan.plan import Plan
from engine.plan.resources import Checkpoint, Resources
from engine.protocol.events import BitsTabled, ChunkFinished, SessionClosed
from engine.protocol.messages import Status
from engine.quantize.formats import packed
from engine.service import client, request
from engine.session import store
from engine.session.session import Session
from engine.sweep.batches import Passes
from engine.sweep.calibration import CalibratedVariant
from engine.sweep.saved_variants import SavedVariants
from engine.system.machine import usable_cores
from tests.conftest import SHARED
from tests.real import SMALL, photographs_like, random_model

PHOTOGRAPHS = SHARED / "data" / "imagenet-sample"
DEIT = "deit_small_patch16_224"
ROUNDS = 2
KILLS = 20
MISFORTUNES = 60


def figures() -> Iterator[tuple[str, float, float, str]]:
    """Yield name, value, bound and unit."""
    with tempfile.TemporaryDirectory(prefix="qood-scale-") as place:
        if PHOTOGRAPHS.is_dir():
            ratios = [overhead(Path(place) / str(number)) for number in range(ROUNDS)]
            print(f"       sweep over forward passes: {', '.join(f'{ratio:.3f}' for ratio in ratios)}")
            yield "sweep of photographs over its forward passes", min(ratios), 1.15, ""
        few, many = memory(Path(place) / "memory")
        print(f"       memory of the worker and its decoders: {few:.0f} and {many:.0f} MB")
        yield "memory at 10,000 images over that at 1,000", many / few, 1.1, ""
        yield f"of {KILLS} kills, sessions that did not resume to the same", kills(), 0, "sessions"
    yield f"of {MISFORTUNES} random misfortunes, sessions that went wrong", misfortunes(), 0, "sessions"


def overhead(place: Path) -> float:
    """Sweep a ViT-S at six bit settings; return its time over that of the forward passes alone."""
    resources = checkpoint(place, DEIT, "deit")
    resources = Resources(
        id={"sample": str(PHOTOGRAPHS)},
        ood={"others": str(some(PHOTOGRAPHS, place / "others", 100))},
        checkpoints=resources.checkpoints,
        devices="cpu",
        any_accuracy=True,
    )
    plan = Plan(
        models=("deit",),
        id_set="sample",
        ood_sets=("others",),
        calibration_set=catalog.HELD_OUT,
        fit_set=catalog.HELD_OUT,
        share=0.12,
        calibration_images=8,
        chunk_images=24,
    )
    session, plan = swept(plan, resources)
    entries = Session.at(session).entries
    chunks = [e for e in entries if isinstance(e.event, ChunkFinished)]
    begun = max(chunks[0].t, *(e.t for e in entries if isinstance(e.event, BitsTabled)))
    whole = chunks[-1].t - begun
    images = sum(e.event.rows for e in chunks[1:] if isinstance(e.event, ChunkFinished))
    return whole / forwards(session, plan, resources, images)


def forwards(session: Path, plan: Plan, resources: Resources, images: int) -> float:
    """Return the seconds that the variants of a session take for so many images and nothing else."""
    source = load("deit", torch.device("cpu"), resources, print)
    ready = []
    for variant in plan.variants():
        model = source.model
        if not variant.bits.is_float:
            about, tensors = packed.read(SavedVariants(session).path(variant))
            model = packed.restore(source.model, about, tensors)
        ready.append(CalibratedVariant(variant, model, source, ""))
    pixels = torch.randint(0, 255, (12, 3, 224, 224), dtype=torch.uint8)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)

    def run(one: CalibratedVariant) -> None:
        Passes(one, {one.float_model.geometry: pixels}, len(pixels), features=False).run_all()

    with ThreadPoolExecutor(usable_cores(), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        began = time.monotonic()
        for _ in range(0, images, len(pixels)):
            list(pool.map(run, ready))
        seconds = time.monotonic() - began
    torch.set_num_threads(threads)
    return seconds * images / (-(-images // len(pixels)) * len(pixels))


def memory(place: Path) -> tuple[float, float]:
    """Return the most memory, in MB, of a worker that sweeps 1,000 images, and of one that sweeps 10,000."""
    photographs_like(place / "ood", 1000, 3)
    photographs_like(place / "id" / "a", 500, 1)
    photographs_like(place / "id" / "b", 500, 2)
    for number in range(9):  # nine more of every file, with another end that decoders pass over
        for folder in ("id/a", "id/b", "ood"):
            for file in sorted((place / folder).glob("0????.jpg")):
                file.with_name(f"{number + 1}{file.name}").write_bytes(file.read_bytes() + bytes([number]))
    resources = checkpoint(place, SMALL, "small", classes=2)
    resources = Resources(
        id={"mine": str(place / "id")},
        ood={"others": str(place / "ood")},
        checkpoints=resources.checkpoints,
        devices="cpu",
        any_accuracy=True,
    )
    used = []
    for share in (0.05, 0.5):
        client.stop()
        time.sleep(1)
        plan = small_plan("small", share=share)
        with watched() as peak:
            swept(plan, resources)
        used.append(peak[0] / 1e6)
    return used[0], used[1]


def kills() -> int:
    """Kill the worker or the daemon at random moments; count sessions that do not end in the same arrays."""
    chance = random.Random(5)
    plan = Plan(models=("vit-narrow", "deit3-wide"), bits=("FP32", "W4A4"), chunk_images=50)
    resources = Resources(devices="cpu")
    began = time.monotonic()
    whole, _ = swept(plan, resources)
    seconds = time.monotonic() - began
    different = 0
    for _ in range(KILLS):
        session = store.create(plan, ())
        client.start(session, resources)
        time.sleep(chance.random() * seconds)
        status = client.call(Status())
        assert status is not None
        daemon = psutil.Process(status.process)
        victim = chance.choice([daemon, *daemon.children()])
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.send_signal(signal.SIGKILL)
        ended = until_closed_or_dead(session, daemon)
        if not ended:
            client.start(session, resources)
            until_closed_or_dead(session, None)
        same = all(
            file.read_bytes() == (session / "arrays" / file.name).read_bytes()
            for file in (whole / "arrays").iterdir()
        )
        different += not same
    return different


def misfortunes() -> int:
    """Count the seeds with which a session went wrong, its sweep and its files being tampered with."""
    test = "tests/engine/sweep/test_misfortunes.py::test_a_resumed_session_is_as_a_fresh_one_or_refused"
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "--tb=no", "-rf", test]
    found = subprocess.run(
        command, env={**os.environ, "QOOD_MISFORTUNES": str(MISFORTUNES)}, capture_output=True, text=True
    )
    if found.returncode not in (0, 1):
        raise RuntimeError(found.stdout + found.stderr)
    return sum(line.startswith("FAILED") for line in found.stdout.splitlines())


def until_closed_or_dead(session: Path, daemon: psutil.Process | None) -> bool:
    """Wait for the end of a session; False if its daemon ended first."""
    reader = Session.at(session).follow()
    while True:
        if any(isinstance(entry.event, SessionClosed) for entry in reader.poll()):
            return True
        if daemon is not None and not _is_alive(daemon):
            return any(isinstance(entry.event, SessionClosed) for entry in reader.poll())
        time.sleep(0.05)


def _is_alive(process: psutil.Process) -> bool:
    """Tell whether a process runs; one that this process has not yet collected does not."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def small_plan(model: str, **changes: object) -> Plan:
    """Return a plan of a small model at two bit settings on sets of the user's own."""
    given = {
        "models": (model,),
        "bits": ("FP32", "W4A4"),
        "id_set": "mine",
        "ood_sets": ("others",),
        "calibration_set": catalog.HELD_OUT,
        "fit_set": catalog.HELD_OUT,
        "calibration_images": 8,
        **changes,
    }
    return Plan(**given)  # type: ignore[arg-type]


def swept(plan: Plan, resources: Resources) -> tuple[Path, Plan]:
    """Sweep a plan to its end."""
    settled, resources, _ = request.settle(plan, resources)
    session = store.create(settled, resources.names())
    client.start(session, resources)
    entries = [entry for found in client.watch(session) for entry in found]
    last = entries[-1].event
    assert isinstance(last, SessionClosed) and last.outcome == "finished", last
    return session, settled


def checkpoint(place: Path, model: str, name: str, classes: int = 1000) -> Resources:
    """Save a model with random weights as a checkpoint."""
    place.mkdir(parents=True, exist_ok=True)
    file = place / f"{name}.pth"
    torch.save(random_model(model, num_classes=classes).state_dict(), file)
    return Resources(checkpoints={name: Checkpoint(str(file), model)})


def some(source: Path, target: Path, count: int) -> Path:
    """Copy some images of a folder into another one."""
    target.mkdir(parents=True)
    for file in sorted(source.rglob("*.*"))[:: 1000 // count]:
        shutil.copy(file, target / file.name)
    return target


@contextlib.contextmanager
def watched() -> Iterator[list[int]]:
    """Measure the most memory that the worker and its children have to themselves."""
    peak, stop = [0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.1):
            status = client.call(Status())
            if status is None:
                continue
            used = 0
            with contextlib.suppress(psutil.Error):
                for process in psutil.Process(status.process).children(recursive=True):
                    with contextlib.suppress(psutil.Error):
                        used += process.memory_full_info().uss
            peak[0] = max(peak[0], used)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        stop.set()
        watcher.join()
