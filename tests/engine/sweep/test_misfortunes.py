"""Whatever happens to a sweep and its files: the numbers of a fresh run, or a refusal with a reason."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image

from engine import catalog, report
from engine.archive import verify
from engine.errors import EngineError, QuantizeError
from engine.plan.plan import Plan
from engine.plan.resources import Checkpoint, Resources
from engine.protocol.events import (
    AnyEvent,
    ChunkFinished,
    ImageUnreadable,
    Measured,
    ModelLoaded,
    OutputsKept,
    VariantFailed,
    WorkerStarted,
)
from engine.service import request
from engine.session import attempts, store
from engine.session.place import Folder
from engine.session.session import Session
from engine.sweep import resume
from qood_tui.state.state import fold
from tests.real import SMALL, random_model
from tests.sweeping import Stop, run_until

CLASSES = ("ant", "bee", "cat")
SEEDS = range(int(os.environ.get("QOOD_MISFORTUNES", "8")))  # `make bench` draws many more


class Files:
    """Two folders of small images, and what may happen to them."""

    def __init__(self, root: Path) -> None:
        self.root, self.denied = root, set[Path]()
        self.random = np.random.default_rng(0)
        for name in CLASSES:
            for number in range(11):
                self._write(root / "id" / name / f"{number:02d}.bmp")
        for number in range(13):
            self._write(root / "ood" / f"{number:02d}.bmp")
        (root / "ood" / "torn.bmp").write_bytes((root / "ood" / "00.bmp").read_bytes()[:200])

    def _write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(self.random.integers(0, 255, (24, 24, 3), np.uint8)).save(path)

    def befall(self, what: str, chance: random.Random) -> None:
        """Let something happen to one file."""
        path = chance.choice(sorted(self.root.rglob("*.bmp")))
        match what:
            case "added":
                self._write(path.with_name(f"new-{chance.random()}.bmp"))
            case "removed":
                path.unlink()
            case "replaced":  # as `cp -p` does
                before = path.stat()
                self._write(path)
                os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
            case "swapped":  # as `rsync -t` does
                before, other = path.stat(), path.with_suffix(".tmp")
                self._write(path.with_name("other.bmp"))
                path.with_name("other.bmp").replace(other)
                os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
                other.replace(path)
            case "torn":
                path.write_bytes(path.read_bytes()[: chance.choice((0, 90))])
            case "copied":
                shutil.copy(path, chance.choice(sorted(self.root.rglob("*.bmp"))))
            case "denied":
                self.denied.add(path)
                path.chmod(0o640)  # which moves its change time, as any change of its mode does
            case "allowed":
                for path in self.denied:
                    path.chmod(0o644)
                self.denied.clear()
        time.sleep(0.02)  # one tick of the file system's clock


HAPPENINGS = ("added", "removed", "replaced", "swapped", "torn", "copied", "denied", "allowed")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    file = tmp_path_factory.mktemp("model") / "mine.pth"
    torch.save(random_model(SMALL, num_classes=len(CLASSES), img_size=48).state_dict(), file)
    return Checkpoint(str(file), SMALL)


@pytest.fixture
def permissions(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Files]]:
    """Deny files as their mode would, which does not bind a test that root runs."""
    of: list[Files] = []
    read = Path.read_bytes

    def checked(path: Path) -> bytes:
        if any(path in files.denied for files in of):
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", checked)
    monkeypatch.setattr("engine.images.digests.SETTLING_SECONDS", 0)
    yield of


def drawn_plan(chance: random.Random) -> dict[str, object]:
    return {
        "bits": chance.choice([("FP32",), ("FP32", "W4A4"), ("FP32", "W8A8", "W4A8")]),
        "method": chance.choice(["minmax", "repq"]),
        "scores": chance.choice([("msp",), ("msp", "knn")]),
        "calibration_draws": chance.choice([1, 2]),
        "keep_outputs": chance.random() < 0.3,
        "chunk_images": chance.choice([7, 16]),
        "seed": chance.randrange(4),
    }


def after(count: int) -> Stop:
    return lambda events: len(events) >= count


def planned(place: Path, model: Checkpoint, **changes: object) -> tuple[Plan, Resources]:
    """Return a plan of one tiny model on the two folders, and where they lie."""
    given = Resources(
        id={"mine": str(place / "images" / "id")},
        ood={"others": str(place / "images" / "ood")},
        checkpoints={"tiny": model},
        devices="cpu",
        any_accuracy=True,
    )
    plan = Plan(
        models=("tiny",),
        id_set="mine",
        ood_sets=("others",),
        share=1.0,
        calibration_set=catalog.HELD_OUT,
        fit_set=catalog.HELD_OUT,
        calibration_images=2,
        fit_images=3,
        **changes,  # type: ignore[arg-type]
    )
    settled, given, _ = request.settle(plan, given)
    return settled, given


@pytest.mark.parametrize("seed", SEEDS)
def test_a_resumed_session_is_as_a_fresh_one_or_refused(
    tmp_path: Path, permissions: list[Files], model: Checkpoint, seed: int
) -> None:
    chance, place = random.Random(seed), tmp_path
    files = Files(place / "images")
    permissions.append(files)
    settled, given = planned(place, model, **drawn_plan(chance))
    session = store.create(settled, given.names(), place / "sessions")
    with_crops = msgspec.structs.replace(given, crops=str(place / "crops"))
    has_changed = False
    for last_event in [chance.randrange(45) for _ in range(chance.randrange(1, 4))] + [None]:
        kept = with_crops if chance.random() < 0.5 else given
        outcome = run_until(session, kept, stop=None if last_event is None else after(last_event))
        if outcome != "killed":
            break
        has_finished_rows = Session.at(session).rows > 0
        for what in chance.choices(HAPPENINGS, k=chance.choice((0, 1, 2))):
            files.befall(what, chance)
            has_changed |= has_finished_rows
    fresh = store.create(settled, given.names(), place / "sessions")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))
        expected = run_until(fresh, given)
    if outcome != "finished":  # refused: only for what has changed, or what a fresh run refuses too
        assert has_changed or outcome == expected, outcome
        return
    assert expected == "finished", expected
    verdict = verify.verify(Folder(session))
    assert not verdict.damage, verdict.damage
    for array in (fresh / "arrays").iterdir():
        assert array.read_bytes() == (session / "arrays" / array.name).read_bytes(), array.name
    one, other = report.document(Session.at(session)), report.document(Session.at(fresh))
    for name in (
        "images",
        "unreadable",
        "calibrations",
        "fit",
        "variants",
        "deltas",
        "digests",
        "bit_tables",
    ):
        assert getattr(one, name) == getattr(other, name), name
    lost = [e for e in attempts.counted(_events(session)) if isinstance(e, ImageUnreadable)]
    assert len(lost) == len(set(lost)) == sum(one.unreadable.values())


def _events(session: Path) -> list[AnyEvent]:
    return [entry.event for entry in Session.at(session).entries]


def until(session: Path, given: Resources, kind: type, rows: int = 0) -> None:
    """Sweep a session and kill it right after its first event of a kind from row `rows` on."""

    def is_reached(events: list[AnyEvent]) -> bool:
        finished = sum(event.rows for event in events if isinstance(event, ChunkFinished))
        return finished >= rows and isinstance(events[-1], kind)

    assert run_until(session, given, stop=is_reached) == "killed"


@pytest.mark.parametrize(
    ("what", "kind"), [("added", Measured), ("removed", OutputsKept), ("replaced", Measured)]
)
def test_before_the_first_chunk_sets_may_still_change(
    tmp_path: Path, model: Checkpoint, what: str, kind: type
) -> None:
    files, chance = Files(tmp_path / "images"), random.Random(1)
    keeps = kind is OutputsKept
    plan, given = planned(tmp_path, model, bits=("FP32", "W4A4"), keep_outputs=keeps, chunk_images=16)
    session = store.create(plan, given.names(), tmp_path / "sessions")
    until(session, given, kind)  # the first look is at a chunk that is not finished
    files.befall(what, chance)
    assert run_until(session, given) == "finished"
    assert not verify.verify(Folder(session)).damage
    fresh = store.create(plan, given.names(), tmp_path / "sessions")
    assert run_until(fresh, given) == "finished"
    assert report.document(Session.at(session)).deltas == report.document(Session.at(fresh)).deltas


@pytest.mark.parametrize("rows", [0, 16])
def test_killed_between_an_unreadable_image_and_its_chunk_the_image_is_counted_once(
    tmp_path: Path, model: Checkpoint, rows: int
) -> None:
    files = Files(tmp_path / "images")
    for path in sorted((files.root / "ood").iterdir())[::2]:
        path.write_bytes(path.read_bytes()[:90])
    plan, given = planned(tmp_path, model, bits=("FP32", "W4A4"), chunk_images=8)
    session = store.create(plan, given.names(), tmp_path / "sessions")
    for _ in range(2):
        until(session, given, ImageUnreadable, rows)
    assert run_until(session, given) == "finished"
    torn = sum(len(path.read_bytes()) < 300 for path in (files.root / "ood").iterdir())
    assert report.document(Session.at(session)).unreadable == {"others": torn}
    assert fold((read := Session.at(session)).header, read.entries).unreadable == torn
    assert not verify.verify(Folder(session)).damage


def test_a_plan_of_fp32_only_resumes_with_the_same_preprocessing_and_weights(
    tmp_path: Path, model: Checkpoint
) -> None:
    Files(tmp_path / "images")
    plan, given = planned(tmp_path, model, bits=("FP32",), chunk_images=16)
    session = store.create(plan, given.names(), tmp_path / "sessions")
    until(session, given, ChunkFinished)
    events = _events(session)
    (loaded,) = (event for event in events if isinstance(event, ModelLoaded))
    (worker,) = (event for event in events if isinstance(event, WorkerStarted))
    prepared = attempts.prepared_sets(events)
    assert prepared is not None
    for changes, words in (
        ({"crop": 0.5}, "crop was"),
        ({"mean": (0.0, 0.0, 0.0)}, "mean was"),
        ({"interpolation": "nearest"}, "interpolation was"),
        ({"digest": "another"}, "weights"),
    ):
        other = msgspec.structs.replace(loaded, **changes)
        with pytest.raises(EngineError, match=f"tiny: .*{words}"):
            resume.check(session, plan, prepared, [other], worker, 16)
    moved = msgspec.structs.replace(loaded, origin="elsewhere")
    newer = msgspec.structs.replace(worker, versions={**worker.versions, "pillow": "99"}, device="cuda:0")
    before = resume.check(session, plan, prepared, [moved], newer, 16)
    assert before.changes == (
        "device was cpu and is cuda:0",
        f"pillow was {worker.versions['pillow']} and is 99",
    )


def test_a_variant_fails_in_every_attempt_or_in_none(
    tmp_path: Path, model: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no row is finished a failure counts for nothing; where some are, it stays."""
    Files(tmp_path / "images")
    plan, given = planned(tmp_path, model, bits=("FP32", "W4A4"), chunk_images=16)

    def fail(*_: object, **__: object) -> None:
        raise QuantizeError("no memory")

    for rows, lost in ((0, {}), (16, {"tiny W4A4": "no memory"})):
        session = store.create(plan, given.names(), tmp_path / "sessions")
        with monkeypatch.context() as patch:
            patch.setattr("engine.quantize.methods.repq.RepQ.quantize", fail)
            until(session, given, ChunkFinished if rows else VariantFailed)
        assert run_until(session, given) == "finished"
        assert fold((read := Session.at(session)).header, read.entries).failed == lost
        assert not verify.verify(Folder(session)).damage
        assert bool(report.document(Session.at(session)).deltas) != bool(lost)
