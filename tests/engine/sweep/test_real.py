"""Sweeps of photographs with a model from a weight cache, by a real engine.

What is tested is what processes do together: the worker's environment, its processes and commands. What a
sweep makes of its images is tested in `test_image_sets.py`, in one process.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from engine import report
from engine.plan.plan import Plan
from engine.plan.resources import Resources
from engine.protocol.events import (
    BitsTabled,
    ChunkFinished,
    ImageUnreadable,
    ModelLoaded,
    SessionClosed,
    SetsPrepared,
    WorkerStarted,
)
from engine.protocol.messages import Status
from engine.service import client, request
from engine.session import attempts, store
from engine.session.layout import JOURNAL
from engine.session.session import Session
from tests.real import SMALL, STUDY, cache_weights, openood_root, random_model
from tests.running import follow

PLAN = {
    "models": (SMALL,),
    "bits": ("FP32", "W4A4"),
    **STUDY,
    "scores": ("msp", "knn"),
    "score_parameters": {"knn": {"k": 2}},
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Hugging Face cache with one model, named to the worker; there is no network."""
    home = tmp_path_factory.mktemp("hf")
    cache_weights(home, SMALL, random_model(SMALL))
    before = dict(os.environ)
    os.environ.update(HF_HOME=str(home), HF_HUB_OFFLINE="1")
    yield home
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return openood_root(tmp_path / "data")


class Whole(NamedTuple):
    """A session swept to its end, in chunks of eight, and where its images lie."""

    session: Path
    root: Path

    def cut(self, place: Path, after: bytes, count: int = 1) -> Path:
        """Copy the session as it was after its `count`-th event of a kind."""
        shutil.copytree(self.session, place, ignore=shutil.ignore_patterns("lease*"))
        lines = (self.session / JOURNAL).read_bytes().splitlines(keepends=True)
        last = [at for at, line in enumerate(lines) if after in line][count - 1]
        (place / JOURNAL).write_bytes(b"".join(lines[: last + 1]))
        return place


