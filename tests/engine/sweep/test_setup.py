"""A sweep is set up in one go: models, then sets, then checks, before anything is computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import InputError
from engine.images.image_set import digest_of
from engine.plan.resources import Resources
from engine.protocol.events import BatchSized, Logged, ModelLoaded, PhaseChanged, SetsPrepared
from engine.protocol.messages import Job
from engine.session import store
from engine.sweep import loaded_models, setup
from engine.sweep.retry import RetryControl
from engine.sweep.setup import set_up
from engine.sweep.worker import started
from tests.engine.sweep.setups import set_up_here, tiny_plan
from tests.sweeping import DecodersHere, workers_here


def counting(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, calls: Counter[str]) -> None:
    """Count the calls of a function that a module uses."""
    function: Callable[..., Any] = getattr(module, name)

    def counted(*arguments: Any) -> Any:
        calls[name] += 1
        return function(*arguments)

    monkeypatch.setattr(module, name, counted)


def test_models_and_sets_are_loaded_and_described_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Counter[str]()
    for name in ("open_sets", "without_copies"):
        counting(monkeypatch, setup, name, calls)
    counting(monkeypatch, loaded_models, "load", calls)
    named = loaded_models.load  # the model's own file names its classes

    def load_named(*arguments: Any) -> Any:
        loaded = named(*arguments)
        return loaded._replace(class_names=tuple(f"class {i}" for i in range(loaded.classes)))

    monkeypatch.setattr(loaded_models, "load", load_named)
    with set_up_here(tmp_path, tiny_plan(models=("vit-narrow", "deit3-wide"))) as here:
        assert calls == {"load": 2, "open_sets": 1, "without_copies": 1}
        phases = [event.phase for event in here.of(PhaseChanged)]
        assert phases == ["models", "images", "checking"]
        assert [event.model for event in here.of(ModelLoaded)] == ["vit-narrow", "deit3-wide"]
        assert here.of(SetsPrepared) == [here.setup.prepared]
        assert here.of(BatchSized) == [BatchSized(0, here.setup.batch)] and here.setup.batch == 30
        assert here.setup.models.class_names[0] == "class 0"
        assert list(here.setup.firsts) == [0, 30, 60, 90] and here.setup.sets.rows == 100
        assert here.setup.output_writer() is None
        assert [path.name for path in here.setup.session.iterdir()] == ["journal.jsonl"]


def test_what_is_learnt_from_is_not_evaluated(tmp_path: Path) -> None:
    plan = tiny_plan(scores=("msp", "knn"), fit_images=60, calibration_draws=2)
    with set_up_here(tmp_path, plan) as here:
        sets, prepared = here.setup.sets, here.setup.prepared
        evaluated = {
            digest for at, images in enumerate(sets.sets) for digest in images.digests(sets.chosen(at))
        }
        assert sets.fit is not None
        for pool in (*sets.calibrations, sets.fit):
            assert not evaluated & set(pool.images.digests(pool.chosen))
        assert [len(pool.chosen) for pool in sets.calibrations] == [4, 4]
        for pool, draw in zip(sets.calibrations, prepared.calibrations, strict=True):
            labels = pool.images.labels[pool.chosen]
            assert draw.digest == digest_of(pool.images.digests(pool.chosen), labels)
        assert not np.array_equal(*(pool.chosen for pool in sets.calibrations))


@pytest.mark.parametrize(
    ("changes", "resources", "field"),
    [
        ({"score_parameters": {"msp": {"k": 3}}}, {}, "score_parameters"),
        ({"method_parameters": {"k": 3}}, {}, "method_parameters"),
        ({"id_set": "missing"}, {}, "data"),
        ({}, {"classes": "two.txt"}, "classes"),
    ],
)
def test_what_cannot_be_swept_is_refused_as_early_as_it_is_known(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    resources: dict[str, Any],
    field: str,
) -> None:
    calls = Counter[str]()
    counting(monkeypatch, setup, "without_copies", calls)
    counting(monkeypatch, loaded_models, "load", calls)
    (tmp_path / "two.txt").write_text("cat\ndog\n")
    monkeypatch.chdir(tmp_path)
    plan = tiny_plan(**changes)
    job = Job(str(store.create(plan, (), tmp_path)), plan, Resources(devices="cpu", **resources), 0)
    with workers_here(DecodersHere(1)) as workers, pytest.raises(InputError) as caught:
        set_up(job, started(job, workers, {}), workers, RetryControl(lambda _: None, lambda: False))
    assert caught.value.field == field
    assert calls == ({} if "parameters" in field else {"load": 1})


def test_warnings_are_emitted_and_a_plan_that_keeps_outputs_has_a_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup.preflight, "check", lambda *_: ["a doubt"])
    with set_up_here(tmp_path, tiny_plan(keep_outputs=True, fit_images=20)) as here:
        assert Logged("warning", "a doubt") in here.events
        writer = here.setup.output_writer()
        assert writer is not None and writer.sizes == {"vit-narrow": (50, 64)}
