"""Scores that learn, in a real sweep; and a sweep that stops when it has seen enough."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image

from engine import catalog, report
from engine.datasets.discover import ood_set
from engine.errors import InputError
from engine.images import demo
from engine.images.decoders import Decoders
from engine.images.disk_images import DiskImages
from engine.images.sets import HeldOutPool
from engine.models.loaded import load
from engine.plan.bits import Bits
from engine.plan.plan import Plan
from engine.plan.validation import validated
from engine.plan.variants import Variant
from engine.protocol.events import AnyEvent, DeltasMeasured, FitSeen, Logged, SessionClosed, SetsPrepared
from engine.report.sections import limits
from engine.scores.outputs import FitSet, Outputs
from engine.session.arrays import Arrays
from engine.session.place import Folder
from engine.session.session import Session
from engine.sweep.batches import Batches
from engine.sweep.calibration import CalibratedVariant
from engine.sweep.devices.backend import backend
from engine.sweep.fit_pass import FitPass
from engine.sweep.fitting import Fitting
from engine.sweep.retry import RetryControl
from tests.running import CPU, small_plan, sweep

SCORES = ("msp", "mahalanobis", "vim", "ash_s", "knn")
PLAN = small_plan(
    models=("vit-narrow",), bits=("FP32", "W4A4"), scores=SCORES, headline="vim", fit_images=200
)


@pytest.fixture(scope="module")
def session() -> Path:
    return sweep(PLAN)


def test_scores_that_learn_are_swept_and_measured(session: Path) -> None:
    events = [entry.event for entry in Session.at(session).entries]
    assert isinstance(events[-1], SessionClosed) and events[-1].outcome == "finished"
    prepared = next(e for e in events if isinstance(e, SetsPrepared))
    assert prepared.fit is not None and prepared.fit.count == 200
    warned = [e.text for e in events if isinstance(e, Logged)]
    assert sum("ash_s: it assumes features" in text for text in warned) == 1
    found = report.document(Session.at(session))
    assert {cell.score for row in found.variants for cell in row.sets} == set(SCORES)
    assert all(cell.value("auroc") is not None for row in found.variants for cell in row.sets)
    fp32, low = (np.mean([c.value("auroc") for c in row.sets if c.score == "vim"]) for row in found.variants)
    assert fp32 > 0.75 and fp32 != low


def test_every_variant_is_fitted_on_its_own_features(session: Path) -> None:
    rows = Arrays(Folder(session), PLAN).first(100)
    assert not np.array_equal(rows.values("mahalanobis", 0, 0), rows.values("mahalanobis", 1, 0))


def test_fit_images_are_neither_evaluated_nor_calibrated_on() -> None:
    others = {image.tobytes() for image in demo.load_set("fractals").images}
    others |= {image.tobytes() for image in demo.load_set(catalog.DEMO_CALIBRATION).images}
    fit = demo.load_set(catalog.DEMO_FIT).images
    assert not any(image.tobytes() in others for image in fit)
    assert len({image.tobytes() for image in fit}) == len(fit)


def fitted_on(pool: HeldOutPool, said: list[AnyEvent]) -> FitSet:
    """Return what a model says of a fit set, shown to it seven images at a time."""
    loaded = load("vit-narrow", torch.device("cpu"), CPU, print)
    variant = CalibratedVariant(Variant("vit-narrow", Bits(), "none"), loaded.model, loaded, "")
    control, batches = RetryControl(said.append, lambda: False), Batches(7, backend("cpu"), said.append)
    fit_pass = FitPass(pool, torch.device("cpu"), batches, control)
    with ThreadPoolExecutor(2) as threads:
        fit_pass.run([variant], [loaded.geometry], threads)
    return fit_pass.fit_set(0, variant)


def test_a_score_that_cannot_be_fitted_is_said_and_has_no_value() -> None:
    said: list[AnyEvent] = []
    plan = small_plan(scores=("msp", "knn"), fit_images=20)
    images = demo.load_set(catalog.DEMO_FIT)
    fit = fitted_on(HeldOutPool(images, np.arange(20), 20, 20), said)
    scorers = Fitting(plan, said.append).fitted("vit-narrow FP32", ("msp", "knn"), fit)
    assert any("knn: k = 50 needs" in e.text for e in said if isinstance(e, Logged))
    logits = torch.zeros(3, 50)
    assert torch.isnan(scorers["knn"](Outputs(logits, torch.zeros(3, 64)))).all()


def test_fit_images_that_cannot_be_read_are_not_counted_as_fitted(tmp_path: Path) -> None:
    for number, image in enumerate(demo.load_set(catalog.DEMO_FIT).images[:12]):
        Image.fromarray(image).save(tmp_path / f"{number:02d}.png")
    for torn in ("03.png", "07.png"):
        whole = (tmp_path / torn).read_bytes()
        (tmp_path / torn).write_bytes(whole[: len(whole) // 2])
    decoders = Decoders(1)
    try:
        images = DiskImages(ood_set("mine", str(tmp_path)), decoders)
        said: list[AnyEvent] = []
        fitted_on(HeldOutPool(images, np.arange(12), 12, 12), said)
    finally:
        decoders.close()
    assert [event for event in said if isinstance(event, FitSeen)] == [FitSeen(10, 2)]


def test_a_report_says_on_how_many_images_scores_were_fitted(session: Path) -> None:
    found = report.document(Session.at(session))
    assert found.fit_seen == FitSeen(200)
    assert "scores fitted on 200 images of fractals-fit" in report.render(found, "md")
    torn = msgspec.structs.replace(found, fit_seen=FitSeen(198, 2))
    assert torn.fit is not None and torn.fit.count == 200
    told = report.render(torn, "md")
    assert "scores fitted on 198 images of fractals-fit" in told
    assert "fitted once, on 198 images" in told and "| fractals-fit | fit | 200 | 1,500 | - | 2 |" in told
    old = report.render(msgspec.structs.replace(found, fit_seen=None), "md")
    assert "scores fitted on at most 200 images of fractals-fit" in old
    # A fit set that is looked at only to be kept fits nothing.
    kept = msgspec.structs.replace(found.plan, scores=("msp",), headline="msp", keep_outputs=True)
    assert any("fitted once" in line for line in limits.limits(found))
    assert not any("fitted once" in line for line in limits.limits(msgspec.structs.replace(found, plan=kept)))


def test_a_sweep_stops_when_the_interval_of_the_mean_is_narrow_enough() -> None:
    plan = small_plan(
        models=("vit-narrow",), bits=("FP32", "W4A4"), id_images=600, ood_images=240, stop_width=60.0
    )
    session = sweep(plan)
    entries = Session.at(session).entries
    events = [entry.event for entry in entries]
    prepared = next(e for e in events if isinstance(e, SetsPrepared))
    rows = Session.at(session).rows
    assert rows < prepared.rows and Session.at(session).state == "finished"
    assert any("enough after" in e.text for e in events if isinstance(e, Logged))
    last = [e for e in events if isinstance(e, DeltasMeasured)][-1]
    assert last.sequential and last.rows == rows
    assert all((d.high - d.low) * 100 < 60 for d in last.by_bits.values())
    found = report.document(Session.at(session))
    assert found.sequential and found.rows == rows
    assert all(row.main.mean.p is None for row in found.deltas)


def test_sizes_that_make_no_sense_are_refused() -> None:
    for changes in ({"fit_images": 1501}, {"stop_width": 0.0}, {"fit_images": 1}):
        with pytest.raises(InputError, match=next(iter(changes))):
            validated(small_plan(**changes))
    assert isinstance(validated(small_plan(stop_width=3.5)), Plan)


def test_parameters_of_scores_are_in_the_plan_and_checked_before_anything_runs() -> None:
    plan = small_plan(
        models=("vit-narrow",),
        bits=("FP32",),
        scores=("msp", "knn"),
        score_parameters={"knn": {"k": 5}},
        fit_images=20,
    )
    rows = Arrays(Folder(sweep(plan)), plan).first(100)
    assert np.isfinite(rows.values("knn", 0, 0)).all()
    wrong = msgspec.structs.replace(plan, score_parameters={"knn": {"k": 2.5}})
    closed = Session.at(sweep(wrong)).entries[-1].event
    assert isinstance(closed, SessionClosed) and closed.outcome == "refused"
    assert "knn: k = 2.5" in closed.reason and "int" in closed.reason
    with pytest.raises(InputError, match="score_parameters"):
        validated(small_plan(score_parameters={"vim": {"dimensions": 3}}))
