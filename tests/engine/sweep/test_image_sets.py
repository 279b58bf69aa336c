"""What a sweep makes of its image sets: labels, copies, held-out and unreadable images, a disk that goes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from engine import report
from engine.plan.plan import Plan
from engine.plan.resources import Checkpoint, Resources
from engine.protocol.events import (
    AnyEvent,
    ChunkFinished,
    ImageUnreadable,
    Logged,
    PhaseChanged,
    SetsPrepared,
)
from engine.service import request
from engine.session import store
from engine.session.session import Session
from engine.sweep import retry
from tests.real import SMALL, STUDY, openood_root, photographs_like, random_model
from tests.sweeping import Stop, run_until

LISTS = Path("benchmark_imglist", "imagenet")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """Return a random model of 1,000 classes and 48 pixels."""
    file = tmp_path_factory.mktemp("model") / "mine.pth"
    torch.save(random_model(SMALL, num_classes=1000, img_size=48).state_dict(), file)
    return Checkpoint(str(file), SMALL)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return openood_root(tmp_path / "data")


def swept(
    root: Path,
    model: Checkpoint,
    stop: Stop | None = None,
    machine: dict[str, object] | None = None,
    **plan: object,
) -> tuple[Path, str]:
    """Sweep a plan of one model in this process; return its session and the outcome, or why it failed."""
    there = {"data": str(root), "devices": "cpu", "any_accuracy": True, **(machine or {})}
    given = {"models": ("mine",), "bits": ("FP32", "W8A8"), "scores": ("msp",), **STUDY, **plan}
    settled, resources, _ = request.settle(
        Plan(**given),  # type: ignore[arg-type]
        Resources(checkpoints={"mine": model}, **there),  # type: ignore[arg-type]
    )
    session = store.create(settled, resources.names(), root.with_name("sessions"))
    return session, run_until(session, resources, stop)


def events_of(session: Path) -> list[AnyEvent]:
    return [entry.event for entry in Session.at(session).entries]


def prepared(session: Path) -> SetsPrepared:
    return next(event for event in events_of(session) if isinstance(event, SetsPrepared))


def listed(root: Path, name: str) -> list[str]:
    return [line.split()[0] for line in (root / LISTS / f"{name}.txt").read_text().splitlines()]


def test_a_model_that_guesses_is_stopped_with_a_reason(tmp_path: Path, model: Checkpoint) -> None:
    root = openood_root(tmp_path / "data", val=400)
    _, said = swept(root, model, machine={"any_accuracy": False}, chunk_images=400)
    assert "accuracy" in said and "--any-accuracy" in said


def test_images_that_are_also_evaluated_are_not_learnt_from(root: Path, model: Checkpoint) -> None:
    large = root / "images_largescale"
    for tested, held in list(zip(listed(root, "test_imagenet"), listed(root, "val_imagenet"), strict=False))[
        :2
    ]:
        shutil.copy(large / tested, large / held)
    learning = {"scores": ("msp", "knn"), "score_parameters": {"knn": {"k": 2}}}
    session, said = swept(root, model, **learning)
    assert said == "finished"
    fit = prepared(session).fit
    assert fit is not None and fit.copies == 2 and fit.count == 10
    assert "fit_images" in swept(root, model, **learning, fit_images=11)[1]


def test_without_training_images_a_tenth_of_the_id_set_is_held_out(
    root: Path, model: Checkpoint, tmp_path: Path
) -> None:
    for label in ("a", "b"):
        photographs_like(tmp_path / "pets" / label, 30, ord(label))
    own = {"id": {"pets": str(tmp_path / "pets")}}
    assert "--classes" in swept(root, model, machine=own, id_set="pets", calibration_images=2)[1]
    names = tmp_path / "classes.txt"
    names.write_text("\n".join([f"other{i}" for i in range(998)] + ["a", "b"]))
    told = {**own, "classes": str(names)}
    session, said = swept(root, model, machine=told, id_set="pets", calibration_images=2)
    assert said == "finished"
    assert prepared(session).sets[0].count == 54 and prepared(session).calibrations[0].set == "held-out"
    samples = np.load(session / "arrays" / "samples.npy")
    assert np.bincount(samples[samples[:, 0] == 0, 2])[998:].tolist() == [27, 27]
    warned = [event.text for event in events_of(session) if isinstance(event, Logged)]
    assert any("2 of the 1000 classes" in text for text in warned)


def test_images_without_a_label_count_for_detection_and_not_for_accuracy(
    root: Path, model: Checkpoint
) -> None:
    results = {}
    file = root / LISTS / "test_imagenet.txt"
    whole = file.read_text().splitlines()
    for name, lines in (
        ("all", whole),
        ("one missing", [whole[0].split()[0] + " -1", *whole[1:]]),
        ("none", [line.split()[0] + " -1" for line in whole]),
    ):
        file.write_text("\n".join(lines) + "\n")
        session, said = swept(root, model)
        assert said == "finished"
        results[name] = report.document(Session.at(session))
    for name in ("one missing", "none"):
        found = results[name]
        assert found.deltas[0].main.mean.value == pytest.approx(results["all"].deltas[0].main.mean.value)
        assert {cell.n_id for cell in found.variants[0].sets} == {40}
    assert "top1" in results["one missing"].deltas[0].of_labels
    assert set(results["none"].variants[0].values.values()) == {None}
    assert not results["none"].deltas[0].of_labels


def test_calibration_images_that_cannot_be_decoded_are_replaced_and_counted(
    root: Path, model: Checkpoint
) -> None:
    held = listed(root, "val_imagenet")
    for name in held[:6]:
        path = root / "images_largescale" / name
        path.write_bytes(path.read_bytes()[:500])
    session, said = swept(root, model, calibration_images=6)
    assert said == "finished"
    (draw,) = prepared(session).calibrations
    assert set(draw.images) == set(held[6:]) and draw.unreadable > 0


@pytest.mark.parametrize("lost", [".", "images_classic/texture"])
def test_a_disk_that_goes_away_pauses_the_sweep_and_costs_no_image(
    root: Path, model: Checkpoint, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(retry, "STEP_SECONDS", 0.01)
    place = (root / lost).resolve()
    away = place.with_name("away")

    def happens(events: list[AnyEvent]) -> bool:
        """The disk goes at the first chunk, and comes back once the sweep has paused."""
        match events[-1]:
            case ChunkFinished(first=0):
                place.rename(away)
            case PhaseChanged(phase="paused"):
                away.rename(place)
        return False

    session, said = swept(root, model, happens, chunk_images=4)
    assert said == "finished"
    phases = [event.phase for event in events_of(session) if isinstance(event, PhaseChanged)]
    assert phases.count("paused") == 1 and phases[phases.index("paused") + 1] == "sweeping", phases
    assert not any(isinstance(event, ImageUnreadable) for event in events_of(session))
    assert report.document(Session.at(session)).rows == 88