@pytest.fixture(scope="module")
def whole(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    root = openood_root(tmp_path_factory.mktemp("whole") / "data")
    session = begin(Plan(**{**PLAN, "chunk_images": 8}), given(root))  # type: ignore[arg-type]
    assert closed(session).outcome == "finished"
    return Whole(session, root)


def begin(plan: Plan, resources: Resources) -> Path:
    settled, resources, _ = request.settle(plan, resources)
    session = store.create(settled, resources.names(), title="real")
    client.start(session, resources)
    return session


def given(root: Path, **changes: object) -> Resources:
    return Resources(**{"data": str(root), "devices": "cpu", "any_accuracy": True, **changes})  # type: ignore[arg-type]


def events_of(session: Path) -> list[object]:
    return [entry.event for entry in Session.at(session).entries]


def arrays_of(session: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted((session / "arrays").glob("*.npy"))}


def closed(session: Path) -> SessionClosed:
    last = follow(session)[-1].event
    assert isinstance(last, SessionClosed)
    return last


def test_an_openood_folder_is_swept_and_the_journal_says_what_moves_a_number(
    weights: Path, root: Path
) -> None:
    (root / "images_classic/texture/banded/00003.jpg").write_text("no image")
    session = begin(Plan(**PLAN), given(root))  # type: ignore[arg-type]
    assert closed(session).outcome == "finished", closed(session).reason
    events = events_of(session)
    prepared = next(e for e in events if isinstance(e, SetsPrepared))
    assert [(s.name, s.count, s.expected) for s in prepared.sets] == [
        ("imagenet", 40, 45_000),
        ("openimage-o", 24, 15_869),
        ("textures", 24, 5_160),
    ]
    assert prepared.calibrations[0].set == "imagenet-held-out" and prepared.fit is not None
    evaluated = {line.split()[0] for line in (root / "benchmark_imglist/imagenet/test_imagenet.txt").open()}
    assert not evaluated & set(prepared.calibrations[0].images)
    (model,) = (e for e in events if isinstance(e, ModelLoaded))
    assert (model.size, model.crop, model.interpolation, model.classes) == (160, 0.95, "bicubic", 1000)
    assert "Hugging Face" in model.origin and len(model.digest) == 64
    worker = next(e for e in events if isinstance(e, WorkerStarted))
    assert {"pillow", "libjpeg", "timm"} <= set(worker.versions)
    (broken,) = (e for e in events if isinstance(e, ImageUnreadable))
    assert broken.set == "textures" and "00003.jpg" in broken.name
    found = report.document(Session.at(session))
    assert {(c.name, c.n_id, c.n_ood) for c in found.variants[0].sets} == {
        ("openimage-o", 40, 24),
        ("textures", 40, 23),
    }
    assert str(root) not in (session / JOURNAL).read_text()


@pytest.mark.parametrize("saved", [True, False])
def test_an_interrupted_sweep_goes_on_with_or_without_saved_quantizers_to_the_same_bits(
    whole: Whole, tmp_path: Path, saved: bool
) -> None:
    cut = whole.cut(tmp_path / "cut", b"chunk.finished", 2)
    assert len(list((cut / "quantized").iterdir())) == 1
    if not saved:
        shutil.rmtree(cut / "quantized")
    asked = request.prepare(None, None, str(cut), resources=Resources(any_accuracy=True))
    client.start(asked.session, asked.resources)
    assert closed(cut).outcome == "finished"
    assert arrays_of(cut) == arrays_of(whole.session)


def test_what_was_calibrated_before_an_interruption_is_not_calibrated_again(
    whole: Whole, tmp_path: Path
) -> None:
    cut = whole.cut(tmp_path / "cut", b"bits.tabled")
    assert not any(isinstance(event, ChunkFinished) for event in events_of(cut))
    (state,) = (cut / "quantized").iterdir()
    written = state.stat().st_mtime_ns
    client.start(cut, given(whole.root))
    assert closed(cut).outcome == "finished"
    assert state.stat().st_mtime_ns == written
    # What the attempt that was cut off said of it is void, so it is said again.
    assert sum(isinstance(e, BitsTabled) for e in attempts.counted(events_of(cut))) == 1
    assert arrays_of(cut) == arrays_of(whole.session)


def test_a_killed_worker_takes_its_processes_along_and_two_devices_give_the_bits_of_one(whole: Whole) -> None:
    plan = Plan(**{**PLAN, "chunk_images": 8})  # type: ignore[arg-type]
    session = begin(plan, given(whole.root, devices="cpu,cpu"))
    reader, deadline = Session.at(session).follow(), time.monotonic() + 60
    while not any(isinstance(e.event, ChunkFinished) for e in reader.poll()) and time.monotonic() < deadline:
        time.sleep(0.02)
    status = client.call(Status())
    assert status is not None
    daemon = psutil.Process(status.process)
    (worker,) = daemon.children()
    below = worker.children(recursive=True)
    assert len(below) >= 3
    worker.kill()
    _, left = psutil.wait_procs(below, timeout=15)
    assert not left, [process.cmdline() for process in left]
    assert closed(session).outcome == "finished"
    assert arrays_of(session) == arrays_of(whole.session)
    assert {e.device for e in events_of(session) if isinstance(e, WorkerStarted)} == {"cpu,cpu"}


@pytest.mark.parametrize(
    ("changes", "resources", "words"),
    [
        ({"ood_sets": ("ninco",)}, {}, ("ninco", "data check")),
        ({"models": ("vit-wide",)}, {}, ("imagenet", "fractals")),
        ({"ood_sets": ("noise",)}, {}, ("noise", "photographs")),
        ({}, {"data": ""}, ("--data",)),
        ({"share": 1.5}, {}, ("share", "1.5")),
    ],
)
def test_what_does_not_fit_together_is_refused_before_a_session_is_made(
    root: Path, changes: dict[str, object], resources: dict[str, object], words: tuple[str, ...]
) -> None:
    from engine.errors import InputError

    with pytest.raises(InputError) as caught:
        request.settle(Plan(**{**PLAN, **changes}), given(root, **resources))  # type: ignore[arg-type]
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_plan_file_names_checkpoints_and_folders_beside_it(root: Path, tmp_path: Path) -> None:
    import json
    import subprocess
    import sys

    import torch

    from engine.sweep.loaded_models import state_digest
    from tests.real import photographs_like

    place = tmp_path / "plans"
    for label in ("cat", "dog"):
        photographs_like(place / "pets" / "test" / label, 20, ord(label[0]))
        photographs_like(place / "pets" / "train" / label, 8, ord(label[1]))
    photographs_like(place / "birds", 20, 5)
    models = {name: random_model(SMALL, at, num_classes=2) for at, name in enumerate(("model", "model_ema"))}
    states = {
        name: {f"module.{key}": value for key, value in model.state_dict().items()}
        for name, model in models.items()
    }
    torch.save({**states, "epoch": 3}, place / "mine.pth")
    (place / "plan.toml").write_text(
        'models = ["mine"]\nbits = ["FP32", "W8A8"]\nid_set = "pets"\ncalibration_images = 4\n'
        '[checkpoints]\nmine = { file = "mine.pth", model = "test_vit" }\n'
        '[id]\npets = "pets/test"\n[train]\npets-train = "pets/train"\n[folders]\nbirds = "birds"\n'
    )
    command = [sys.executable, "-m", "qood_tui", "run", "plans/plan.toml", "--json", "--devices", "cpu"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["plan"]["calibration_set"] == "pets-train" and found["plan"]["share"] == 1.0
    assert [(s["name"], s["count"]) for s in found["images"]] == [("pets", 40), ("birds", 20)]
    assert found["models"][0]["classes"] == 2 and found["models"][0]["size"] == 160
    averaged = subprocess.run([*command, "--ema"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    for one, entry, other in ((ran, "model", "model_ema"), (averaged, "model_ema", "model")):
        (loaded,) = json.loads(one.stdout)["models"]
        assert loaded["digest"] == state_digest(models[entry])
        assert loaded["weights"]["entry"] == f"entry '{entry}'"
        assert loaded["weights"]["prefixes"] == ["module."]
        assert loaded["weights"]["beside"] == [other, "epoch"]
        told = f"from entry '{entry}'; not used: {other}, epoch; prefixes stripped: module."
        assert told in one.stderr
        assert told in report.render(
            report.document(Session.at(Path(json.loads(one.stdout)["session"]))), "md"
        )


def test_a_refused_run_leaves_nothing_and_no_path(root: Path) -> None:
    import subprocess
    import sys

    bad = root / "bad.pth"
    bad.write_text("no weights")
    before = len(store.folders())
    command = [sys.executable, "-m", "qood_tui", "run", "--preset", "kuang-wong-2026", "--data", str(root)]
    ran = subprocess.run(
        [*command, "--checkpoint", f"mine={SMALL.split('.')[0]}:{bad}", "--devices", "cpu"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 2 and "checkpoint mine" in ran.stderr and "Traceback" not in ran.stderr
    assert "'bad.pth'" in ran.stderr and len(store.folders()) == before
